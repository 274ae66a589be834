// error: shardproof[SP108] a reducing collective is fed a value that is not a pending sum: it would add unrelated shards or count one value once per rank. Fix: all_gather a sharded value; drop the reduction of an equal one.
// code: SP108
// path: operations::reduce_scatter, fed<shard<ffn>>, needs<partial>
// near: 15
// lines: g++ 24, clang 27
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct up {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  constexpr auto forward(const auto& x, auto&&) const {
#ifdef MUST_FAIL
    return sp::reduce_scatter(up_proj(x), sp::along<ffn>{});
#else
    return sp::all_gather(up_proj(x));
#endif
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}};
static_assert(sp::dry_run<up, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_gathers == 1);

// error: shardproof[SP108] a reducing collective is fed a value that is not a pending sum: it would add unrelated shards or count one value once per rank. Fix: all_gather a sharded value; drop the reduction of an equal one.
// code: SP108
// path: operations::all_reduce, fed<invariant>, needs<partial>
// path: at<tensor_parallel>
// near: 15
// lines: g++ 24, clang 27
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto y = down_proj(sp::silu(up_proj(x)));                   // rowwise: reduced already
#ifdef MUST_FAIL
    return x + sp::all_reduce(y);
#else
    return x + y;
#endif
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}};
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

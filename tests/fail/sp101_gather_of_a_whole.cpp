// error: shardproof[SP101] placement mismatch: this conversion starts from another placement than it is fed (see fed<>, needs<>). Fix: convert to what needs<> says first, or drop the conversion.
// code: SP101
// path: operations::all_gather, fed<invariant>, needs<shard<primitive::some_dimension>>
// near: 15
// lines: g++ 24, clang 27
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto y = down_proj(sp::silu(up_proj(x)));                   // equal on every rank already
#ifdef MUST_FAIL
    return x + sp::all_gather(y);
#else
    return x + y;
#endif
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}};
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_gathers == 0);

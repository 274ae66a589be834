// error: shardproof[SP204] this parallel style does not apply to this kind of layer (see style<>, Layer, applicable<>). Fix: use one of the styles in applicable<>.
// code: SP204
// path: at<tensor_parallel, down_proj>, style<rowwise_partial>, linear<ffn, hidden, with_bias>
// near: 12
// lines: g++ 24, clang 24
// rowwise_partial leaves the sum pending, so that a bias would be counted once per rank.
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden, sp::with_bias>);
  constexpr auto forward(const auto& x, auto&&) const { return x + sp::reduced(down_proj(sp::silu(up_proj(x)))); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise_partial{"down_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}};
#endif
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

// error: shardproof[SP104] a Partial value is combined with a value that is not Partial: the other term would be counted once per rank. Fix: add bias and residual after the reduction (sp::reduced), or add Partial to Partial and reduce once.
// code: SP104
// path: operations::sum, fed<invariant, partial>
// path: at<tensor_parallel>
// near: 14
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto y = down_proj(sp::silu(up_proj(x)));                   // a pending sum
#ifdef MUST_FAIL
    return x + y;
#else
    return x + sp::reduced(y);
#endif
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise_partial{"down_proj"}};
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

// error: shardproof[SP104] a Partial value is combined with a value that is not Partial: the other term would be counted once per rank. Fix: add bias and residual after the reduction (sp::reduced), or add Partial to Partial and reduce once.
// code: SP104
// path: operations::shift, fed<partial>
// near: 14
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto y = 0.5 * down_proj(sp::silu(up_proj(x)));             // scaling a pending sum is fine
#ifdef MUST_FAIL
    return sp::reduced(y + 1.0);
#else
    return sp::reduced(y) + 1.0;
#endif
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise_partial{"down_proj"}};
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

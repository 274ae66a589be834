// error: shardproof[SP103] a nonlinear operation is applied to a Partial value: f(a+b) != f(a)+f(b). Fix: all_reduce (sp::reduced) or reduce_scatter first.
// code: SP103
// path: operations::silu, fed<partial>
// path: at<tensor_parallel>
// near: 14
// lines: g++ 24, clang 27
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto y = down_proj(sp::silu(up_proj(x)));                   // a pending sum
#ifdef MUST_FAIL
    return sp::silu(y);
#else
    return sp::silu(sp::reduced(y));
#endif
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise_partial{"down_proj"}};
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

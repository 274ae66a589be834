// error: shardproof[SP103] a nonlinear operation is applied to a Partial value: f(a+b) != f(a)+f(b). Fix: all_reduce (sp::reduced) or reduce_scatter first.
// code: SP103
// path: operations::product_of_tensors, fed<partial, partial>
// near: 14
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(gate, sp::linear<ffn, hidden>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto h = sp::silu(up_proj(x));
#ifdef MUST_FAIL
    return gate(h) * down_proj(h);
#else
    return sp::reduced(gate(h)) * sp::reduced(down_proj(h));
#endif
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise_partial{"gate", "down_proj"}};
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 2);

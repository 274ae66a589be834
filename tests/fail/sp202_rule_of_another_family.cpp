// error: shardproof[SP202] this rule of the plan matches no layer of the model (see rule<>). Fix: correct the pattern, or mark the rule optional.
// code: SP202
// path: rule_number<tensor_parallel, 2>
// near: 14
// lines: g++ 24, clang 24
// A cost that is asserted asks first whether the plan covers the model.
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return x + down_proj(sp::silu(up_proj(x))); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}, sp::colwise{"mlp.gate_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}, sp::colwise{"?mlp.gate_proj"}};
#endif
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

// error: shardproof[SP203] two rules of the plan match the same layer (see Layer, First, Second). Fix: delete one, or make the patterns disjoint.
// code: SP203
// path: at<tensor_parallel, down_proj>, rule_number<tensor_parallel, 0>, rule_number<tensor_parallel, 1>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return x + down_proj(sp::silu(up_proj(x))); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj", "down_proj"}, sp::rowwise{"down_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}};
#endif
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

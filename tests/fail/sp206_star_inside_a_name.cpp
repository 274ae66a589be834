// error: shardproof[SP206] malformed pattern (see Pattern, Position). Fix: write dot-separated names in which "*" stands alone for one layer number.
// code: SP206
// path: rule_number<tensor_parallel, 1>, extent<2>
// near: 14
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return x + down_proj(sp::silu(up_proj(x))); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise{"do*_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}};
#endif
static_assert(sp::covers<mlp, tensor_parallel>());

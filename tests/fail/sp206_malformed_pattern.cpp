// error: shardproof[SP206] malformed pattern (see Pattern, Position). Fix: write dot-separated names in which "*" stands alone for one layer number.
// code: SP206
// path: rule_number<tensor_parallel, 0>, extent<9>
// near: 14
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct layer {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x) const { return x + down_proj(sp::silu(up_proj(x))); }
};
template <class At> struct tower {
  SP_LAYER(layers, sp::stack<layer, 3>);
  constexpr auto forward(const auto& x, auto&&) const { return layers(x); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"layers.*..up_proj"}, sp::rowwise{"layers.*.down_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"layers.*.up_proj"}, sp::rowwise{"layers.*.down_proj"}};
#endif
static_assert(sp::covers<tower, tensor_parallel>());

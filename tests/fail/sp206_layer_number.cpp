// error: shardproof[SP206] malformed pattern: a constexpr plan names one layer of a stack by its number, but all layers of a stack share one type (see Pattern, Position). Fix: write "*" for the number, or read the plan at run time.
// code: SP206
// path: rule_number<tensor_parallel, 1>, extent<7>
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
inline constexpr sp::plan tensor_parallel{sp::colwise{"layers.*.up_proj"}, sp::rowwise{"layers.0.down_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"layers.*.up_proj"}, sp::rowwise{"layers.*.down_proj"}};
#endif
static_assert(sp::dry_run<tower, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 3);

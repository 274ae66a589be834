// error: shardproof[SP206] malformed pattern: the plan's text is not a JSON object of "pattern": "style" pairs (see Position). Fix: correct the text there.
// code: SP206
// path: rule_number<from_text, 0>, extent<0>
// near: 14
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct up {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  constexpr auto forward(const auto& x, auto&&) const { return up_proj(x); }
};
#ifdef MUST_FAIL
inline constexpr auto from_text = sp::parse_plan(R"(["up_proj", "colwise"])");
#else
inline constexpr auto from_text = sp::parse_plan(R"({"up_proj": "colwise"})");
#endif
static_assert(sp::covers<up, from_text>());

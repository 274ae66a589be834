// error: shardproof[SP205] unknown parallel style. Fix: use the nearest known style (see known).
// code: SP205
// path: rule_number<from_text, 1>
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
inline constexpr auto from_text = sp::parse_plan(R"({"up_proj": "colwise", "down_proj": "rowise"})");
#else
inline constexpr auto from_text = sp::parse_plan(R"({"up_proj": "colwise", "down_proj": "rowwise"})");
#endif
static_assert(sp::covers<mlp, from_text>());
static_assert(sp::dry_run<mlp, from_text>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

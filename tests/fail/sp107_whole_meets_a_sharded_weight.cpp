// error: shardproof[SP107] contraction mismatch: the contracted dimension is sharded on one operand only. Fix: shard it on both (the result is Partial), or gather the sharded operand.
// code: SP107
// path: at<tensor_parallel, down_proj>, .*fed<invariant, shard<in<ffn>
// near: 12
// lines: g++ 24, clang 24
// A style of one's own that shards the weight's input features and takes any input.
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

struct my_rowwise : sp::style_defaults {
  static constexpr auto name = "my_rowwise";
  static constexpr sp::role shards = sp::role::in;
  static constexpr auto after(const auto& y, const auto& bias) { return sp::all_reduce(y) + bias; }
};
template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return x + down_proj(sp::silu(up_proj(x))); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{my_rowwise{"down_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, my_rowwise{"down_proj"}};
#endif
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

// error: shardproof[SP102] an Invariant value enters rank-dependent compute: its gradient would miss an all-reduce. Fix: convert<Invariant, Replicate> (Megatron f, sp::to_replicate) at this use, or give the layer a colwise style.
// code: SP102
// path: at<tensor_parallel, up_proj>, .*fed<invariant, shard<out<ffn>
// near: 12
// lines: g++ 24, clang 24
// A style of one's own that forgets Megatron's f.
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

struct my_colwise : sp::style_defaults {
  static constexpr auto name = "my_colwise";
  static constexpr sp::role shards = sp::role::out;
#ifndef MUST_FAIL
  static constexpr auto before(const auto& x) { return sp::to_replicate(x); }
#endif
};
template <class At> struct up {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  constexpr auto forward(const auto& x, auto&&) const { return up_proj(x); }
};
inline constexpr sp::plan tensor_parallel{my_colwise{"up_proj"}};
static_assert(sp::dry_run<up, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

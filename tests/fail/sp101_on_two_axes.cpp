// error: shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed: a rowwise layer is fed a whole tensor (see fed<>, needs<>). Fix: give this layer the style rowwise_split_input, or give its producer the style colwise.
// code: SP101
// path: at<on_a_mesh, down_proj>, style<rowwise>, fed<invariant>, needs<shard<ffn>>
// near: 12
// lines: g++ 24, clang 24
// Data parallelism goes unmentioned: the verdict shows only the axis that fails.
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return x + down_proj(sp::silu(up_proj(x))); }
};
#ifdef MUST_FAIL
inline constexpr auto on_a_mesh = sp::plan{sp::rowwise{"down_proj"}}.with_axis<sp::dp, sp::shard<batch>>();
#else
inline constexpr auto on_a_mesh = sp::plan{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}}.with_axis<sp::dp, sp::shard<batch>>();
#endif
static_assert(sp::dry_run<mlp, on_a_mesh>(sp::ranks{4, 2}, stream{2, 5, 16}).forward.all_reduces == 1);

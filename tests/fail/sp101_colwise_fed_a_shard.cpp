// error: shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed: its input arrives sharded along the dimension it contracts (see fed<>, needs<>). Fix: give this layer the style rowwise.
// code: SP101
// path: at<tensor_parallel, o_proj>, style<colwise>, fed<shard<q_heads>>, needs<invariant>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct value_only {
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return x + o_proj(v_proj(x)); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"v_proj", "o_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"v_proj"}, sp::rowwise{"o_proj"}};
#endif
static_assert(sp::dry_run<value_only, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

// error: shardproof[SP101] placement mismatch: this operation works over a dimension of which each rank holds only a shard (see fed<>). Fix: all_gather that dimension first, shard another one, or declare a norm over a list (sp::rms_norm<sp::dims<...>>) and give it the style sharded_norm.
// code: SP101
// path: at<tensor_parallel, q_norm>, .*fed<shard<q_heads>, invariant>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct queries {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(q_norm, sp::rms_norm<sp::dims<q_heads, head_dim>>);           // all heads as one
  constexpr auto forward(const auto& x, auto&&) const { return q_norm(q_proj(x)); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj"}, sp::sharded_norm{"q_norm"}};
#endif
static_assert(sp::dry_run<queries, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces <= 1);

// error: shardproof[SP301] a replicated parameter meets a rank-dependent activation: each rank would compute another gradient and the replicas drift apart. Fix: give the layer the style replicated_with_grad_allreduce (sequence_parallel on a sequence shard).
// code: SP301
// path: at<tensor_parallel, mix>, .*fed<shard<q_heads>, invariant>
// near: 12
// lines: g++ 24, clang 24
// A whole weight for every head; its sum does not run over the heads, so that it may stay whole.
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct queries {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(mix, sp::linear<head_dim, head_dim>);
  constexpr auto forward(const auto& x, auto&&) const { return mix(q_proj(x)); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj"}, sp::replicated_with_grad_allreduce{"mix"}};
#endif
static_assert(sp::dry_run<queries, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

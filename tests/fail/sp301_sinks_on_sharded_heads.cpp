// error: shardproof[SP301] a replicated parameter meets a rank-dependent activation: each rank would compute another gradient and the replicas drift apart. Fix: give the layer the style replicated_with_grad_allreduce (sequence_parallel on a sequence shard).
// code: SP301
// path: operations::attention, fed<shard<q_heads>, shard<kv_heads>, shard<kv_heads>, invariant>
// path: at<tensor_parallel>
// near: 14
// lines: g++ 24, clang 27
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_PARAM(sinks, sp::dims<q_heads>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto k = k_proj(x);
    auto v = v_proj(x);
    return sp::attention(q_proj(x), cache.extend(k, v), sp::mask{}, sinks);
  }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj", "k_proj", "v_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj", "k_proj", "v_proj", "sinks"}};
#endif
static_assert(sp::dry_run<attention, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

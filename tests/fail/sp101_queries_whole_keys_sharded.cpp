// error: shardproof[SP101] placement mismatch: query, key and value heads must be sharded alike or be whole alike (see fed<>). Fix: give q_proj, k_proj and v_proj the same style.
// code: SP101
// path: fed<invariant, shard<kv_heads>, shard<kv_heads>>
// near: 12
// lines: g++ 24, clang 26
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto k = k_proj(x);
    auto v = v_proj(x);
    return sp::attention(q_proj(x), cache.extend(k, v));
  }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"k_proj", "v_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj", "k_proj", "v_proj"}};
#endif
static_assert(sp::dry_run<attention, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

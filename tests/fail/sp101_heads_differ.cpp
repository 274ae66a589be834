// error: shardproof[SP101] placement mismatch: query, key and value heads must be sharded alike or be whole alike (see fed<>). Fix: give q_proj, k_proj and v_proj the same style.
// code: SP101
// path: fed<shard<q_heads>, shard<kv_heads>, invariant>
// near: 12
// lines: g++ 24, clang 26
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = q_proj(x);
    auto k = k_proj(x);
    auto v = v_proj(x);
    return o_proj(sp::attention(q, cache.extend(k, v)));
  }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj", "k_proj"}, sp::rowwise{"o_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj", "k_proj", "v_proj"}, sp::rowwise{"o_proj"}};
#endif
static_assert(sp::dry_run<attention, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

// error: shardproof[SP101] placement mismatch: query, key and value heads must be sharded alike or be whole alike (see fed<>). Fix: give q_proj, k_proj and v_proj the same style.
// code: SP101
// path: fed<shard<kv_heads>, shard<q_heads>, shard<kv_heads>>
// path: at<tensor_parallel, layers, each, self_attn>
// near: 12
// lines: g++ 24, clang 40
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"
template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden>);
  SP_LAYER(q_norm, sp::rms_norm<head_dim>);
  SP_LAYER(k_norm, sp::rms_norm<head_dim>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = sp::rope(q_norm(q_proj(x)), cache.positions());
    auto k = sp::rope(k_norm(k_proj(x)), cache.positions());
    auto v = v_proj(x);
#ifdef MUST_FAIL
    return o_proj(sp::attention(k, cache.extend(q, v)));
#else
    return o_proj(sp::attention(q, cache.extend(k, v)));
#endif
  }
};
#include "llama/gated_mlp.hpp"
#include "llama/model.hpp"
static_assert(sp::dry_run<llama, tensor_parallel>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 5);

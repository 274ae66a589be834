#ifndef LLAMA_ATTENTION_HPP
#define LLAMA_ATTENTION_HPP
/// @file
/// Grouped-query attention with a norm on every query and key head.
///
///     #include "llama/attention.hpp"
///     SP_LAYER(self_attn, sp::block<attention>);
#include "dims.hpp"

template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::with_bias>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden>);
  SP_LAYER(q_norm, sp::rms_norm<head_dim>);
  SP_LAYER(k_norm, sp::rms_norm<head_dim>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = sp::rope(q_norm(q_proj(x)), cache.positions());    // (batch, seq, q_heads/tp, head_dim)
    auto k = sp::rope(k_norm(k_proj(x)), cache.positions());    // (batch, seq, kv_heads/tp, head_dim)
    auto v = v_proj(x);                                         // (batch, seq, kv_heads/tp, head_dim)
    return o_proj(sp::attention(q, cache.extend(k, v)));        // (batch, seq, hidden), after one all-reduce
  }
};
#endif

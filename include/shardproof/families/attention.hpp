#pragma once
/// @file
/// The attentions that several families share: grouped queries, rotary positions, and a window of keys where the configuration has one.
///
///     template <class At> using llama_attention = rotary_attention<sp::maybe_bias>::block<At>;
///     SP_LAYER(self_attn, sp::block<head_normed_attention>);               // qwen3, gemma3
///
/// Members bear the names of transformers' checkpoints.
#include <shardproof/families/configuration.hpp>
#include <shardproof/layer/linear.hpp>
#include <shardproof/layer/norm.hpp>
#include <shardproof/tensor/ops/attention.hpp>
#include <shardproof/tensor/ops/rope.hpp>
#include <shardproof/types.hpp>
namespace shardproof::families {

/// x * by, without a copy where there is nothing to do.
constexpr auto scaled(const auto& x, double by) {
  auto y = x;
  if (by != 1) y = by * x;
  return y;
}

struct no_bias;                                                    ///< an option of a linear layer that asks for nothing

/// Grouped-query attention with rotary positions and a window of keys where the configuration has one. Either option: no_bias or
/// sp::maybe_bias; of qwen2 and glm4 queries, keys and values alone may have biases.
template <class OfHeads = no_bias, class OfOutput = OfHeads> struct rotary_attention {
  template <class At> struct block {
    SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>, OfHeads>);
    SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, OfHeads>);
    SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, OfHeads>);
    SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden, OfOutput>);
    sp::rotary rotary;
    sp::mask mask;
    constexpr void configure(const configuration& c, int layer) {
      if constexpr (std::is_same_v<OfHeads, sp::maybe_bias>) q_proj.bias.present = k_proj.bias.present = v_proj.bias.present = c.attention_bias;
      if constexpr (std::is_same_v<OfOutput, sp::maybe_bias>) o_proj.bias.present = c.attention_bias;
      rotary = c.rotary_of(layer);
      mask = c.mask_of(layer);
    }
    constexpr auto forward(const auto& x, auto&& cache) const {
      auto q = sp::rope(q_proj(x), cache.positions(), rotary);
      auto k = sp::rope(k_proj(x), cache.positions(), rotary);
      auto v = v_proj(x);
      return o_proj(sp::attention(q, cache.extend(k, v), mask));
    }
  };
};

/// As rotary_attention, with a norm on each query and key head before they turn (Henry et al., arXiv 2010.04245).
template <class At> struct head_normed_attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden, sp::maybe_bias>);
  SP_LAYER(q_norm, sp::rms_norm<head_dim>);
  SP_LAYER(k_norm, sp::rms_norm<head_dim>);
  sp::rotary rotary;
  sp::mask mask;
  constexpr void configure(const configuration& c, int layer) {
    q_proj.bias.present = k_proj.bias.present = v_proj.bias.present = o_proj.bias.present = c.attention_bias;
    q_norm.eps = k_norm.eps = c.norm_eps;
    q_norm.offset = k_norm.offset = c.norm_offset;
    rotary = c.rotary_of(layer);
    mask = c.mask_of(layer);
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = sp::rope(q_norm(q_proj(x)), cache.positions(), rotary);
    auto k = sp::rope(k_norm(k_proj(x)), cache.positions(), rotary);
    auto v = v_proj(x);
    return o_proj(sp::attention(q, cache.extend(k, v), mask));
  }
};

}  // namespace shardproof::families

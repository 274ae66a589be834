#pragma once
/// @file
/// OLMo 2 (arXiv 2501.00656): `model_type` "olmo2". Norms behind the branches instead of in front of them, and norms over queries and
/// keys, all heads as one, before they turn.
///
///     sp::families::olmo2<sp::at<sp::families::olmo2_plan>> model;
///     const auto c = sp::families::olmo2_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: attention_bias (q, k, v, o), head_dim, grouped KV heads, tied head, every rotary variant. transformers' plan gathers
/// queries, keys and values for the norms; ours keeps heads sharded, and reduces one number a token for each of the two norms.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

template <class At> struct olmo2_attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden, sp::maybe_bias>);
  SP_LAYER(q_norm, sp::rms_norm<sp::dims<q_heads, head_dim>>);
  SP_LAYER(k_norm, sp::rms_norm<sp::dims<kv_heads, head_dim>>);
  sp::rotary rotary;
  constexpr void configure(const configuration& c, int layer) {
    q_proj.bias.present = k_proj.bias.present = v_proj.bias.present = o_proj.bias.present = c.attention_bias;
    q_norm.eps = k_norm.eps = c.norm_eps;
    rotary = c.rotary_of(layer);
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = sp::rope(q_norm(q_proj(x)), cache.positions(), rotary);
    auto k = sp::rope(k_norm(k_proj(x)), cache.positions(), rotary);
    auto v = v_proj(x);
    return o_proj(sp::attention(q, cache.extend(k, v)));
  }
};

template <class At> struct olmo2_layer {
  SP_LAYER(self_attn, sp::block<olmo2_attention>);
  SP_LAYER(post_attention_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(mlp, sp::block<gated_mlp>);
  SP_LAYER(post_feedforward_layernorm, sp::rms_norm<hidden>);
  constexpr void configure(const configuration& c) { post_attention_layernorm.eps = post_feedforward_layernorm.eps = c.norm_eps; }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto attended = self_attn(x, cache);
    auto h = x + post_attention_layernorm(attended);
    auto fed = mlp(h);
    return h + post_feedforward_layernorm(fed);
  }
};

template <class At> using olmo2 = causal<olmo2_layer>::lm<At>;

inline constexpr sp::plan olmo2_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "lm_head"},
    sp::sharded_norm{"model.layers.*.self_attn.q_norm", "model.layers.*.self_attn.k_norm"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"}};
static_assert(sp::covers<olmo2, olmo2_plan>());

struct olmo2_family {
  static constexpr std::string_view model_type = "olmo2";
  template <class At> using model = olmo2<At>;
  static constexpr const auto& plan = olmo2_plan;
  static constexpr published_plan published{transformers_plans::olmo2, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 2048, .eps = 1e-5, .pad_token_id = 1}, allowed);
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(false);
    read_no_windows(in, c);
    return c;
  }
};

}  // namespace shardproof::families

#pragma once
/// @file
/// GLM-4 of 2025 (Zhipu, "GLM-4-0414"): `model_type` "glm4". A norm before and behind each branch, gate and up in one matrix, half of each head
/// turns, in pairs (2j, 2j + 1).
///
///     sp::families::glm4<sp::at<sp::families::glm4_plan>> model;
///     const auto c = sp::families::glm4_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: attention_bias (q, k, v), head_dim, grouped KV heads, tied head, partial_rotary_factor, every rotary variant. transformers' plan
/// gathers gate and up and splits the result again; ours shards each part of the fused matrix by itself and sends nothing there.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

template <class At> struct glm4_layer {
  SP_LAYER(input_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(self_attn, sp::block<rotary_attention<sp::maybe_bias, no_bias>::block>);
  SP_LAYER(post_self_attn_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(post_attention_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(mlp, sp::block<fused_gated_mlp>);
  SP_LAYER(post_mlp_layernorm, sp::rms_norm<hidden>);
  constexpr void configure(const configuration& c) {
    input_layernorm.eps = post_self_attn_layernorm.eps = post_attention_layernorm.eps = post_mlp_layernorm.eps = c.norm_eps;
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto attended = self_attn(input_layernorm(x), cache);
    auto h = x + post_self_attn_layernorm(attended);
    auto fed = mlp(post_attention_layernorm(h));
    return h + post_mlp_layernorm(fed);
  }
};

template <class At> using glm4 = causal<glm4_layer>::lm<At>;

inline constexpr sp::plan glm4_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj", "lm_head"},
    sp::packed_colwise{"model.layers.*.mlp.gate_up_proj"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"}};
static_assert(sp::covers<glm4, glm4_plan>());

struct glm4_family {
  static constexpr std::string_view model_type = "glm4";
  template <class At> using model = glm4<At>;
  static constexpr const auto& plan = glm4_plan;
  static constexpr published_plan published{transformers_plans::glm4, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 131072, .kv_heads = 2, .head_dim = 128, .partial_rotary = true,
                                        .partial_rotary_factor = 0.5, .eps = 1.5625e-7, .pad_token_id = 151329}, allowed);
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(true);
    c.rope.full.interleaved = c.rope.sliding.interleaved = true;
    read_no_windows(in, c);
    return c;
  }
};

}  // namespace shardproof::families

#pragma once
/// @file
/// GLM-4.5 (Zhipu, arXiv 2508.06471): `model_type` "glm4_moe". The first layers are dense, the others have routed and shared experts; half of
/// each head turns.
///
///     sp::families::glm4_moe<sp::at<sp::families::glm4_moe_plan>> model;
///     const auto c = sp::families::glm4_moe_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: attention_bias (q, k, v), use_qk_norm, head_dim, grouped KV heads, tied head, first_k_dense_replace, n_group and topk_group,
/// norm_topk_prob, routed_scaling_factor, n_shared_experts, every rotary variant. Routed and shared experts share one reduction here; in
/// transformers' plan they have two. With use_qk_norm that plan leaves the norms of sharded heads unsynchronised: SP301.
#include <shardproof/families/experts.hpp>
namespace shardproof::families {

template <class At> struct glm4_moe_attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden>);
  SP_LAYER(q_norm, sp::maybe<sp::rms_norm<head_dim>>);
  SP_LAYER(k_norm, sp::maybe<sp::rms_norm<head_dim>>);
  sp::rotary rotary;
  constexpr void configure(const configuration& c, int layer) {
    q_proj.bias.present = k_proj.bias.present = v_proj.bias.present = c.attention_bias;
    q_norm.present = k_norm.present = c.qk_norm;
    q_norm.some.eps = k_norm.some.eps = c.norm_eps;
    rotary = c.rotary_of(layer);
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = sp::rope(q_norm(q_proj(x)), cache.positions(), rotary);
    auto k = sp::rope(k_norm(k_proj(x)), cache.positions(), rotary);
    auto v = v_proj(x);
    return o_proj(sp::attention(q, cache.extend(k, v)));
  }
};

template <class At> using glm4_moe = causal<pre_norm<glm4_moe_attention, dense_or<shared_mixture<sp::with_correction>::block>::mlp>::layer>::lm<At>;

inline constexpr sp::plan glm4_moe_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "model.layers.*.mlp.shared_experts.gate_proj",
                "model.layers.*.mlp.shared_experts.up_proj", "lm_head"},
    sp::replicated_with_grad_allreduce{"model.layers.*.self_attn.q_norm", "model.layers.*.self_attn.k_norm"},
    sp::packed_colwise{"model.layers.*.mlp.experts.gate_up_proj"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj", "model.layers.*.mlp.experts.down_proj"},
    sp::rowwise_partial{"model.layers.*.mlp.shared_experts.down_proj"},
    sp::moe_tp_experts_partial{"model.layers.*.mlp.experts"}};
static_assert(sp::covers<glm4_moe, glm4_moe_plan>());

struct glm4_moe_family : stored_by_expert {
  static constexpr std::string_view model_type = "glm4_moe";
  template <class At> using model = glm4_moe<At>;
  static constexpr const auto& plan = glm4_moe_plan;
  static constexpr published_plan published{transformers_plans::glm4_moe, transformers_plans::gathered_head, "model.", "model.embed_tokens",
                                              transformers_plans::dealt_experts};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    in.also_called("n_routed_experts", "num_local_experts");
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 131072, .kv_heads = 8, .partial_rotary = true,
                                        .partial_rotary_factor = 0.5, .eps = 1e-5}, allowed);
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(false);
    c.qk_norm = in.maybe_boolean("use_qk_norm").value_or(false);
    read_experts(in, c, "n_routed_experts", 128, 8, 1408);
    c.moe.how.score = router_score::sigmoid;
    read_grouped_experts(in, c, 1, 1, 1);
    c.moe.how.group_by_two = true;
    c.moe.how.renormalised = in.maybe_boolean("norm_topk_prob").value_or(true);
    c.moe.how.sum_eps = 1e-20;
    read_no_windows(in, c);
    return c;
  }
};

}  // namespace shardproof::families

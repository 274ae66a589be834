#pragma once
/// @file
/// DeepSeek-V2 (arXiv 2405.04434): `model_type` "deepseek_v2". Latent attention; the first layers are dense, the others have routed and shared
/// experts.
///
///     sp::families::deepseek_v2<sp::at<sp::families::deepseek_v2_plan>> model;
///     const auto c = sp::families::deepseek_v2_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: q_lora_rank (null: none), kv_lora_rank, the three head extents, attention_bias, mlp_bias, tied head, first_k_dense_replace, topk_method
/// (greedy, group_limited_greedy), n_group and topk_group, routed_scaling_factor, n_shared_experts, every rotary variant.
#include <shardproof/families/experts.hpp>
#include <shardproof/families/latent_attention.hpp>
namespace shardproof::families {

template <class At> using deepseek_v2 = causal<pre_norm<latent_attention, dense_or<shared_mixture<>::block>::mlp>::layer>::lm<At>;

inline constexpr sp::plan deepseek_v2_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::mla_kv_a_proj{"model.layers.*.self_attn.kv_a_proj_with_mqa"},
    sp::replicated{"model.layers.*.self_attn.q_a_proj"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.q_b_proj", "model.layers.*.self_attn.kv_b_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "model.layers.*.mlp.shared_experts.gate_proj",
                "model.layers.*.mlp.shared_experts.up_proj", "lm_head"},
    sp::packed_colwise{"model.layers.*.mlp.experts.gate_up_proj"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj", "model.layers.*.mlp.experts.down_proj"},
    sp::rowwise_partial{"model.layers.*.mlp.shared_experts.down_proj"},
    sp::moe_tp_experts_partial{"model.layers.*.mlp.experts"}};
static_assert(sp::covers<deepseek_v2, deepseek_v2_plan>());

struct deepseek_v2_family : stored_by_expert {
  static constexpr std::string_view model_type = "deepseek_v2";
  template <class At> using model = deepseek_v2<At>;
  static constexpr const auto& plan = deepseek_v2_plan;
  static constexpr published_plan published{transformers_plans::deepseek_v2, transformers_plans::gathered_head, "model.", "model.embed_tokens",
                                              transformers_plans::dealt_experts};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    in.also_called("n_routed_experts", "num_experts");
    const long rotary_part = read_rotary_part(in, 64);
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 2048, .head_dim = rotary_part}, allowed);
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(false);
    c.mlp_bias = in.maybe_boolean("mlp_bias").value_or(false);
    read_latent(in, c, 1536, rotary_part);
    c.rope.full.interleaved = c.rope.sliding.interleaved = true;
    read_experts(in, c, "n_routed_experts", 64, 1, 1407);
    if (!in.given("num_experts_per_tok")) in.refuse("num_experts_per_tok", "this family has no default for it", "add it");
    const std::string method = in.maybe_text("topk_method").value_or("greedy");
    if (method != "greedy" && method != "group_limited_greedy") in.unsupported("topk_method", "no such method is known in this family", "use greedy or group_limited_greedy");
    read_grouped_experts(in, c, 0, 1, 1, 2);
    if (method == "greedy") c.moe.how.groups = c.moe.how.kept_groups = 1;
    (void)in.maybe_boolean("norm_topk_prob");                            // transformers does not read it in this family
    read_no_windows(in, c);
    return c;
  }
};

}  // namespace shardproof::families

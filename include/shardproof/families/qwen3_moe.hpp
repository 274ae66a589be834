#pragma once
/// @file
/// Qwen3 with experts (Yang et al., arXiv 2505.09388): `model_type` "qwen3_moe". Norms on query and key heads, some layers dense.
///
///     sp::families::qwen3_moe<sp::at<sp::families::qwen3_moe_plan>> model;
///     const auto c = sp::families::qwen3_moe_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: attention_bias, head_dim, grouped KV heads, tied head, norm_topk_prob, decoder_sparse_step, mlp_only_layers, sliding_window,
/// every rotary variant.
#include <shardproof/families/experts.hpp>
namespace shardproof::families {

template <class At> using qwen3_moe = causal<pre_norm<head_normed_attention, dense_or<routed_mixture>::mlp>::layer>::lm<At>;

inline constexpr sp::plan qwen3_moe_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "lm_head"},
    sp::replicated_with_grad_allreduce{"model.layers.*.self_attn.q_norm", "model.layers.*.self_attn.k_norm"},
    sp::packed_colwise{"model.layers.*.mlp.experts.gate_up_proj"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj", "model.layers.*.mlp.experts.down_proj"},
    sp::moe_tp_experts{"model.layers.*.mlp.experts"}};
static_assert(sp::covers<qwen3_moe, qwen3_moe_plan>());

struct qwen3_moe_family : stored_by_expert {
  static constexpr std::string_view model_type = "qwen3_moe";
  template <class At> using model = qwen3_moe<At>;
  static constexpr const auto& plan = qwen3_moe_plan;
  static constexpr published_plan published{transformers_plans::qwen3_moe, transformers_plans::gathered_head, "model.", "model.embed_tokens",
                                              transformers_plans::dealt_experts};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    in.also_called("num_experts", "num_local_experts");
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 32768, .kv_heads = 4}, allowed);
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(false);
    read_experts(in, c, "num_experts", 128, 8, 768);
    refuse_auxiliary_loss(in);
    c.moe.how.renormalised = in.maybe_boolean("norm_topk_prob").value_or(false);
    read_sparse_steps(in, c);
    read_windows(in, c, [](long, long) { return true; });
    for (const auto t : c.layer_types)
      if (t != (c.sliding_window ? attention_type::sliding : attention_type::full)) in.unsupported("layer_types", "all layers of this family are of one kind, by sliding_window", "remove it");
    return c;
  }
};

}  // namespace shardproof::families

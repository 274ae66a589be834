#pragma once
/// @file
/// Qwen1.5-MoE and Qwen2 with experts (Yang et al., arXiv 2407.10671): `model_type` "qwen2_moe". Beside the routed experts every token
/// passes a shared one, whose result is weighed by a gate.
///
///     sp::families::qwen2_moe<sp::at<sp::families::qwen2_moe_plan>> model;
///     const auto c = sp::families::qwen2_moe_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: qkv_bias, grouped KV heads, tied head, norm_topk_prob, decoder_sparse_step, mlp_only_layers, alternating windows, every rotary
/// variant. transformers' plan leaves the shared expert whole on every rank; ours cuts it, and routed and shared experts share one reduction.
#include <shardproof/families/experts.hpp>
#include <shardproof/tensor/ops/rows.hpp>
namespace shardproof::families {

template <class At> struct qwen2_mixture {
  SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
  SP_LAYER(experts, sp::region<gated_experts>);
  SP_LAYER(shared_expert, sp::block<gated_by<shared_ffn>::template mlp>);
  SP_LAYER(shared_expert_gate, sp::linear<hidden, sp::one>);
  constexpr void configure(const configuration& c) { gate.how = c.moe.how; }
  constexpr auto forward(const auto& x) const {
    auto mixed = experts(x, gate(x));
    auto weight = sp::sigmoid(shared_expert_gate(x));
    return sp::reduced(mixed + sp::scale_rows(shared_expert(x), weight), x);
  }
};

template <class At> using qwen2_moe = causal<pre_norm<rotary_attention<sp::maybe_bias, no_bias>::block, dense_or<qwen2_mixture>::mlp>::layer>::lm<At>;

inline constexpr sp::plan qwen2_moe_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "model.layers.*.mlp.shared_expert.gate_proj",
                "model.layers.*.mlp.shared_expert.up_proj", "lm_head"},
    sp::packed_colwise{"model.layers.*.mlp.experts.gate_up_proj"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj", "model.layers.*.mlp.experts.down_proj"},
    sp::rowwise_partial{"model.layers.*.mlp.shared_expert.down_proj"},
    sp::replicate_output{"model.layers.*.mlp.shared_expert_gate"},
    sp::moe_tp_experts_partial{"model.layers.*.mlp.experts"}};
static_assert(sp::covers<qwen2_moe, qwen2_moe_plan>());

struct qwen2_moe_family : stored_by_expert {
  static constexpr std::string_view model_type = "qwen2_moe";
  template <class At> using model = qwen2_moe<At>;
  static constexpr const auto& plan = qwen2_moe_plan;
  static constexpr published_plan published{transformers_plans::qwen2_moe, transformers_plans::gathered_head, "model.", "model.embed_tokens",
                                              transformers_plans::dealt_experts};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 32768, .kv_heads = 16}, allowed);
    c.attention_bias = in.maybe_boolean("qkv_bias").value_or(true);
    read_experts(in, c, "num_experts", 60, 4, 1408);
    refuse_auxiliary_loss(in);
    c.moe.shared_features = in.maybe_integer("shared_expert_intermediate_size", 1, 1L << 24).value_or(5632);
    c.moe.how.renormalised = in.maybe_boolean("norm_topk_prob").value_or(false);
    read_sparse_steps(in, c);
    read_windows(in, c, [](long layer, long upto) { return layer % 2 == 0 && layer < upto; });
    return c;
  }
};

}  // namespace shardproof::families

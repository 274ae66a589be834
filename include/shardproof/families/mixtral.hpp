#pragma once
/// @file
/// Mixtral (Jiang et al., arXiv 2401.04088): `model_type` "mixtral". Every layer has experts.
///
///     sp::families::mixtral<sp::at<sp::families::mixtral_plan>> model;
///     const auto c = sp::families::mixtral_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: sliding_window, head_dim, grouped KV heads, tied head, num_local_experts, num_experts_per_tok. The plan cuts every expert among
/// all ranks: the load is even whatever the router does.
#include <shardproof/families/experts.hpp>
namespace shardproof::families {

template <class At> using mixtral = causal<pre_norm<rotary_attention<>::block, routed_mixture>::layer>::lm<At>;

inline constexpr sp::plan mixtral_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj", "lm_head"},
    sp::packed_colwise{"model.layers.*.mlp.experts.gate_up_proj"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.experts.down_proj"},
    sp::moe_tp_experts{"model.layers.*.mlp.experts"}};
static_assert(sp::covers<mixtral, mixtral_plan>());

struct mixtral_family {
  static constexpr std::string_view model_type = "mixtral";
  template <class At> using model = mixtral<At>;
  static constexpr const auto& plan = mixtral_plan;
  static constexpr published_plan published{transformers_plans::mixtral, transformers_plans::gathered_head, "model.", "model.embed_tokens",
                                              transformers_plans::dealt_experts};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    in.also_called("num_local_experts", "num_experts");
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 131072, .kv_heads = 8, .eps = 1e-5, .rope_theta = 1e6}, allowed);
    read_experts(in, c, "num_local_experts", 8, 2, c.intermediate_size, "intermediate_size");
    refuse_auxiliary_loss(in);
    c.moe.how.renormalised = true;
    read_dropout(in, c, {.unapplied = "router_jitter_noise"});
    in.only("attention_bias", false, "the attention of this family has no biases");
    read_one_window(in, c, 0);
    return c;
  }
  /// Checkpoints say block_sparse_moe, w1 for gate, w3 for up and w2 for down.
  static std::vector<std::string> stored_as(std::string_view name, const configuration& c) {
    const auto at = name.find(".mlp.");
    if (at == name.npos) return {};
    const std::string prefix = std::string(name.substr(0, at)) + ".block_sparse_moe";
    const auto inside = name.substr(at + 5);
    if (inside == "experts.gate_up_proj") return expert_tensors(prefix + ".experts", c.moe.experts, {"w1", "w3"});
    if (inside == "experts.down_proj") return expert_tensors(prefix + ".experts", c.moe.experts, {"w2"});
    return {prefix + "." + std::string(inside)};
  }
};

}  // namespace shardproof::families

#pragma once
/// @file
/// LongCat-Flash (Meituan, arXiv 2509.01322): `model_type` "longcat_flash". A layer has latent attention twice, a dense mlp twice, and experts
/// whose result joins at its end; some experts are the identity.
///
///     sp::families::longcat_flash<sp::at<sp::families::longcat_flash_plan>> model;
///     const auto c = sp::families::longcat_flash_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: q_lora_rank, kv_lora_rank, the three head extents, attention_bias, tied head, moe_topk, zero_expert_num, routed_scaling_factor, every
/// rotary variant. Checkpoints hold gate and up of the identity experts too; they are kept, used by nothing, and saved again.
#include <shardproof/families/experts.hpp>
#include <shardproof/families/latent_attention.hpp>
#include <shardproof/tensor/ops/identity_weight.hpp>
namespace shardproof {

namespace families {
/// The number of a member that checkpoints count: a layer's first and second attention.
template <int I> struct number;
}  // namespace families
template <> constexpr std::string_view type_name<families::number<0>>() { return "0"; }
template <> constexpr std::string_view type_name<families::number<1>>() { return "1"; }

namespace families {

inline constexpr char second_attention[] = "second";              ///< its part of a cache

template <class Kind> struct twice {
  template <class At> struct members {
    sp::layer<At, number<0>, Kind> first;
    sp::layer<At, number<1>, Kind> second;
  };
};

template <class At> struct longcat_router {
  SP_LAYER(classifier, sp::linear<hidden, router_scores>);
  SP_BUFFER(e_score_correction_bias, router_scores);
  sp::router_rule how;
  constexpr void configure(const configuration& c) { how = c.moe.how; }
  constexpr auto forward(const auto& x) const { return sp::choose(classifier(x), how, e_score_correction_bias); }
};
template <class At> struct passed_on {
  long routed = 0;
  constexpr void configure(const configuration& c) { routed = c.moe.experts; }
  constexpr auto forward(const auto& x, const auto& chosen) const { return sp::scale_rows(x, sp::identity_weight(chosen, routed)); }
};
template <class At> struct longcat_experts {
  SP_PARAM(gate_up_proj, sp::per_expert<n_experts>, sp::out<sp::fused<expert_ffn, expert_ffn>>, sp::in<hidden>);
  SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<expert_ffn>);
  SP_PARAM(unused_gate_up_proj, n_identities, sp::fused<expert_ffn, expert_ffn>, hidden);
  SP_LAYER(identity_expert, sp::region<passed_on>);
  sp::activation_kind act = sp::activation_kind::silu;
  constexpr void configure(const configuration& c) { act = c.hidden_act; }
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch(x, chosen, gate_up_proj);
    auto [gate, up] = sp::split(to.grouped(to.rows, gate_up_proj));
    auto mixed = to.combine(to.grouped(sp::activate(act, gate) * up, down_proj));
    return mixed + identity_expert(x, chosen);
  }
};
template <class At> struct longcat_mixture {
  SP_LAYER(router, sp::block<longcat_router>);
  SP_LAYER(experts, sp::region<longcat_experts>);
  constexpr auto forward(const auto& x) const { return experts(x, router(x)); }
};

template <class At> struct longcat_layer {
  SP_LAYER(input_layernorm, sp::block<twice<sp::rms_norm<hidden>>::template members>);
  SP_LAYER(self_attn, sp::block<twice<sp::block<latent_attention>>::template members>);
  SP_LAYER(post_attention_layernorm, sp::block<twice<sp::rms_norm<hidden>>::template members>);
  SP_LAYER(mlps, sp::block<twice<sp::block<gated_mlp>>::template members>);
  SP_LAYER(mlp, sp::block<longcat_mixture>);
  constexpr void configure(const configuration& c) {
    input_layernorm.first.eps = input_layernorm.second.eps = post_attention_layernorm.first.eps = post_attention_layernorm.second.eps = c.norm_eps;
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto attended = self_attn.first(input_layernorm.first(x), cache);
    auto h = x + attended;
    auto n = post_attention_layernorm.first(h);
    auto mixed = mlp(n);
    auto fed = mlps.first(n);
    auto g = h + fed;
    auto again = self_attn.second(input_layernorm.second(g), cache.slot(second_attention, 0));
    auto k = g + again;
    auto fed_again = mlps.second(post_attention_layernorm.second(k));
    return k + fed_again + mixed;
  }
};

template <class At> using longcat_flash = causal<longcat_layer>::lm<At>;

inline constexpr sp::plan longcat_flash_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::mla_kv_a_proj{"model.layers.*.self_attn.*.kv_a_proj_with_mqa"},
    sp::replicated{"model.layers.*.self_attn.*.q_a_proj", "model.layers.*.mlp.router.classifier", "model.layers.*.mlp.experts.unused_gate_up_proj"},
    sp::colwise{"?model.layers.*.self_attn.*.q_proj", "model.layers.*.self_attn.*.q_b_proj", "model.layers.*.self_attn.*.kv_b_proj",
                "model.layers.*.mlps.*.gate_proj", "model.layers.*.mlps.*.up_proj", "lm_head"},
    sp::packed_colwise{"model.layers.*.mlp.experts.gate_up_proj"},
    sp::rowwise{"model.layers.*.self_attn.*.o_proj", "model.layers.*.mlps.*.down_proj", "model.layers.*.mlp.experts.down_proj"},
    sp::moe_identity_expert{"model.layers.*.mlp.experts.identity_expert"},
    sp::moe_tp_experts{"model.layers.*.mlp.experts"}};
static_assert(sp::covers<longcat_flash, longcat_flash_plan>());

struct longcat_flash_family {
  static constexpr std::string_view model_type = "longcat_flash";
  template <class At> using model = longcat_flash<At>;
  static constexpr const auto& plan = longcat_flash_plan;
  static constexpr published_plan published{transformers_plans::longcat_flash, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    constexpr const char* names[][2] = {{"n_routed_experts", "num_local_experts"}, {"moe_topk", "num_experts_per_tok"}, {"ffn_hidden_size", "intermediate_size"}, {"expert_ffn_hidden_size", "moe_intermediate_size"}};
    for (const auto& [key, other] : names) in.also_called(key, other);
    const long rotary_part = read_rotary_part(in, 64);
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 131072, .head_dim = rotary_part, .layers_key = "num_layers",
                                        .ffn_key = "ffn_hidden_size", .eps = 1e-5, .rope_theta = 1e7}, allowed);
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(false);
    read_latent(in, c, 1536, rotary_part);
    if (!c.latent.q_rank) in.unsupported("q_lora_rank", "queries of this family have a latent", "give it");
    c.latent.query_scale = std::sqrt(double(c.hidden_size) / double(c.latent.q_rank));
    c.latent.latent_scale = std::sqrt(double(c.hidden_size) / double(c.latent.kv_rank));
    c.rope.full.interleaved = c.rope.sliding.interleaved = true;
    c.moe.experts = in.maybe_integer("n_routed_experts", 1, 1L << 16).value_or(512);
    c.moe.identities = in.maybe_integer("zero_expert_num", 0, 1L << 16).value_or(256);
    c.moe.how.chosen = in.maybe_integer("moe_topk", 1, 1L << 16).value_or(12);
    if (c.moe.how.chosen > c.moe.experts + c.moe.identities) in.refuse("moe_topk", "there are fewer experts than that", "correct one of the two");
    c.moe.features = in.maybe_integer("expert_ffn_hidden_size", 1, 1L << 24).value_or(2048);
    c.moe.how.scale = in.maybe_number("routed_scaling_factor").value_or(6);
    for (const char* unread : {"router_bias", "output_router_logits"}) (void)in.maybe_boolean(unread);            // transformers makes the bias and does not add it
    (void)in.maybe_number("router_aux_loss_coef");
    if (const auto t = in.maybe_text("zero_expert_type"); t && *t != "identity") in.unsupported("zero_expert_type", "such experts return what they are given here", "use identity");
    read_no_windows(in, c);
    return c;
  }
  static std::vector<std::string> stored_as(std::string_view name, const configuration& c) {
    constexpr std::string_view unused = ".experts.unused_gate_up_proj";
    if (name.ends_with(unused)) {
      const std::string prefix = std::string(name.substr(0, name.size() - unused.size())) + ".experts.";
      std::vector<std::string> out;
      for (long e = 0; e < c.moe.identities; ++e)
        for (const char* part : {"gate_proj", "up_proj"}) out.push_back(prefix + std::to_string(c.moe.experts + e) + "." + part + ".weight");
      return out;
    }
    return stored_by_expert::stored_as(name, c);
  }
};

}  // namespace families
}  // namespace shardproof

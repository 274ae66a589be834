#pragma once
/// @file
/// What the mixtures of experts share: the experts themselves, layers that are dense or sparse, and what config.json says of them.
///
///     template <class At> struct my_mixture {
///       SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
///       SP_LAYER(experts, sp::region<gated_experts>);
///       constexpr auto forward(const auto& x) const { return experts(x, gate(x)); }
///     };
///
/// Members bear the names that transformers 5 gives them in memory; checkpoints keep each expert's matrices apart: see expert_tensors.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/layer/experts.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

/// down(act(gate(x)) * up(x)) of each token's experts. x (batch, seq, hidden); between, one row for each choice: (routed, expert_ffn/tp), or
/// the rows of this rank's experts.
template <class At> struct gated_experts {
  SP_PARAM(gate_up_proj, sp::per_expert<n_experts>, sp::out<sp::fused<expert_ffn, expert_ffn>>, sp::in<hidden>);
  SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<expert_ffn>);
  sp::activation_kind act = sp::activation_kind::silu;
  constexpr void configure(const configuration& c) { act = c.hidden_act; }
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch(x, chosen, gate_up_proj);
    auto [gate, up] = sp::split(to.grouped(to.rows, gate_up_proj));
    return to.combine(to.grouped(sp::activate(act, gate) * up, down_proj));
  }
};

/// Routed experts alone.
template <class At> struct routed_mixture {
  SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
  SP_LAYER(experts, sp::region<gated_experts>);
  constexpr void configure(const configuration& c) { gate.how = c.moe.how; }
  constexpr auto forward(const auto& x) const { return experts(x, gate(x)); }
};

/// Routed experts and one that every token passes; where the plan leaves both sums pending, one reduction serves them.
template <class... RouterOptions> struct shared_mixture {
  template <class At> struct block {
    SP_LAYER(gate, sp::topk_router<hidden, n_experts, RouterOptions...>);
    SP_LAYER(experts, sp::region<gated_experts>);
    SP_LAYER(shared_experts, sp::block<gated_by<shared_ffn, sp::maybe_bias>::template mlp>);
    constexpr void configure(const configuration& c) { gate.how = c.moe.how; }
    constexpr auto forward(const auto& x) const {
      auto mixed = experts(x, gate(x));
      return sp::reduced(mixed + shared_experts(x), x);
    }
  };
};

/// A plain mlp in some layers and experts in the others, under one name.
template <template <class> class Mixture> struct dense_or {
  template <class At> struct mlp {
    SP_LAYER(inside, sp::one_of<sp::spliced<gated<sp::maybe_bias>::mlp>, sp::spliced<Mixture>>);
    constexpr void configure(const configuration& c, int layer) { inside.choose(c.moe.in_layer(layer)); }
    constexpr auto forward(const auto& x) const { return inside(x); }
  };
};

/// The tensors that a checkpoint keeps a stack of experts in: "PREFIX.3.gate_proj.weight", "PREFIX.3.up_proj.weight", ...
inline std::vector<std::string> expert_tensors(std::string_view prefix, long experts, std::initializer_list<std::string_view> parts) {
  std::vector<std::string> out;
  for (long e = 0; e < experts; ++e)
    for (const auto part : parts) out.push_back(std::string(prefix) + "." + std::to_string(e) + "." + std::string(part) + ".weight");
  return out;
}
/// What a family's checkpoints have of the usual names; empty: the parameter is stored as it is named.
struct stored_by_expert {
  static std::vector<std::string> stored_as(std::string_view name, const configuration& c) {
    const auto prefix = name.substr(0, name.rfind('.'));
    if (name.ends_with(".experts.gate_up_proj")) return expert_tensors(prefix, c.moe.experts, {"gate_proj", "up_proj"});
    if (name.ends_with(".experts.down_proj")) return expert_tensors(prefix, c.moe.experts, {"down_proj"});
    return {};
  }
};

/// How many there are and how many a token gets. @error SP604 more are chosen than there are.
inline void read_experts(fields& in, configuration& c, const char* experts_key, long experts, long chosen, long features, const char* features_key = "moe_intermediate_size") {
  c.moe.experts = in.maybe_integer(experts_key, 1, 1L << 16).value_or(experts);
  c.moe.how.chosen = in.maybe_integer("num_experts_per_tok", 1, 1L << 16).value_or(chosen);
  if (c.moe.how.chosen > c.moe.experts)
    in.refuse("num_experts_per_tok", "there are " + std::to_string(c.moe.experts) + " experts, and each token would get " + std::to_string(c.moe.how.chosen), "correct one of the two");
  c.moe.features = in.maybe_integer(features_key, 1, 1L << 24).value_or(features);
  c.moe.sparse.assign(std::size_t(c.num_hidden_layers), 1);
  (void)in.maybe_boolean("output_router_logits");                        // changes the loss in some families alone: see refuse_auxiliary_loss
  (void)in.maybe_number("router_aux_loss_coef");
}
/// Of the families whose loss in transformers has a term that balances the experts' load, where it is asked for.
inline void refuse_auxiliary_loss(fields& in) {
  if (in.maybe_number("router_aux_loss_coef").value_or(0.001) != 0) in.only("output_router_logits", false, "the loss that balances the experts' load is not computed here");
}
/// qwen: each `decoder_sparse_step`th layer has experts, but for those that mlp_only_layers names.
inline void read_sparse_steps(fields& in, configuration& c) {
  const long step = in.maybe_integer("decoder_sparse_step", 1).value_or(1);
  for (long i = 0; i < c.num_hidden_layers; ++i) c.moe.sparse[std::size_t(i)] = (i + 1) % step == 0;
  for (const double layer : in.maybe_numbers("mlp_only_layers").value_or(std::vector<double>{}))
    if (layer >= 0 && layer < double(c.num_hidden_layers)) c.moe.sparse[std::size_t(layer)] = 0;
}

/// DeepSeek and GLM: the first layers are dense; experts in groups, a bias of the choice, shared experts in one mlp of their joint width.
inline void read_grouped_experts(fields& in, configuration& c, long first_dense, long groups, long kept, long shared = 1) {
  const long dense = in.maybe_integer("first_k_dense_replace", 0).value_or(first_dense);
  for (long i = 0; i < c.num_hidden_layers && i < dense; ++i) c.moe.sparse[std::size_t(i)] = 0;
  auto& how = c.moe.how;
  how.groups = in.maybe_integer("n_group", 1, c.moe.experts).value_or(groups);
  how.kept_groups = in.maybe_integer("topk_group", 1).value_or(kept);
  if (c.moe.experts % how.groups)
    in.refuse("n_group", "there are " + std::to_string(c.moe.experts) + " experts, which are no multiple of it", "correct one of the two");
  if (how.kept_groups > how.groups) in.refuse("topk_group", "there are only " + std::to_string(how.groups) + " groups", "correct one of the two");
  if (c.moe.experts / how.groups * how.kept_groups < how.chosen)
    in.refuse("topk_group", "the groups that are kept hold fewer experts than a token gets", "keep more groups, or choose fewer experts");
  how.scale = in.maybe_number("routed_scaling_factor").value_or(1);
  c.moe.shared_features = c.moe.features * in.maybe_integer("n_shared_experts", 1, 1L << 16).value_or(shared);
  in.only("moe_layer_freq", 1L, "every layer behind the dense ones has experts here");
  (void)in.maybe_integer("ep_size", 1);                                  // how some launcher ran it
  (void)in.maybe_number("aux_loss_alpha");
  (void)in.maybe_boolean("seq_aux");
  if (const auto f = in.maybe_text("scoring_func"); f && *f != (how.score == router_score::sigmoid ? "sigmoid" : "softmax"))
    in.unsupported("scoring_func", "routers of this family have another", "use the family whose router it is");
  (void)in.maybe_integer("num_nextn_predict_layers", 0);                 // layers that predict further tokens, which a checkpoint may hold too
  (void)in.maybe_integer("num_mtp_layers", 0);
}

}  // namespace shardproof::families

#pragma once
/// @file
/// GPT-NeoX and Pythia (Black et al., arXiv 2204.06745): `model_type` "gpt_neox". One matrix for query, key and value, head by head; attention
/// and mlp side by side, each behind a norm of its own; a quarter of each head turns.
///
///     sp::families::gpt_neox_lm<sp::at<sp::families::gpt_neox_plan>> model;
///     const auto c = sp::families::gpt_neox_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: use_parallel_residual (else one after the other), attention_bias, partial_rotary_factor (rotary_pct in older files), every
/// rotary variant. The head is `embed_out` in checkpoints and `lm_head` in transformers.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
#include <shardproof/tensor/ops/split.hpp>
namespace shardproof::families {

template <class At> struct gpt_neox_attention {
  SP_LAYER(query_key_value, sp::linear<hidden, sp::dims<q_heads, sp::fused<head_dim, head_dim, head_dim>>, sp::maybe_bias>);
  SP_LAYER(dense, sp::linear<sp::dims<q_heads, head_dim>, hidden, sp::maybe_bias>);
  sp::rotary rotary;
  constexpr void configure(const configuration& c, int layer) {
    query_key_value.bias.present = dense.bias.present = c.attention_bias;
    rotary = c.rotary_of(layer);
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto [queries, keys, v] = sp::split(query_key_value(x));             // of each head: sharded by heads, no communication
    auto q = sp::rope(queries, cache.positions(), rotary);
    auto k = sp::rope(keys, cache.positions(), rotary);
    return dense(sp::attention(q, cache.extend(k, v)));
  }
};

template <class At> struct gpt_neox_mlp {
  SP_LAYER(dense_h_to_4h, sp::linear<hidden, ffn, sp::with_bias>);
  SP_LAYER(dense_4h_to_h, sp::linear<ffn, hidden, sp::with_bias>);
  sp::activation_kind act = sp::activation_kind::gelu;
  constexpr void configure(const configuration& c) { act = c.hidden_act; }
  constexpr auto forward(const auto& x) const { return dense_4h_to_h(sp::activate(act, dense_h_to_4h(x))); }
};

using gpt_neox_norm = sp::layer_norm<hidden, sp::with_bias>;
template <class At> struct gpt_neox_layer {
  SP_LAYER(input_layernorm, gpt_neox_norm);
  SP_LAYER(post_attention_layernorm, gpt_neox_norm);
  SP_LAYER(attention, sp::block<gpt_neox_attention>);
  SP_LAYER(mlp, sp::block<gpt_neox_mlp>);
  bool side_by_side = true;
  double drop = 0;
  constexpr void configure(const configuration& c) {
    input_layernorm.eps = post_attention_layernorm.eps = c.norm_eps;
    side_by_side = c.use_parallel_residual;
    drop = c.residual_dropout;
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto attended = sp::dropout(attention(input_layernorm(x), cache), drop);
    auto h = x + attended;
    auto n = side_by_side ? post_attention_layernorm(x) : post_attention_layernorm(h);
    return h + sp::dropout(mlp(n), drop);
  }
};

template <class At> struct gpt_neox_body {
  SP_LAYER(embed_in, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<gpt_neox_layer>);
  SP_LAYER(final_layer_norm, gpt_neox_norm);
  double drop = 0;
  constexpr void configure(const configuration& c) {
    layers.resize(c.num_hidden_layers);
    final_layer_norm.eps = c.norm_eps;
    drop = c.embedding_dropout;
  }
  constexpr auto forward(const auto& ids, auto&& cache) const { return final_layer_norm(layers(sp::dropout(embed_in(ids), drop), cache)); }
};
template <class At> struct gpt_neox_tied_head {
  SP_LAYER(embed_out, sp::tied_linear<hidden, vocab>);
  constexpr auto forward(const auto& x, const auto& table) const { return embed_out(x, table); }
};
template <class At> struct gpt_neox_own_head {
  SP_LAYER(embed_out, sp::linear<hidden, vocab>);
  constexpr auto forward(const auto& x, const auto&) const { return embed_out(x); }
};
/// Its body bears the family's name in checkpoints.
template <class At> struct gpt_neox_lm {
  SP_LAYER(gpt_neox, sp::block<gpt_neox_body>);
  SP_LAYER(head, sp::one_of<sp::spliced<gpt_neox_tied_head>, sp::spliced<gpt_neox_own_head>>);
  constexpr void configure(const configuration& c) { head.choose(!c.tie_word_embeddings); }
  constexpr auto forward(const auto& ids, auto&& cache) const { return head(gpt_neox(ids, cache), gpt_neox.embed_in.weight); }
};

inline constexpr sp::plan gpt_neox_plan{
    sp::embedding_rowwise{"gpt_neox.embed_in"},
    sp::colwise{"gpt_neox.layers.*.attention.query_key_value", "gpt_neox.layers.*.mlp.dense_h_to_4h", "embed_out"},
    sp::rowwise{"gpt_neox.layers.*.attention.dense", "gpt_neox.layers.*.mlp.dense_4h_to_h"}};
static_assert(sp::covers<gpt_neox_lm, gpt_neox_plan>());

struct gpt_neox_family {
  static constexpr std::string_view model_type = "gpt_neox";
  template <class At> using model = gpt_neox_lm<At>;
  static constexpr const auto& plan = gpt_neox_plan;
  static constexpr published_plan published{transformers_plans::gpt_neox, transformers_plans::gathered_head, "gpt_neox.", "gpt_neox.embed_in", {}, {}, "embed_out"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 2048, .partial_rotary = true, .partial_rotary_factor = 0.25,
                                        .theta_key = "rotary_emb_base", .partial_key = "rotary_pct", .act = "gelu", .eps_key = "layer_norm_eps",
                                        .eps = 1e-5, .pads = false}, allowed);
    for (const char* of_others : {"rope_theta", "partial_rotary_factor"}) (void)in.maybe_number(of_others);       // not read outside the rope object
    if (c.num_key_value_heads != c.num_attention_heads) in.unsupported("num_key_value_heads", "every query head of this family has its own key and value", "remove it");
    if (c.head_dim * c.num_attention_heads != c.hidden_size) in.unsupported("head_dim", "heads have hidden_size / num_attention_heads features in this family", "remove it");
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(true);
    c.use_parallel_residual = in.maybe_boolean("use_parallel_residual").value_or(true);
    read_dropout(in, c, {.embedding = "hidden_dropout", .residual = "hidden_dropout"});
    (void)in.maybe_number("classifier_dropout");
    read_no_windows(in, c);
    return c;
  }
};

}  // namespace shardproof::families

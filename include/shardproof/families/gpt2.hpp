#pragma once
/// @file
/// GPT-2 (Radford et al., 2019): `model_type` "gpt2". Learned positions; weights are stored [in, out]; query, key and value in one matrix.
///
///     sp::families::gpt2<sp::at<sp::families::gpt2_plan>> model;
///     const auto c = sp::families::gpt2_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: n_inner, activation_function, scale_attn_weights, scale_attn_by_inverse_layer_idx, tied head (the default) or one of its own.
/// Dropout, which transformers applies while training unless its rates are zero, is not applied.
#include <cmath>
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
#include <shardproof/tensor/ops/position_ids.hpp>
namespace shardproof::families {

template <class At> struct gpt2_attention {
  using heads = sp::flat<q_heads, head_dim>;
  SP_LAYER(c_attn, sp::linear<hidden, sp::fused<heads, heads, heads>, sp::stored_in_out, sp::with_bias>);
  SP_LAYER(c_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden, sp::stored_in_out, sp::with_bias>);
  sp::mask mask;
  constexpr void configure(const configuration& c, int layer) {
    mask = c.mask_of(layer);
    if (c.scale_by_layer) mask.scale /= double(layer + 1);
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto [q, k, v] = sp::split(c_attn(x));
    return c_proj(sp::attention(q, cache.extend(k, v), mask));
  }
};
template <class At> struct gpt2_mlp {
  SP_LAYER(c_fc, sp::linear<hidden, ffn, sp::stored_in_out, sp::with_bias>);
  SP_LAYER(c_proj, sp::linear<ffn, hidden, sp::stored_in_out, sp::with_bias>);
  sp::activation_kind act = sp::activation_kind::gelu_tanh;
  constexpr void configure(const configuration& c) { act = c.hidden_act; }
  constexpr auto forward(const auto& x) const { return c_proj(sp::activate(act, c_fc(x))); }
};

using gpt2_norm = sp::layer_norm<hidden, sp::with_bias>;
template <class At> struct gpt2_layer {
  SP_LAYER(ln_1, gpt2_norm);
  SP_LAYER(attn, sp::block<gpt2_attention>);
  SP_LAYER(ln_2, gpt2_norm);
  SP_LAYER(mlp, sp::block<gpt2_mlp>);
  double drop = 0;
  constexpr void configure(const configuration& c) {
    ln_1.eps = ln_2.eps = c.norm_eps;
    drop = c.residual_dropout;
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto attended = sp::dropout(attn(ln_1(x), cache), drop);
    auto h = x + attended;
    return h + sp::dropout(mlp(ln_2(h)), drop);
  }
};
template <class At> struct gpt2_body {
  SP_LAYER(wte, sp::embedding<vocab, hidden>);
  SP_LAYER(wpe, sp::embedding<position, hidden>);
  SP_LAYER(h, sp::stack<gpt2_layer>);
  SP_LAYER(ln_f, gpt2_norm);
  double drop = 0;
  constexpr void configure(const configuration& c) {
    h.resize(c.num_hidden_layers);
    ln_f.eps = c.norm_eps;
    drop = c.embedding_dropout;
  }
  constexpr auto forward(const auto& ids, auto&& cache) const {
    auto x = wte(ids);
    return ln_f(h(sp::dropout(x + wpe(sp::position_ids(ids, cache.start())), drop), cache));
  }
};
/// Its body bears another name than the others' in checkpoints.
template <class At> struct gpt2 {
  SP_LAYER(transformer, sp::block<gpt2_body>);
  SP_LAYER(head, sp::one_of<sp::spliced<tied_head>, sp::spliced<own_head>>);
  constexpr void configure(const configuration& c) { head.choose(!c.tie_word_embeddings); }
  constexpr auto forward(const auto& ids, auto&& cache) const { return head(transformer(ids, cache), transformer.wte.weight); }
};

inline constexpr sp::plan gpt2_plan{
    sp::embedding_rowwise{"transformer.wte"},
    sp::replicated{"transformer.wpe"},
    sp::packed_colwise{"transformer.h.*.attn.c_attn"},
    sp::colwise{"transformer.h.*.mlp.c_fc", "lm_head"},
    sp::rowwise{"transformer.h.*.attn.c_proj", "transformer.h.*.mlp.c_proj"}};
static_assert(sp::covers<gpt2, gpt2_plan>());

struct gpt2_family {
  static constexpr std::string_view model_type = "gpt2";
  template <class At> using model = gpt2<At>;
  static constexpr const auto& plan = gpt2_plan;
  static constexpr published_plan published{"{}", "{}", "transformer.", "transformer.wte"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    constexpr const char* names[][2] = {{"n_embd", "hidden_size"}, {"n_positions", "max_position_embeddings"}, {"n_head", "num_attention_heads"}, {"n_layer", "num_hidden_layers"}};
    for (const auto& [key, other] : names) in.also_called(key, other);
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 1024, .turns = false, .hidden_key = "n_embd", .layers_key = "n_layer", .heads_key = "n_head",
                                        .positions_key = "n_positions", .ffn_key = "n_inner", .ffn_times = 4, .act_key = "activation_function", .act = "gelu_new",
                                        .eps_key = "layer_norm_epsilon", .eps = 1e-5, .pads = false, .tied = true}, allowed);
    if (c.num_key_value_heads != c.num_attention_heads) in.unsupported("num_key_value_heads", "every query head of this family has its own key and value", "remove it");
    if (c.head_dim * c.num_attention_heads != c.hidden_size) in.unsupported("head_dim", "heads have n_embd / n_head features in this family", "remove it");
    const bool scaled_scores = in.maybe_boolean("scale_attn_weights").value_or(true);
    c.attention_scale = scaled_scores ? 1 / std::sqrt(double(c.head_dim)) : 1;
    c.scale_by_layer = in.maybe_boolean("scale_attn_by_inverse_layer_idx").value_or(false);
    (void)in.maybe_boolean("reorder_and_upcast_attn");                   // a matter of rounding in 16 bits
    (void)in.maybe_integer("n_ctx", 1);                                  // n_positions in older files
    read_dropout(in, c, {.embedding = "embd_pdrop", .residual = "resid_pdrop", .unapplied = "attn_pdrop"});
    (void)in.maybe_number("summary_first_dropout");
    for (const char* of_summaries : {"summary_activation", "summary_type", "summary_proj_to_labels", "summary_use_proj"}) (void)in.has(of_summaries);
    read_no_windows(in, c);
    return c;
  }
};

}  // namespace shardproof::families

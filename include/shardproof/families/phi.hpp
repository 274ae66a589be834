#pragma once
/// @file
/// Phi-1, 1.5 and 2 (arXiv 2306.11644, 2309.05463): `model_type` "phi". Attention and mlp side by side behind one norm, biases everywhere, half
/// of each head turns.
///
///     sp::families::phi<sp::at<sp::families::phi_plan>> model;
///     const auto c = sp::families::phi_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: qk_layernorm (a norm on each query and key head), partial_rotary_factor, grouped KV heads, tied head (its bias is its own), every rotary variant.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

template <class At> struct phi_attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>, sp::with_bias>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::with_bias>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::with_bias>);
  SP_LAYER(dense, sp::linear<sp::dims<q_heads, head_dim>, hidden, sp::with_bias>);
  SP_LAYER(q_layernorm, sp::maybe<sp::layer_norm<head_dim, sp::with_bias>>);
  SP_LAYER(k_layernorm, sp::maybe<sp::layer_norm<head_dim, sp::with_bias>>);
  sp::rotary rotary;
  constexpr void configure(const configuration& c, int layer) {
    q_layernorm.present = k_layernorm.present = c.qk_norm;
    q_layernorm.some.eps = k_layernorm.some.eps = c.norm_eps;
    rotary = c.rotary_of(layer);
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = sp::rope(q_layernorm(q_proj(x)), cache.positions(), rotary);
    auto k = sp::rope(k_layernorm(k_proj(x)), cache.positions(), rotary);
    auto v = v_proj(x);
    return dense(sp::attention(q, cache.extend(k, v)));
  }
};

template <class At> struct phi_mlp {
  SP_LAYER(fc1, sp::linear<hidden, ffn, sp::with_bias>);
  SP_LAYER(fc2, sp::linear<ffn, hidden, sp::with_bias>);
  sp::activation_kind act = sp::activation_kind::gelu_tanh;
  constexpr void configure(const configuration& c) { act = c.hidden_act; }
  constexpr auto forward(const auto& x) const { return fc2(sp::activate(act, fc1(x))); }
};

using phi_norm = sp::layer_norm<hidden, sp::with_bias>;
template <class At> struct phi_body {
  SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<parallel<phi_attention, phi_mlp, phi_norm>::layer>);
  SP_LAYER(final_layernorm, phi_norm);
  double drop = 0;
  constexpr void configure(const configuration& c) {
    embed_tokens.padding = c.pad_token_id;
    layers.resize(c.num_hidden_layers);
    final_layernorm.eps = c.norm_eps;
    drop = c.embedding_dropout;
  }
  constexpr auto forward(const auto& ids, auto&& cache) const { return final_layernorm(layers(sp::dropout(embed_tokens(ids), drop), cache)); }
};
template <class At> struct phi_tied_head {
  SP_LAYER(lm_head, sp::tied_linear<hidden, vocab, sp::with_bias>);
  constexpr auto forward(const auto& x, const auto& table) const { return lm_head(x, table); }
};
template <class At> struct phi_own_head {
  SP_LAYER(lm_head, sp::linear<hidden, vocab, sp::with_bias>);
  constexpr auto forward(const auto& x, const auto&) const { return lm_head(x); }
};
template <class At> struct phi {
  SP_LAYER(model, sp::block<phi_body>);
  SP_LAYER(head, sp::one_of<sp::spliced<phi_tied_head>, sp::spliced<phi_own_head>>);
  constexpr void configure(const configuration& c) { head.choose(!c.tie_word_embeddings); }
  constexpr auto forward(const auto& ids, auto&& cache) const { return head(model(ids, cache), model.embed_tokens.weight); }
};

inline constexpr sp::plan phi_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.fc1", "lm_head"},
    sp::rowwise{"model.layers.*.self_attn.dense", "model.layers.*.mlp.fc2"},
    sp::replicated_with_grad_allreduce{"?model.layers.*.self_attn.q_layernorm", "?model.layers.*.self_attn.k_layernorm"}};
static_assert(sp::covers<phi, phi_plan>());

struct phi_family {
  static constexpr std::string_view model_type = "phi";
  template <class At> using model = phi<At>;
  static constexpr const auto& plan = phi_plan;
  static constexpr published_plan published{transformers_plans::phi, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 2048, .partial_rotary = true, .partial_rotary_factor = 0.5,
                                        .act = "gelu_new", .eps_key = "layer_norm_eps", .eps = 1e-5}, allowed);
    c.qk_norm = in.maybe_boolean("qk_layernorm").value_or(false);
    read_dropout(in, c, {.embedding = "embd_pdrop", .residual = "resid_pdrop"});
    read_no_windows(in, c);
    return c;
  }
};

}  // namespace shardproof::families

#pragma once
/// @file
/// StarCoder2 (Lozhkov et al., arXiv 2402.19173): `model_type` "starcoder2". LayerNorms with biases, a plain mlp, a window on every layer.
///
///     sp::families::starcoder2<sp::at<sp::families::starcoder2_plan>> model;
///     const auto c = sp::families::starcoder2_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: use_bias (of all projections), sliding_window (none where the file is silent), grouped KV heads, tied head (the default),
/// every rotary variant.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

template <class At> struct starcoder2_mlp {
  SP_LAYER(c_fc, sp::linear<hidden, ffn, sp::maybe_bias>);
  SP_LAYER(c_proj, sp::linear<ffn, hidden, sp::maybe_bias>);
  sp::activation_kind act = sp::activation_kind::gelu_tanh;
  constexpr void configure(const configuration& c) {
    c_fc.bias.present = c_proj.bias.present = c.mlp_bias;
    act = c.hidden_act;
  }
  constexpr auto forward(const auto& x) const { return c_proj(sp::activate(act, c_fc(x))); }
};

using starcoder2_norm = sp::layer_norm<hidden, sp::with_bias>;
template <class At> using starcoder2 = causal<pre_norm<rotary_attention<sp::maybe_bias>::block, starcoder2_mlp, starcoder2_norm>::layer, starcoder2_norm>::lm<At>;

inline constexpr sp::plan starcoder2_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.c_fc", "lm_head"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.c_proj"}};
static_assert(sp::covers<starcoder2, starcoder2_plan>());

struct starcoder2_family {
  static constexpr std::string_view model_type = "starcoder2";
  template <class At> using model = starcoder2<At>;
  static constexpr const auto& plan = starcoder2_plan;
  static constexpr published_plan published{transformers_plans::starcoder2, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 4096, .kv_heads = 2, .act = "gelu_pytorch_tanh",
                                        .eps_key = "norm_epsilon", .eps = 1e-5, .initializer_range = 0.018042, .tied = true}, allowed);
    c.attention_bias = c.mlp_bias = in.maybe_boolean("use_bias").value_or(true);
    read_dropout(in, c, {.embedding = "embedding_dropout", .residual = "residual_dropout"});
    read_one_window(in, c, 0);
    return c;
  }
};

}  // namespace shardproof::families

#pragma once
/// @file
/// Granite (IBM, "Granite 3.0 Language Models"; Power scheduler and muP multipliers): `model_type` "granite". Llama with four numbers.
///
///     sp::families::granite<sp::at<sp::families::granite_plan>> model;
///     const auto c = sp::families::granite_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: embedding_multiplier, attention_multiplier (of the scores), residual_multiplier, logits_scaling (a divisor); attention_bias,
/// mlp_bias, grouped KV heads, tied head, every rotary variant.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

template <class At> struct granite_layer {
  SP_LAYER(input_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(self_attn, sp::block<rotary_attention<sp::maybe_bias>::block>);
  SP_LAYER(post_attention_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(mlp, sp::block<gated<sp::maybe_bias>::mlp>);
  double by = 1;
  constexpr void configure(const configuration& c) {
    input_layernorm.eps = post_attention_layernorm.eps = c.norm_eps;
    by = c.residual_multiplier;
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto attended = self_attn(input_layernorm(x), cache);
    auto h = x + scaled(attended, by);
    return h + scaled(mlp(post_attention_layernorm(h)), by);
  }
};

template <class At> using granite = causal<granite_layer>::lm<At>;

inline constexpr sp::plan granite_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "lm_head"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"}};
static_assert(sp::covers<granite, granite_plan>());

struct granite_family {
  static constexpr std::string_view model_type = "granite";
  template <class At> using model = granite<At>;
  static constexpr const auto& plan = granite_plan;
  static constexpr published_plan published{transformers_plans::dense, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 2048}, allowed);
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(false);
    c.mlp_bias = in.maybe_boolean("mlp_bias").value_or(false);
    c.embedding_multiplier = in.maybe_number("embedding_multiplier").value_or(1);
    c.residual_multiplier = in.maybe_number("residual_multiplier").value_or(1);
    c.attention_scale = in.maybe_number("attention_multiplier").value_or(1);
    const double divisor = in.maybe_number("logits_scaling").value_or(1);
    if (divisor == 0) in.refuse("logits_scaling", "logits are divided by it", "correct the value");
    c.logit_multiplier = 1 / divisor;
    if (c.attention_scale == 0) in.refuse("attention_multiplier", "all scores would be zero", "correct the value");
    read_no_windows(in, c);
    return c;
  }
};

}  // namespace shardproof::families

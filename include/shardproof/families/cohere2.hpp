#pragma once
/// @file
/// Command R7B and A (Cohere, arXiv 2504.00698): `model_type` "cohere2". Attention and mlp side by side behind one norm; three layers with
/// a window and rotary positions, one that sees everything and has no positions.
///
///     sp::families::cohere2<sp::at<sp::families::cohere2_plan>> model;
///     const auto c = sp::families::cohere2_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: sliding_window, layer_types or sliding_window_pattern, logit_scale, attention_bias (q, k, v, o), grouped KV heads, tied head
/// (the default), every rotary variant. The plan leaves both branches' sums pending and makes one all-reduce a layer.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

template <class At> struct cohere2_attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden, sp::maybe_bias>);
  sp::rotary rotary;
  sp::mask mask;
  bool turns = true;                                                     // a layer that sees everything has no positions
  constexpr void configure(const configuration& c, int layer) {
    q_proj.bias.present = k_proj.bias.present = v_proj.bias.present = o_proj.bias.present = c.attention_bias;
    rotary = c.rotary_of(layer);
    mask = c.mask_of(layer);
    turns = mask.window > 0;
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = q_proj(x);
    auto k = k_proj(x);
    auto v = v_proj(x);
    if (turns) {
      q = sp::rope(q, cache.positions(), rotary);
      k = sp::rope(k, cache.positions(), rotary);
    }
    return o_proj(sp::attention(q, cache.extend(k, v), mask));
  }
};

using cohere2_norm = sp::layer_norm<hidden>;
template <class At> using cohere2 = causal<parallel<cohere2_attention, gated_mlp, cohere2_norm>::layer, cohere2_norm>::lm<At>;

inline constexpr sp::plan cohere2_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "lm_head"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"}};
static_assert(sp::covers<cohere2, cohere2_plan>());

struct cohere2_family {
  static constexpr std::string_view model_type = "cohere2";
  template <class At> using model = cohere2<At>;
  static constexpr const auto& plan = cohere2_plan;
  static constexpr published_plan published{transformers_plans::dense, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 8192, .eps_key = "layer_norm_eps", .eps = 1e-5, .pad_token_id = 0, .tied = true}, allowed);
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(false);
    c.logit_multiplier = in.maybe_number("logit_scale").value_or(0.0625);
    c.rope.full.interleaved = c.rope.sliding.interleaved = true;
    read_alternating_windows(in, c, in.maybe_integer("sliding_window_pattern", 1).value_or(4));
    return c;
  }
};

}  // namespace shardproof::families

#pragma once
/// @file
/// Qwen2 and Qwen2.5 (arXiv 2407.10671, 2412.15115): `model_type` "qwen2". Llama with biases on q, k and v, and sliding layers.
///
///     sp::families::qwen2<sp::at<sp::families::qwen2_plan>> model;
///     const auto c = sp::families::qwen2_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: use_sliding_window with sliding_window, max_window_layers or layer_types; head_dim, grouped KV heads, tied head, every
/// rotary variant.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

template <class At> using qwen2 = causal<pre_norm<rotary_attention<sp::maybe_bias, no_bias>::block, gated_mlp>::layer>::lm<At>;

inline constexpr sp::plan qwen2_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "lm_head"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"}};
static_assert(sp::covers<qwen2, qwen2_plan>());

struct qwen2_family {
  static constexpr std::string_view model_type = "qwen2";
  template <class At> using model = qwen2<At>;
  static constexpr const auto& plan = qwen2_plan;
  static constexpr published_plan published{transformers_plans::dense, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 32768, .kv_heads = 32}, allowed);
    c.attention_bias = true;
    in.only("attention_bias", true, "this family always has biases on q, k and v");
    in.only("mlp_bias", false, "the mlp of this family has no biases");
    read_windows(in, c, [](long layer, long from) { return layer >= from; });
    return c;
  }
};

}  // namespace shardproof::families

#pragma once
/// @file
/// Qwen3, dense (arXiv 2505.09388): `model_type` "qwen3". Llama with a norm on each query and key head, and sliding layers.
///
///     sp::families::qwen3<sp::at<sp::families::qwen3_plan>> model;
///     const auto c = sp::families::qwen3_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: attention_bias (q, k, v, o), use_sliding_window with sliding_window, max_window_layers or layer_types; head_dim (128
/// where the file is silent), grouped KV heads, tied head, every rotary variant.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

template <class At> using qwen3 = causal<pre_norm<head_normed_attention, gated_mlp>::layer>::lm<At>;

inline constexpr sp::plan qwen3_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "lm_head"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"model.layers.*.self_attn.q_norm", "model.layers.*.self_attn.k_norm"}};
static_assert(sp::covers<qwen3, qwen3_plan>());

struct qwen3_family {
  static constexpr std::string_view model_type = "qwen3";
  template <class At> using model = qwen3<At>;
  static constexpr const auto& plan = qwen3_plan;
  static constexpr published_plan published{transformers_plans::dense_with_head_norms, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 32768, .kv_heads = 32, .head_dim = 128}, allowed);
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(false);
    in.only("mlp_bias", false, "the mlp of this family has no biases");
    read_windows(in, c, [](long layer, long from) { return layer >= from; });
    return c;
  }
};

}  // namespace shardproof::families

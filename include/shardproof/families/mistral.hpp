#pragma once
/// @file
/// Mistral (Jiang et al., arXiv 2310.06825): `model_type` "mistral". Llama without biases, and a window of keys on every layer.
///
///     sp::families::mistral<sp::at<sp::families::mistral_plan>> model;
///     const auto c = sp::families::mistral_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: sliding_window (null: none; 4096 where the file is silent), head_dim, grouped KV heads, tied head, every rotary variant.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

template <class At> using mistral = causal<pre_norm<rotary_attention<>::block, gated_mlp>::layer>::lm<At>;

inline constexpr sp::plan mistral_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "lm_head"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"}};
static_assert(sp::covers<mistral, mistral_plan>());

struct mistral_family {
  static constexpr std::string_view model_type = "mistral";
  template <class At> using model = mistral<At>;
  static constexpr const auto& plan = mistral_plan;
  static constexpr published_plan published{transformers_plans::dense, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 131072, .kv_heads = 8}, allowed);
    in.only("attention_bias", false, "the attention of this family has no biases");
    in.only("mlp_bias", false, "the mlp of this family has no biases");
    read_one_window(in, c, 4096);
    return c;
  }
};

}  // namespace shardproof::families

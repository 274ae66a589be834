#pragma once
/// @file
/// Llama (Touvron et al., arXiv 2302.13971; Llama 3, arXiv 2407.21783): `model_type` "llama".
///
///     sp::families::llama<sp::at<sp::families::llama_plan>> model;
///     const auto c = sp::families::llama_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: attention_bias (q, k, v, o), mlp_bias, head_dim, grouped KV heads, tied head, every rotary variant.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

template <class At> using llama_attention = rotary_attention<sp::maybe_bias>::block<At>;
template <class At> using llama = causal<pre_norm<llama_attention, gated<sp::maybe_bias>::mlp>::layer>::lm<At>;

inline constexpr sp::plan llama_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "lm_head"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"}};
static_assert(sp::covers<llama, llama_plan>());

struct llama_family {
  static constexpr std::string_view model_type = "llama";
  template <class At> using model = llama<At>;
  static constexpr const auto& plan = llama_plan;
  static constexpr published_plan published{transformers_plans::dense, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 2048}, allowed);
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(false);
    c.mlp_bias = in.maybe_boolean("mlp_bias").value_or(false);
    read_no_windows(in, c);
    return c;
  }
};

}  // namespace shardproof::families

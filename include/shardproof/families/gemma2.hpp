#pragma once
/// @file
/// Gemma 2 (arXiv 2408.00118): `model_type` "gemma2". A norm before and behind each branch, bent scores and logits, every other layer slides.
///
///     sp::families::gemma2<sp::at<sp::families::gemma2_plan>> model;
///     const auto c = sp::families::gemma2_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: query_pre_attn_scalar, attn_logit_softcapping, final_logit_softcapping, sliding_window, layer_types, attention_bias, head_dim,
/// grouped KV heads, tied head (the default), every rotary variant. Norms multiply by 1 + weight, table rows by sqrt(hidden_size).
#include <shardproof/families/gemma.hpp>
namespace shardproof::families {

template <class At> using gemma2 = causal<sandwich<rotary_attention<sp::maybe_bias>::block>::layer>::lm<At>;

inline constexpr sp::plan gemma2_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "lm_head"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"}};
static_assert(sp::covers<gemma2, gemma2_plan>());

struct gemma2_family {
  static constexpr std::string_view model_type = "gemma2";
  template <class At> using model = gemma2<At>;
  static constexpr const auto& plan = gemma2_plan;
  static constexpr published_plan published{transformers_plans::dense, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_gemma(in, {.model_type = model_type, .max_positions = 8192, .kv_heads = 4, .head_dim = 256, .act_key = "hidden_activation",
                                      .act = "gelu_pytorch_tanh", .pad_token_id = 0, .tied = true}, allowed);
    c.attention_softcap = read_softcap(in, "attn_logit_softcapping", 50);
    c.final_softcap = read_softcap(in, "final_logit_softcapping", 30);
    read_alternating_windows(in, c, 2);
    return c;
  }
};

}  // namespace shardproof::families

#pragma once
/// @file
/// Gemma 3, text (arXiv 2503.19786): `model_type` "gemma3_text". Gemma 2 with a norm on each query and key head instead of bent scores, and
/// rotary positions of two bases.
///
///     sp::families::gemma3_text<sp::at<sp::families::gemma3_text_plan>> model;
///     const auto c = sp::families::gemma3_text_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: query_pre_attn_scalar, final_logit_softcapping, sliding_window, layer_types or sliding_window_pattern, rope_parameters by kind
/// of layer (older: rope_theta, rope_scaling, rope_local_base_freq), attention_bias, head_dim, grouped KV heads, tied head (the default).
#include <shardproof/families/gemma.hpp>
namespace shardproof::families {

template <class At> using gemma3_text = causal<sandwich<head_normed_attention>::layer>::lm<At>;

inline constexpr sp::plan gemma3_text_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj", "lm_head"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"model.layers.*.self_attn.q_norm", "model.layers.*.self_attn.k_norm"}};
static_assert(sp::covers<gemma3_text, gemma3_text_plan>());

struct gemma3_text_family {
  static constexpr std::string_view model_type = "gemma3_text";
  template <class At> using model = gemma3_text<At>;
  static constexpr const auto& plan = gemma3_text_plan;
  static constexpr published_plan published{transformers_plans::dense_with_head_norms, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_gemma(in, {.model_type = model_type, .max_positions = 131072, .kv_heads = 4, .head_dim = 256, .act_key = "hidden_activation",
                                      .act = "gelu_pytorch_tanh", .pad_token_id = 0, .tied = true, .rope_theta = 1e6, .sliding_rope_theta = 1e4}, allowed);
    (void)in.maybe_number("attn_logit_softcapping");                     // transformers reads it and does not apply it in this family
    c.final_softcap = read_softcap(in, "final_logit_softcapping", 0);
    (void)in.has("_sliding_window_pattern");                             // transformers writes it beside layer_types, and does not read it
    read_alternating_windows(in, c, in.maybe_integer("sliding_window_pattern", 1).value_or(6));
    return c;
  }
};

}  // namespace shardproof::families

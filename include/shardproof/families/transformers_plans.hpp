#pragma once
/// @file
/// The plans that transformers 5.23 ships with its models, as data: `base_model_tp_plan` of the configuration, `_tp_plan` of the head.
///
///     sp::families::published_plan p = sp::families::llama_family::published;
///     std::string text = sp::families::import_plan(p, layers, tied).text;             // see import.hpp
#include <string_view>
namespace shardproof::families {

struct published_plan {
  std::string_view base;                                           ///< keys relative to the base model
  std::string_view head;                                           ///< keys relative to the model with its head
  std::string_view prefix;                                         ///< of the base model inside the other: "model."
  std::string_view table;                                          ///< path of the embedding, which a tied head shares
  std::string_view head_layer = "lm_head";                         ///< the checkpoint's name of what the head's plan calls lm_head
};

namespace transformers_plans {
/// LlamaConfig, Qwen2Config, MistralConfig, GraniteConfig, Cohere2Config, Gemma2Config.
inline constexpr std::string_view dense = R"({
  "layers.*.self_attn.q_proj": "colwise",
  "layers.*.self_attn.k_proj": "colwise",
  "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.o_proj": "rowwise",
  "layers.*.mlp.gate_proj": "colwise",
  "layers.*.mlp.up_proj": "colwise",
  "layers.*.mlp.down_proj": "rowwise"
})";
/// Qwen3Config, Gemma3TextConfig.
inline constexpr std::string_view dense_with_head_norms = R"({
  "layers.*.self_attn.q_proj": "colwise",
  "layers.*.self_attn.k_proj": "colwise",
  "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.q_norm": "replicated_with_grad_allreduce",
  "layers.*.self_attn.k_norm": "replicated_with_grad_allreduce",
  "layers.*.self_attn.o_proj": "rowwise",
  "layers.*.mlp.gate_proj": "colwise",
  "layers.*.mlp.up_proj": "colwise",
  "layers.*.mlp.down_proj": "rowwise"
})";
/// Starcoder2Config.
inline constexpr std::string_view starcoder2 = R"({
  "layers.*.self_attn.q_proj": "colwise",
  "layers.*.self_attn.k_proj": "colwise",
  "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.o_proj": "rowwise",
  "layers.*.mlp.c_fc": "colwise",
  "layers.*.mlp.c_proj": "rowwise"
})";
/// PhiConfig.
inline constexpr std::string_view phi = R"({
  "layers.*.self_attn.q_proj": "colwise",
  "layers.*.self_attn.k_proj": "colwise",
  "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.dense": "rowwise",
  "layers.*.mlp.fc1": "colwise",
  "layers.*.mlp.fc2": "rowwise"
})";
/// GPTNeoXConfig.
inline constexpr std::string_view gpt_neox = R"({
  "layers.*.attention.query_key_value": "colwise",
  "layers.*.attention.dense": "rowwise",
  "layers.*.mlp.dense_h_to_4h": "colwise",
  "layers.*.mlp.dense_4h_to_h": "rowwise"
})";
/// Glm4Config.
inline constexpr std::string_view glm4 = R"({
  "layers.*.self_attn.q_proj": "colwise",
  "layers.*.self_attn.k_proj": "colwise",
  "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.o_proj": "rowwise",
  "layers.*.mlp.gate_up_proj": "colwise_gather_output",
  "layers.*.mlp.down_proj": "rowwise_split_input"
})";
inline constexpr std::string_view gathered_head = R"({"lm_head": "colwise_gather_output"})";
}  // namespace transformers_plans

}  // namespace shardproof::families

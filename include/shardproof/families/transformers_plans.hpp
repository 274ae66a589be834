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
  std::string_view experts{};                                      ///< base_model_ep_plan, which takes the place of `base`; empty: none is shipped
  std::string_view said{};                                         ///< what was mended in `base`, a note for the user
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
/// Phi3Config.
inline constexpr std::string_view phi3 = R"({
  "layers.*.self_attn.qkv_proj": "colwise_gather_output",
  "layers.*.self_attn.o_proj": "rowwise_split_input",
  "layers.*.mlp.gate_up_proj": "colwise_gather_output",
  "layers.*.mlp.down_proj": "rowwise_split_input"
})";
/// MixtralConfig.
inline constexpr std::string_view mixtral = R"({
  "layers.*.self_attn.q_proj": "colwise",
  "layers.*.self_attn.k_proj": "colwise",
  "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.o_proj": "rowwise",
  "layers.*.mlp.experts.gate_up_proj": "packed_colwise",
  "layers.*.mlp.experts.down_proj": "rowwise",
  "layers.*.mlp.experts": "moe_tp_experts"
})";
/// DeepseekV2Config.
inline constexpr std::string_view deepseek_v2 = R"({
  "layers.*.self_attn.q_proj": "colwise",
  "layers.*.self_attn.q_b_proj": "colwise",
  "layers.*.self_attn.kv_a_proj_with_mqa": "mla_kv_a_proj",
  "layers.*.self_attn.kv_b_proj": "colwise",
  "layers.*.self_attn.o_proj": "rowwise",
  "layers.*.mlp.gate_proj": "colwise",
  "layers.*.mlp.up_proj": "colwise",
  "layers.*.mlp.down_proj": "rowwise",
  "layers.*.mlp.shared_experts.gate_proj": "colwise",
  "layers.*.mlp.shared_experts.up_proj": "colwise",
  "layers.*.mlp.shared_experts.down_proj": "rowwise",
  "layers.*.mlp.experts.gate_up_proj": "packed_colwise",
  "layers.*.mlp.experts.down_proj": "rowwise",
  "layers.*.mlp.experts": "moe_tp_experts"
})";
/// DeepseekV3Config.
inline constexpr std::string_view deepseek_v3 = R"({
  "layers.*.mlp.gate_proj": "colwise",
  "layers.*.mlp.up_proj": "colwise",
  "layers.*.mlp.down_proj": "rowwise",
  "layers.*.mlp.shared_experts.gate_proj": "colwise",
  "layers.*.mlp.shared_experts.up_proj": "colwise",
  "layers.*.mlp.shared_experts.down_proj": "rowwise",
  "layers.*.mlp.experts.gate_up_proj": "packed_colwise",
  "layers.*.mlp.experts.down_proj": "rowwise",
  "layers.*.mlp.experts": "moe_tp_experts"
})";
/// Llama4TextConfig, the styles of its experts read by role.
inline constexpr std::string_view llama4_text = R"({
  "layers.*.self_attn.q_proj": "colwise",
  "layers.*.self_attn.k_proj": "colwise",
  "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.o_proj": "rowwise",
  "layers.*.feed_forward.gate_proj": "colwise",
  "layers.*.feed_forward.up_proj": "colwise",
  "layers.*.feed_forward.down_proj": "rowwise",
  "layers.*.feed_forward.shared_expert.gate_proj": "colwise",
  "layers.*.feed_forward.shared_expert.up_proj": "colwise",
  "layers.*.feed_forward.shared_expert.down_proj": "rowwise",
  "layers.*.feed_forward.experts.gate_up_proj": "packed_colwise",
  "layers.*.feed_forward.experts.down_proj": "rowwise",
  "layers.*.feed_forward.experts": "moe_tp_experts"
})";
/// LongcatFlashConfig.
inline constexpr std::string_view longcat_flash = R"({
  "layers.*.self_attn.*.q_b_proj": "colwise",
  "layers.*.self_attn.*.kv_a_proj_with_mqa": "mla_kv_a_proj",
  "layers.*.self_attn.*.kv_b_proj": "colwise",
  "layers.*.self_attn.*.o_proj": "rowwise",
  "layers.*.mlps.*.gate_proj": "colwise",
  "layers.*.mlps.*.up_proj": "colwise",
  "layers.*.mlps.*.down_proj": "rowwise",
  "layers.*.mlp.experts.gate_up_proj": "packed_colwise",
  "layers.*.mlp.experts.down_proj": "rowwise",
  "layers.*.mlp.experts.identity_expert": "moe_identity_expert",
  "layers.*.mlp.experts": "moe_tp_experts"
})";
/// Glm4MoeConfig.
inline constexpr std::string_view glm4_moe = R"({
  "layers.*.self_attn.q_proj": "colwise",
  "layers.*.self_attn.k_proj": "colwise",
  "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.o_proj": "rowwise",
  "layers.*.mlp.experts.gate_up_proj": "packed_colwise",
  "layers.*.mlp.experts.down_proj": "rowwise",
  "layers.*.mlp.experts": "moe_tp_experts",
  "layers.*.mlp.gate_proj": "colwise",
  "layers.*.mlp.up_proj": "colwise",
  "layers.*.mlp.down_proj": "rowwise",
  "layers.*.mlp.shared_experts.gate_proj": "colwise",
  "layers.*.mlp.shared_experts.up_proj": "colwise",
  "layers.*.mlp.shared_experts.down_proj": "rowwise"
})";
/// Qwen2MoeConfig.
inline constexpr std::string_view qwen2_moe = R"({
  "layers.*.self_attn.q_proj": "colwise",
  "layers.*.self_attn.k_proj": "colwise",
  "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.o_proj": "rowwise",
  "layers.*.mlp.experts.gate_up_proj": "packed_colwise",
  "layers.*.mlp.experts.down_proj": "rowwise",
  "layers.*.mlp.experts": "moe_tp_experts",
  "layers.*.mlp.gate_proj": "colwise",
  "layers.*.mlp.up_proj": "colwise",
  "layers.*.mlp.down_proj": "rowwise"
})";
/// Qwen3MoeConfig.
inline constexpr std::string_view qwen3_moe = R"({
  "layers.*.self_attn.q_proj": "colwise",
  "layers.*.self_attn.k_proj": "colwise",
  "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.q_norm": "replicated_with_grad_allreduce",
  "layers.*.self_attn.k_norm": "replicated_with_grad_allreduce",
  "layers.*.self_attn.o_proj": "rowwise",
  "layers.*.mlp.experts.gate_up_proj": "packed_colwise",
  "layers.*.mlp.experts.down_proj": "rowwise",
  "layers.*.mlp.experts": "moe_tp_experts",
  "layers.*.mlp.gate_proj": "colwise",
  "layers.*.mlp.up_proj": "colwise",
  "layers.*.mlp.down_proj": "rowwise"
})";
/// Olmo2Config.
inline constexpr std::string_view olmo2 = R"({
  "layers.*.self_attn.q_proj": "colwise_gather_output",
  "layers.*.self_attn.k_proj": "colwise_gather_output",
  "layers.*.self_attn.v_proj": "colwise_gather_output",
  "layers.*.self_attn.o_proj": "rowwise_split_input",
  "layers.*.mlp.gate_proj": "colwise",
  "layers.*.mlp.up_proj": "colwise",
  "layers.*.mlp.down_proj": "rowwise"
})";
/// MixtralConfig, Qwen2MoeConfig, Qwen3MoeConfig, Glm4MoeConfig, DeepseekV2Config, DeepseekV3Config, with experts dealt to ranks.
inline constexpr std::string_view dealt_experts = R"({
  "layers.*.mlp.experts.gate_up_proj": "grouped_gemm",
  "layers.*.mlp.experts.down_proj": "grouped_gemm",
  "layers.*.mlp.experts": "ep_dispatch_experts"
})";
/// GptOssConfig.
inline constexpr std::string_view dealt_biased_experts = R"({
  "layers.*.mlp.experts.gate_up_proj": "grouped_gemm",
  "layers.*.mlp.experts.gate_up_proj_bias": "grouped_gemm",
  "layers.*.mlp.experts.down_proj": "grouped_gemm",
  "layers.*.mlp.experts.down_proj_bias": "grouped_gemm",
  "layers.*.mlp.experts": "ep_dispatch_experts"
})";
inline constexpr std::string_view gathered_head = R"({"lm_head": "colwise_gather_output"})";
}  // namespace transformers_plans

}  // namespace shardproof::families

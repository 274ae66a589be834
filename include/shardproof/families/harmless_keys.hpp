#pragma once
/// @file
/// Keys of config.json that change nothing in the computation, each with the reason. A key that is in no table and that no family
/// asks for is refused (SP607): it may change the model.
///
///     for (const auto& h : sp::families::harmless_keys) std::printf("%s: %s\n", std::string(h.key).c_str(), h.why);
#include <shardproof/families/fields.hpp>
namespace shardproof::families {

namespace why {
inline constexpr const char* provenance = "says where the file comes from";
inline constexpr const char* tokens = "names tokens; the model computes with ids";
inline constexpr const char* decoding = "a default of generation, which takes its options explicitly";
inline constexpr const char* outputs = "chooses what transformers returns, not what it computes";
inline constexpr const char* kernels = "chooses among implementations of one computation";
inline constexpr const char* training = "an option of training, which takes its options explicitly";
inline constexpr const char* labels = "labels of classifiers; a causal model has none";
}  // namespace why

inline constexpr harmless_key harmless_keys[] = {
    {"_name_or_path", why::provenance},
    {"name_or_path", why::provenance},
    {"_commit_hash", why::provenance},
    {"transformers_version", why::provenance},
    {"auto_map", "names Python classes; no code of a checkpoint is run"},
    {"custom_pipelines", "names Python classes; no code of a checkpoint is run"},
    {"is_llama_config", why::provenance},
    {"transformers.js_config", why::provenance},
    {"unsloth_fixed", why::provenance},
    {"unsloth_version", why::provenance},
    {"base_model_name_or_path", why::provenance},
    {"bos_token_id", why::tokens},
    {"eos_token_id", why::tokens},
    {"sep_token_id", why::tokens},
    {"unk_token_id", why::tokens},
    {"decoder_start_token_id", why::tokens},
    {"tokenizer_class", why::tokens},
    {"prefix", why::tokens},
    {"use_cache", why::decoding},
    {"max_length", why::decoding},
    {"min_length", why::decoding},
    {"max_new_tokens", why::decoding},
    {"min_new_tokens", why::decoding},
    {"max_sequence_length", why::decoding},
    {"max_time", why::decoding},
    {"model_max_length", why::decoding},
    {"do_sample", why::decoding},
    {"early_stopping", why::decoding},
    {"num_beams", why::decoding},
    {"num_beam_groups", why::decoding},
    {"num_return_sequences", why::decoding},
    {"diversity_penalty", why::decoding},
    {"temperature", why::decoding},
    {"top_k", why::decoding},
    {"top_p", why::decoding},
    {"min_p", why::decoding},
    {"typical_p", why::decoding},
    {"epsilon_cutoff", why::decoding},
    {"eta_cutoff", why::decoding},
    {"repetition_penalty", why::decoding},
    {"encoder_repetition_penalty", why::decoding},
    {"length_penalty", why::decoding},
    {"exponential_decay_length_penalty", why::decoding},
    {"no_repeat_ngram_size", why::decoding},
    {"encoder_no_repeat_ngram_size", why::decoding},
    {"bad_words_ids", why::decoding},
    {"forced_bos_token_id", why::decoding},
    {"forced_eos_token_id", why::decoding},
    {"suppress_tokens", why::decoding},
    {"begin_suppress_tokens", why::decoding},
    {"remove_invalid_values", why::decoding},
    {"renormalize_logits", why::decoding},
    {"num_assistant_tokens", why::decoding},
    {"num_assistant_tokens_schedule", why::decoding},
    {"assistant_confidence_threshold", why::decoding},
    {"assistant_lookbehind", why::decoding},
    {"target_lookbehind", why::decoding},
    {"cache_implementation", why::decoding},
    {"output_attentions", why::outputs},
    {"output_hidden_states", why::outputs},
    {"output_scores", why::outputs},
    {"return_dict", why::outputs},
    {"return_dict_in_generate", why::outputs},
    {"tie_last_hidden_states", why::outputs},
    {"attn_implementation", why::kernels},
    {"_attn_implementation", why::kernels},
    {"_attn_implementation_autoset", why::kernels},
    {"_attn_implementation_internal", why::kernels},
    {"experts_implementation", why::kernels},
    {"_experts_implementation", why::kernels},
    {"_flash_attn_2_enabled", why::kernels},
    {"use_flash_attention", why::kernels},
    {"use_flash_attn", why::kernels},
    {"chunk_size_feed_forward", "cuts the mlp's rows into pieces; each row is computed alike"},
    {"torchscript", why::kernels},
    {"use_bfloat16", why::kernels},
    {"gradient_checkpointing", why::training},
    {"base_model_tp_plan", "a plan is given to the program, not taken from the checkpoint"},
    {"base_model_pp_plan", "layers are not dealt to stages"},
    {"id2label", why::labels},
    {"label2id", why::labels},
    {"num_labels", why::labels},
    {"problem_type", why::labels},
    {"finetuning_task", why::labels},
    {"task_specific_params", why::labels},
    {"is_decoder", "a causal model is one"},
};

}  // namespace shardproof::families

#pragma once
/// @file
/// What the Gemma families share: a norm before and behind each branch, and what they read of config.json.
///
///     template <class At> using gemma2 = causal<sandwich<attention>::layer>::lm<At>;
///     configuration c = read_gemma(in, defaults, allowed);                  // norms multiply by 1 + weight, rows by sqrt(hidden_size)
///     c.final_softcap = read_softcap(in, "final_logit_softcapping", 30);    // 0: none
#include <cmath>
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

template <template <class> class Attention> struct sandwich {
  template <class At> struct layer {
    SP_LAYER(input_layernorm, sp::rms_norm<hidden>);
    SP_LAYER(self_attn, sp::block<Attention>);
    SP_LAYER(post_attention_layernorm, sp::rms_norm<hidden>);
    SP_LAYER(pre_feedforward_layernorm, sp::rms_norm<hidden>);
    SP_LAYER(mlp, sp::block<gated_mlp>);
    SP_LAYER(post_feedforward_layernorm, sp::rms_norm<hidden>);
    constexpr void configure(const configuration& c) {
      input_layernorm.eps = post_attention_layernorm.eps = pre_feedforward_layernorm.eps = post_feedforward_layernorm.eps = c.norm_eps;
      input_layernorm.offset = post_attention_layernorm.offset = pre_feedforward_layernorm.offset = post_feedforward_layernorm.offset = c.norm_offset;
    }
    constexpr auto forward(const auto& x, auto&& cache) const {
      auto attended = self_attn(input_layernorm(x), cache);
      auto h = x + post_attention_layernorm(attended);
      auto fed = mlp(pre_feedforward_layernorm(h));
      return h + post_feedforward_layernorm(fed);
    }
  };
};

/// Null or absent-by-null: none.
inline double read_softcap(fields& in, const char* key, double if_silent) {
  const auto given = in.maybe_number(key);
  if (given && !(*given > 0)) in.refuse(key, "it must be positive", "correct the value, or set it to null");
  return given ? *given : in.given(key) ? 0 : if_silent;
}

inline configuration read_gemma(fields& in, const decoder_defaults& d, std::span<const std::string> allowed) {
  configuration c = read_decoder(in, d, allowed);
  c.attention_bias = in.maybe_boolean("attention_bias").value_or(false);
  const double scalar = in.maybe_number("query_pre_attn_scalar").value_or(256);
  if (!(scalar > 0)) in.refuse("query_pre_attn_scalar", "it must be positive", "correct the value");
  c.attention_scale = 1 / std::sqrt(scalar);
  c.norm_offset = 1;
  c.embedding_multiplier = std::sqrt(double(c.hidden_size));
  in.only("use_bidirectional_attention", false, "this family is causal here");
  // Older files name the activation twice; transformers reads hidden_activation.
  (void)in.maybe_text("hidden_act");
  return c;
}

}  // namespace shardproof::families

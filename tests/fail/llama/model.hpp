#ifndef LLAMA_MODEL_HPP
#define LLAMA_MODEL_HPP
/// @file
/// The decoder layer, the model and its plan. `attention` and `gated_mlp` come from their own headers, or from the program that
/// includes this one: that is how a program writes one module wrongly and keeps the others.
///
///     #include "llama/attention.hpp"
///     template <class At> struct gated_mlp { ... };
///     #include "llama/model.hpp"
#include "dims.hpp"

template <class At> struct attention;
template <class At> struct gated_mlp;

template <class At> struct decoder_layer {
  SP_LAYER(input_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(self_attn, sp::block<attention>);
  SP_LAYER(post_attention_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(mlp, sp::block<gated_mlp>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto h = x + self_attn(input_layernorm(x), cache);          // (batch, seq, hidden)
    return h + mlp(post_attention_layernorm(h));                // (batch, seq, hidden)
  }
};
template <class At> struct llama {
  SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<decoder_layer, 2>);
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(lm_head, sp::tied_linear<hidden, vocab>);
  constexpr auto forward(const auto& ids, auto&& cache) const {
    return lm_head(norm(layers(embed_tokens(ids), cache)), embed_tokens.weight);    // (batch, seq, vocab/tp)
  }
};
inline constexpr sp::plan tensor_parallel{
    sp::embedding_rowwise{"embed_tokens"}, sp::packed_colwise{"layers.*.mlp.gate_up_proj"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj", "lm_head"},
    sp::rowwise{"layers.*.self_attn.o_proj", "layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm"}};
#endif

// error: shardproof[SP109] dimension names do not match: this operation needs another dimension here than the operand carries (see fed<>, needs<>). Fix: pass the tensor that carries the expected dimension, or rename the dimension explicitly (sp::as).
// code: SP109
// path: operations::sum, fed<dims<batch, seq, fused<ffn, ffn>>>, needs<dims<batch, seq, hidden>>
// path: at<tensor_parallel, layers, each>
// near: 12
// lines: g++ 24, clang 40
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"
#include "llama/attention.hpp"
#include "llama/gated_mlp.hpp"
template <class At> struct decoder {
  SP_LAYER(input_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(self_attn, sp::block<attention>);
  SP_LAYER(post_attention_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(mlp, sp::block<gated_mlp>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto h = x + self_attn(input_layernorm(x), cache);
#ifdef MUST_FAIL
    return h + mlp.gate_up_proj(post_attention_layernorm(h));
#else
    return h + mlp(post_attention_layernorm(h));
#endif
  }
};
template <class At> struct tower {
  SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<decoder, 2>);
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(lm_head, sp::tied_linear<hidden, vocab>);
  constexpr auto forward(const auto& ids, auto&& cache) const { return lm_head(norm(layers(embed_tokens(ids), cache)), embed_tokens.weight); }
};
#include "llama/model.hpp"
static_assert(sp::dry_run<tower, tensor_parallel>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 5);

// error: shardproof[SP112] the alternatives of one_of must return one type (see returns<>). Fix: give them the same output dimensions, and styles with the same output placement.
// code: SP112
// path: at<tensor_parallel, layers, each, mlp>, returns<tensor<ghost, dims<batch, seq, hidden>, invariant>, tensor<ghost, dims<batch, seq, ffn>, invariant>>
// near: 12
// lines: g++ 24, clang 40
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"
#include "llama/attention.hpp"
#include "llama/gated_mlp.hpp"
template <class At> struct plain_mlp {
  SP_LAYER(up, sp::linear<hidden, ffn>);
  constexpr auto forward(const auto& x) const { return up(x); }
};
template <class At> struct decoder {
  SP_LAYER(input_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(self_attn, sp::block<attention>);
  SP_LAYER(post_attention_layernorm, sp::rms_norm<hidden>);
#ifdef MUST_FAIL
  SP_LAYER(mlp, sp::one_of<sp::block<gated_mlp>, sp::block<plain_mlp>>);
#else
  SP_LAYER(mlp, sp::one_of<sp::block<gated_mlp>, sp::block<gated_mlp>>);
#endif
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto h = x + self_attn(input_layernorm(x), cache);
    return h + mlp(post_attention_layernorm(h));
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

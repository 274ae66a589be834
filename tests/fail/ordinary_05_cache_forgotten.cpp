// error: shardproof[SP116] this module's forward yields no tensor here: a missing return, or an argument missing or too many (a cache?). Fix: return the result, and call the module with the arguments its forward takes.
// code: SP116
// path: attention<at<tensor_parallel, layers, each, self_attn>>
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
#ifdef MUST_FAIL
    auto h = x + self_attn(input_layernorm(x));
    return h + mlp(post_attention_layernorm(h));
#else
    auto h = x + self_attn(input_layernorm(x), cache);
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

#pragma once
/// @file
/// Blocks that the families share: the gated mlp, the layer with norms in front, the stack between table and norm, and the head.
///
///     template <class At> struct my_attention { ... };                                       // what the family is about
///     template <class At> using mine = causal<pre_norm<my_attention, gated_mlp>::layer>::lm<At>;
///     llama<sp::at<plan>> m;  configure(m, configuration);  set_extents(m, table);           // m.forward(ids, cache)
///
/// Members bear the names of transformers' checkpoints.
#include <shardproof/families/attention.hpp>
#include <shardproof/layer/alternatives.hpp>
#include <shardproof/layer/embedding.hpp>
#include <shardproof/layer/stack.hpp>
#include <shardproof/tensor/ops/dropout.hpp>
#include <shardproof/tensor/ops/split.hpp>
#include <shardproof/types.hpp>
namespace shardproof::families {

/// down(act(gate(x)) * up(x)): Shazeer, arXiv 2002.05202. x (batch, seq, hidden), between (batch, seq, ffn/tp).
template <class Features, class... Bias> struct gated_by {
  template <class At> struct mlp {
    SP_LAYER(gate_proj, sp::linear<hidden, Features, Bias...>);
    SP_LAYER(up_proj, sp::linear<hidden, Features, Bias...>);
    SP_LAYER(down_proj, sp::linear<Features, hidden, Bias...>);
    sp::activation_kind act = sp::activation_kind::silu;
    constexpr void configure(const configuration& c) {
      act = c.hidden_act;
      if constexpr (sizeof...(Bias) > 0) gate_proj.bias.present = up_proj.bias.present = down_proj.bias.present = c.mlp_bias;
    }
    constexpr auto forward(const auto& x) const {
      auto gate = sp::activate(act, gate_proj(x));
      auto up = up_proj(x);
      return down_proj(gate * up);
    }
  };
};
template <class... Bias> using gated = gated_by<ffn, Bias...>;
template <class At> using gated_mlp = gated<>::mlp<At>;

/// The same with gate and up in one matrix, whose parts a plan shards one by one.
template <class At> struct fused_gated_mlp {
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  sp::activation_kind act = sp::activation_kind::silu;
  constexpr void configure(const configuration& c) { act = c.hidden_act; }
  constexpr auto forward(const auto& x) const {
    auto [gate, up] = sp::split(gate_up_proj(x));
    return down_proj(sp::activate(act, gate) * up);
  }
};

/// A norm in front of the attention and one in front of the mlp; the stream runs past both.
template <template <class> class Attention, template <class> class Mlp, class Norm = sp::rms_norm<hidden>> struct pre_norm {
  template <class At> struct layer {
    SP_LAYER(input_layernorm, Norm);
    SP_LAYER(self_attn, sp::block<Attention>);
    SP_LAYER(post_attention_layernorm, Norm);
    SP_LAYER(mlp, sp::block<Mlp>);
    double drop = 0;
    constexpr void configure(const configuration& c) {
      input_layernorm.eps = post_attention_layernorm.eps = c.norm_eps;
      drop = c.residual_dropout;
    }
    constexpr auto forward(const auto& x, auto&& cache) const {
      auto attended = sp::dropout(self_attn(input_layernorm(x), cache), drop);
      auto h = x + attended;
      return h + sp::dropout(mlp(post_attention_layernorm(h)), drop);
    }
  };
};

/// Attention and mlp side by side behind one norm (GPT-J); their pending sums are made together where the plan leaves both pending.
template <template <class> class Attention, template <class> class Mlp, class Norm> struct parallel {
  template <class At> struct layer {
    SP_LAYER(input_layernorm, Norm);
    SP_LAYER(self_attn, sp::block<Attention>);
    SP_LAYER(mlp, sp::block<Mlp>);
    double drop = 0;
    constexpr void configure(const configuration& c) {
      input_layernorm.eps = c.norm_eps;
      drop = c.residual_dropout;
    }
    constexpr auto forward(const auto& x, auto&& cache) const {
      auto n = input_layernorm(x);
      auto attended = sp::dropout(self_attn(n, cache), drop);
      return x + sp::reduced(attended + sp::dropout(mlp(n), drop), x);
    }
  };
};

/// Table, layers, norm: token ids (batch, seq) -> (batch, seq, hidden); the table's rows are scaled where the configuration says so.
template <template <class> class Layer, class Norm = sp::rms_norm<hidden>> struct decoder {
  template <class At> struct body {
    SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
    SP_LAYER(layers, sp::stack<Layer>);
    SP_LAYER(norm, Norm);
    double by = 1, drop = 0;
    constexpr void configure(const configuration& c) {
      embed_tokens.padding = c.pad_token_id;
      layers.resize(c.num_hidden_layers);
      norm.eps = c.norm_eps;
      if constexpr (requires { norm.offset; }) norm.offset = c.norm_offset;
      by = c.embedding_multiplier;
      drop = c.embedding_dropout;
    }
    constexpr auto forward(const auto& ids, auto&& cache) const { return norm(layers(sp::dropout(scaled(embed_tokens(ids), by), drop), cache)); }
  };
};

/// Logits (batch, seq, vocab) by the embedding's own table.
template <class At> struct tied_head {
  SP_LAYER(lm_head, sp::tied_linear<hidden, vocab>);
  constexpr auto forward(const auto& x, const auto& table) const { return lm_head(x, table); }
};
/// Logits by a matrix of its own.
template <class At> struct own_head {
  SP_LAYER(lm_head, sp::linear<hidden, vocab>);
  constexpr auto forward(const auto& x, const auto&) const { return lm_head(x); }
};

/// A causal language model of such layers; its logits are scaled and bent where the configuration says so.
template <template <class> class Layer, class Norm = sp::rms_norm<hidden>> struct causal {
  template <class At> struct lm {
    SP_LAYER(model, sp::block<decoder<Layer, Norm>::template body>);
    SP_LAYER(head, sp::one_of<sp::spliced<tied_head>, sp::spliced<own_head>>);
    double by = 1, softcap = 0;
    constexpr void configure(const configuration& c) {
      head.choose(!c.tie_word_embeddings);
      by = c.logit_multiplier;
      softcap = c.final_softcap;
    }
    constexpr auto forward(const auto& ids, auto&& cache) const {
      auto logits = scaled(head(model(ids, cache), model.embed_tokens.weight), by);
      if (softcap > 0) logits = sp::softcap(logits, softcap);
      return logits;
    }
  };
};

}  // namespace shardproof::families

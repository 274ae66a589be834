/// @file
/// The model of the README: written once, as for one device; proved by the compiler; trained on four ranks of this process.
///
///     ./quickstart                                           # prints the loss of a few steps, on 1, 2 and 4 ranks
///     g++ -std=c++20 -fsyntax-only -I include -DWRONG_PLAN examples/quickstart/main.cpp      # what the compiler says
#include <cmath>
#include <cstdio>
//! [model]
#include <shardproof/shardproof.hpp>

struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
struct vocab : sp::dim<37> {};                                           // uneven is legal
struct kv_heads : sp::dim<4, sp::groups> {};
struct q_heads : sp::dim<8, sp::grouped_by<kv_heads>> {};
struct head_dim : sp::dim<4> {};

template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::with_bias>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden>);
  SP_LAYER(q_norm, sp::rms_norm<head_dim>);
  SP_LAYER(k_norm, sp::rms_norm<head_dim>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = sp::rope(q_norm(q_proj(x)), cache.positions());             // (batch, seq, q_heads / tp, head_dim)
    auto k = sp::rope(k_norm(k_proj(x)), cache.positions());
    auto v = v_proj(x);
    return o_proj(sp::attention(q, cache.extend(k, v)));                 // (batch, seq, hidden), after one all-reduce
  }
};
template <class At> struct gated_mlp {
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x) const {
    auto [gate, up] = sp::split(gate_up_proj(x));                        // (batch, seq, ffn / tp) each
    return down_proj(sp::silu(gate) * up);
  }
};
template <class At> struct decoder_layer {
  SP_LAYER(input_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(self_attn, sp::block<attention>);
  SP_LAYER(post_attention_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(mlp, sp::block<gated_mlp>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto h = x + self_attn(input_layernorm(x), cache);
    return h + mlp(post_attention_layernorm(h));
  }
};
template <class At> struct llama {
  SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<decoder_layer, 2>);
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(lm_head, sp::tied_linear<hidden, vocab>);
  constexpr auto forward(const auto& ids, auto&& cache) const {
    return lm_head(norm(layers(embed_tokens(ids), cache)), embed_tokens.weight);      // logits, sharded over the vocabulary
  }
};
//! [model]

//! [plan]
inline constexpr sp::plan tensor_parallel{
    sp::embedding_rowwise{"embed_tokens"}, sp::packed_colwise{"layers.*.mlp.gate_up_proj"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj", "lm_head"},
    sp::rowwise{"layers.*.self_attn.o_proj", "layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm"}};

static_assert(sp::covers<llama, tensor_parallel>());                     // no rule is a typo
static_assert(sp::dry_run<llama, tensor_parallel>(sp::ranks{4}, sp::tokens{2, 5}).backward.all_reduces == 9);
//! [plan]

#ifdef WRONG_PLAN
//! [wrong]
inline constexpr sp::plan wrong{                                         // gate_up_proj is colwise: one block, not gate | up
    sp::embedding_rowwise{"embed_tokens"}, sp::colwise{"layers.*.mlp.gate_up_proj", "lm_head"},
    sp::rowwise{"layers.*.mlp.down_proj"}};
static_assert(sp::dry_run<llama, wrong>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 3);
//! [wrong]
#endif

//! [train]
#include <shardproof/backend/cpu.hpp>                                    // in exactly one .cpp of a program
#include <shardproof/engine/threads.hpp>

double train(int ranks, int steps) {
  double loss_value = 0;
  sp::run(ranks, [&] {                                                   // ranks of tensor parallelism, in this process
    llama<sp::at<tensor_parallel>> model;
    sp::initialise(model, 42);
    sp::adamw optimizer{.lr = 1e-2};
    const std::vector<long> text{3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
    for (int step = 0; step < steps; ++step) {
      auto ids = sp::input(model, sp::tokens{2, 5}, text);
      auto logits = model.forward(ids, sp::no_cache);
      auto loss = sp::cross_entropy(logits, sp::next_tokens(ids));
      sp::backward(loss);
      optimizer.step(sp::parameters(model));
      if (sp::first_rank()) loss_value = loss.item();
    }
  });
  return loss_value;
}
//! [train]

int main() {
  const double one = train(1, 20);
  std::printf("1 rank : loss %.6f after 20 steps\n", one);
  bool same = one < 3.6;                                                 // it began at log(37) = 3.61
  for (int ranks : {2, 4, 8}) {                                          // 8 ranks share 4 KV heads: each lies in two copies
    const double many = train(ranks, 20);
    std::printf("%d ranks: loss %.6f after 20 steps\n", ranks, many);
    same = same && std::abs(many - one) < 1e-4;
  }
  return same ? 0 : 1;
}

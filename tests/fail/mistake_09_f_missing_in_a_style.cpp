// error: shardproof[SP102] an Invariant value enters rank-dependent compute: its gradient would miss an all-reduce. Fix: convert<Invariant, Replicate> (Megatron f, sp::to_replicate) at this use, or give the layer a colwise style.
// code: SP102
// path: at<wrong, layers, each, mlp, gate_up_proj>, .*fed<invariant, packed<out<fused<ffn, ffn>
// The library's colwise styles bring their f; a style of one's own can forget it, and is refused.
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
#include "llama/gated_mlp.hpp"
#include "llama/model.hpp"

struct my_packed : sp::style_defaults {
  static constexpr auto name = "my_packed";
  static constexpr sp::role shards = sp::role::out;
  template <class D> using cut = sp::packed<D>;
#ifndef MUST_FAIL
  static constexpr auto before(const auto& x) { return sp::to_replicate(x); }
#endif
};
inline constexpr sp::plan wrong{
    sp::embedding_rowwise{"embed_tokens"}, my_packed{"layers.*.mlp.gate_up_proj"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj", "lm_head"},
    sp::rowwise{"layers.*.self_attn.o_proj", "layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm"}};
static_assert(sp::dry_run<llama, wrong>(sp::ranks{4}, sp::tokens{2, 5}).backward.all_reduces == 9);

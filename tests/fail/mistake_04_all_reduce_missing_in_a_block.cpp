// error: shardproof[SP103] a nonlinear operation is applied to a Partial value: f(a+b) != f(a)+f(b). Fix: all_reduce (sp::reduced) or reduce_scatter first.
// code: SP103
// path: at<pending, layers, each, mlp, norm>, .*fed<partial, invariant>
// A block of one's own with a norm behind a row-sharded product whose sum is still pending.
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
template <class At> struct gated_mlp {
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  SP_LAYER(norm, sp::rms_norm<hidden>);
  constexpr auto forward(const auto& x) const {
    auto [gate, up] = sp::split(gate_up_proj(x));
#ifdef MUST_FAIL
    return norm(down_proj(sp::silu(gate) * up));
#else
    return norm(sp::reduced(down_proj(sp::silu(gate) * up)));
#endif
  }
};
#include "llama/model.hpp"
inline constexpr sp::plan pending{
    sp::embedding_rowwise{"embed_tokens"}, sp::packed_colwise{"layers.*.mlp.gate_up_proj"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj", "lm_head"},
    sp::rowwise{"layers.*.self_attn.o_proj"}, sp::rowwise_partial{"layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm"}};
static_assert(sp::dry_run<llama, pending>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 5);

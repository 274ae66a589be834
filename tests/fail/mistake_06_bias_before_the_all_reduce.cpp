// error: shardproof[SP104] a Partial value is combined with a value that is not Partial: the other term would be counted once per rank. Fix: add bias and residual after the reduction (sp::reduced), or add Partial to Partial and reduce once.
// code: SP104
// path: operations::sum, fed<partial, invariant>
// path: at<pending, layers, each, mlp>
// near: 12
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
template <class At> struct gated_mlp {
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  SP_PARAM(down_bias, sp::dims<hidden>);
  constexpr auto forward(const auto& x) const {
    auto [gate, up] = sp::split(gate_up_proj(x));
    auto y = down_proj(sp::silu(gate) * up);                    // a pending sum
#ifdef MUST_FAIL
    return sp::reduced(y + down_bias.seen_by(y));
#else
    return sp::reduced(y) + down_bias.seen_by(y);
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

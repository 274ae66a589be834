// error: shardproof[SP101] placement mismatch: the operands of this operation are placed differently (see fed<>). Fix: give the layers that produce them styles with one output placement.
// code: SP101
// path: operations::grouped_bias, fed<packed<fused<ffn, ffn>>, shard<out<fused<ffn, ffn>>>
// path: at<cut_inside, layers, each, mlp, experts>
// near: 12
#include <shardproof/shardproof.hpp>
#include <shardproof/layer/experts.hpp>
#include "llama/attention.hpp"
struct n_experts : sp::dim<6, sp::units, sp::uneven> {};
template <class At> struct biased_experts {
  SP_PARAM(gate_up_proj, sp::per_expert<n_experts>, sp::out<sp::fused<ffn, ffn>>, sp::in<hidden>);
  SP_PARAM(gate_up_proj_bias, sp::per_expert<n_experts>, sp::out<sp::fused<ffn, ffn>>);
  SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<ffn>);
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch(x, chosen, gate_up_proj);
    auto [gate, up] = sp::split(to.bias(to.grouped(to.rows, gate_up_proj), gate_up_proj_bias));
    return to.combine(to.grouped(sp::silu(gate) * up, down_proj));
  }
};
template <class At> struct gated_mlp {
  SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
  SP_LAYER(experts, sp::region<biased_experts>);
  constexpr auto forward(const auto& x) const { return experts(x, gate(x)); }
};
#include "llama/model.hpp"
inline constexpr sp::plan cut_inside{
#ifdef MUST_FAIL
    sp::colwise{"layers.*.mlp.experts.gate_up_proj_bias"},      // its halves would mix gate and up
    sp::packed_colwise{"layers.*.mlp.experts.gate_up_proj"},
#else
    sp::packed_colwise{"layers.*.mlp.experts.gate_up_proj", "layers.*.mlp.experts.gate_up_proj_bias"},
#endif
    sp::embedding_rowwise{"embed_tokens"}, sp::moe_tp_experts{"layers.*.mlp.experts"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj", "lm_head"},
    sp::rowwise{"layers.*.self_attn.o_proj", "layers.*.mlp.experts.down_proj"},
    sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm"}};
static_assert(sp::dry_run<llama, cut_inside>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 5);

// error: shardproof[SP102] an Invariant value enters rank-dependent compute: its gradient would miss an all-reduce. Fix: convert<Invariant, Replicate> (Megatron f, sp::to_replicate) at this use, or give the layer a colwise style.
// code: SP102
// path: operations::dispatch<hidden>, fed<replicate, invariant, shard<per_expert<n_experts>
// path: at<dealt, layers, each, mlp, experts>
// near: 12
// Each rank would use the scores of its own experts alone, and the router's replicas would drift.
#include <shardproof/shardproof.hpp>
#include <shardproof/layer/experts.hpp>
#include "llama/attention.hpp"
struct n_experts : sp::dim<6, sp::units, sp::uneven> {};
template <class At> struct dealt_experts {
  SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
  SP_PARAM(up_proj, sp::per_expert<n_experts>, sp::out<ffn>, sp::in<hidden>);
  SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<ffn>);
  constexpr auto forward(const auto& x) const {
#ifdef MUST_FAIL
    auto to = sp::dispatch(sp::to_replicate(x), gate(x), up_proj);                      // f on the tokens, none on the scores
#else
    auto to = sp::dispatch(sp::to_replicate(x), sp::to_replicate(gate(x)), up_proj);
#endif
    return sp::reduced(to.combine(to.grouped(sp::silu(to.grouped(to.rows, up_proj)), down_proj)));
  }
};
template <class At> struct gated_mlp {
  SP_LAYER(experts, sp::block<dealt_experts>);
  constexpr auto forward(const auto& x) const { return experts(x); }
};
#include "llama/model.hpp"
inline constexpr sp::plan dealt{
    sp::embedding_rowwise{"embed_tokens"}, sp::grouped_gemm{"layers.*.mlp.experts.up_proj", "layers.*.mlp.experts.down_proj"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj", "lm_head"},
    sp::rowwise{"layers.*.self_attn.o_proj"},
    sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm"}};
static_assert(sp::dry_run<llama, dealt>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 5);

// error: shardproof[SP102] an Invariant value enters rank-dependent compute: its gradient would miss an all-reduce. Fix: convert<Invariant, Replicate> (Megatron f, sp::to_replicate) at this use, or give the layer a colwise style.
// code: SP102
// path: operations::dispatch<hidden>, fed<invariant, invariant, shard<per_expert<n_experts>
// near: 12
#include <shardproof/shardproof.hpp>
#include "llama/mixture.hpp"

template <class At> struct plain_mixture {
  SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
#ifdef MUST_FAIL
  SP_LAYER(experts, sp::block<gated_experts>);                  // no rule can name a block
#else
  SP_LAYER(experts, sp::region<gated_experts>);
#endif
  constexpr auto forward(const auto& x, auto&&) const { return x + experts(x, gate(x)); }
};
inline constexpr sp::plan dealt{sp::grouped_gemm{"experts.gate_up_proj", "experts.down_proj"}, sp::moe_tp_experts{"?experts"}};
static_assert(sp::dry_run<plain_mixture, dealt>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

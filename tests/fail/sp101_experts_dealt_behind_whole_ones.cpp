// error: shardproof[SP101] placement mismatch: the operands of this operation are placed differently (see fed<>). Fix: give the layers that produce them styles with one output placement.
// code: SP101
// path: operations::grouped<dims<hidden>, false
// near: 16
#include <shardproof/shardproof.hpp>
#include "llama/mixture.hpp"

template <class At> struct two_layers {
  SP_PARAM(up_proj, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<hidden>);
  SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<hidden>);
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch(x, chosen, up_proj);
    return to.combine(to.grouped(sp::tanh(to.grouped(to.rows, up_proj)), down_proj));
  }
};
template <class At> struct two_layer_mixture {
  SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
  SP_LAYER(experts, sp::region<two_layers>);
  constexpr auto forward(const auto& x, auto&&) const { return x + experts(x, gate(x)); }
};
#ifdef MUST_FAIL
// Tokens are dealt, and the first matrix is whole: their rows are of all experts. The second lies with its experts.
inline constexpr sp::plan dealt{sp::replicated_with_grad_allreduce{"experts.up_proj"}, sp::grouped_gemm{"experts.down_proj"}, sp::ep_dispatch_experts{"experts"}};
#else
inline constexpr sp::plan dealt{sp::grouped_gemm{"experts.up_proj", "experts.down_proj"}, sp::ep_dispatch_experts{"experts"}};
#endif
static_assert(sp::dry_run<two_layer_mixture, dealt>(sp::ranks{4}, stream{2, 5, 16}).forward.all_gathers == 1);

// error: shardproof[SP101] placement mismatch: this conversion starts from another placement than it is fed (see fed<>, needs<>). Fix: convert to what needs<> says first, or drop the conversion.
// code: SP101
// path: operations::all_gather, fed<shard<routed>
// near: 12
#include <shardproof/shardproof.hpp>
#include "llama/mixture.hpp"

template <class At> struct peeking {
  SP_PARAM(up_proj, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<hidden>);
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch(x, chosen, up_proj);
    auto h = to.grouped(to.rows, up_proj);
#ifdef MUST_FAIL
    return to.combine(sp::all_gather(h));                       // how many rows are where is a fact of the data
#else
    return to.combine(h);
#endif
  }
};
template <class At> struct linear_mixture {
  SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
  SP_LAYER(experts, sp::region<peeking>);
  constexpr auto forward(const auto& x, auto&&) const { return x + experts(x, gate(x)); }
};
inline constexpr sp::plan dealt{sp::grouped_gemm{"experts.up_proj"}, sp::moe_tp_experts{"experts"}};
static_assert(sp::dry_run<linear_mixture, dealt>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

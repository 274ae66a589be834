// error: shardproof[SP114] these arguments do not fit this operation (see fed<>, needs<>). Fix: pass what needs<> lists, in that order.
// code: SP114
// path: operations::dispatch_call, fed<routing<.*>, tensor<.*>
// near: 18
#include <shardproof/shardproof.hpp>
#include "llama/mixture.hpp"

template <class At> struct linear_experts {
  SP_PARAM(up_proj, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<hidden>);
  constexpr auto forward(const auto& x, const auto& chosen) const {
#ifdef MUST_FAIL
    auto to = sp::dispatch(chosen, x, up_proj);
#else
    auto to = sp::dispatch(x, chosen, up_proj);
#endif
    return to.combine(to.grouped(to.rows, up_proj));
  }
};
template <class At> struct linear_mixture {
  SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
  SP_LAYER(experts, sp::region<linear_experts>);
  constexpr auto forward(const auto& x, auto&&) const { return x + experts(x, gate(x)); }
};
inline constexpr sp::plan inside{sp::colwise{"?experts.none"}};
static_assert(sp::dry_run<linear_mixture, inside>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

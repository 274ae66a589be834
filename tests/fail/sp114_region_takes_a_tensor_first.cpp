// error: shardproof[SP114] these arguments do not fit this operation (see fed<>, needs<>). Fix: pass what needs<> lists, in that order.
// code: SP114
// path: fed<routing<.*>, needs<detail::first_a_tensor>
// near: 16
#include <shardproof/shardproof.hpp>
#include "llama/mixture.hpp"

template <class At> struct swapped {
  SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
  SP_LAYER(experts, sp::region<gated_experts>);
  constexpr auto forward(const auto& x, auto&&) const {
#ifdef MUST_FAIL
    return x + experts(gate(x), x);
#else
    return x + experts(x, gate(x));
#endif
  }
};
inline constexpr sp::plan inside{sp::packed_colwise{"experts.gate_up_proj"}, sp::rowwise{"experts.down_proj"}, sp::moe_tp_experts{"experts"}};
static_assert(sp::dry_run<swapped, inside>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

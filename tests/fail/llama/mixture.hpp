#ifndef LLAMA_MIXTURE_HPP
#define LLAMA_MIXTURE_HPP
/// @file
/// Six experts of which each token gets two, for the must-fail programs about them.
///
///     #include "llama/mixture.hpp"
#include "dims.hpp"
#include <shardproof/layer/experts.hpp>

struct n_experts : sp::dim<6, sp::units, sp::uneven> {};
template <class At> struct gated_experts {
  SP_PARAM(gate_up_proj, sp::per_expert<n_experts>, sp::out<sp::fused<ffn, ffn>>, sp::in<hidden>);
  SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<ffn>);
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch(x, chosen, gate_up_proj);
    auto [gate, up] = sp::split(to.grouped(to.rows, gate_up_proj));
    return to.combine(to.grouped(sp::silu(gate) * up, down_proj));
  }
};
template <class At> struct mixture {
  SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
  SP_LAYER(experts, sp::region<gated_experts>);
  constexpr auto forward(const auto& x, auto&&) const { return x + experts(x, gate(x)); }
};
#endif

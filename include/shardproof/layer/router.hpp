#pragma once
/// @file
/// The router of a mixture of experts: a linear gate and the choice it makes.
///
///     SP_LAYER(gate, sp::topk_router<hidden, n_experts>);       // gate.how = {.chosen = 2, .renormalised = true}
///     SP_LAYER(router, sp::topk_router<hidden, n_experts, sp::with_bias>);             // a bias of the logits
///     auto chosen = gate(x);                               // chosen.weights, chosen.ids (batch, seq, chosen): see sp::dispatch
#include <shardproof/layer/run_time.hpp>
#include <shardproof/tensor/ops/choose.hpp>
#include <shardproof/tensor/ops/contract.hpp>
namespace shardproof {

struct with_correction;                                ///< a buffer [n_experts] that joins the choice: e_score_correction_bias

namespace detail {
template <class At, class In, class Experts, class... Options> struct router_parameters {
  SP_PARAM(weight, shardproof::out<Experts>, shardproof::in<In>);
  router_rule how;
};
template <class At, class In, class Experts> struct router_parameters<At, In, Experts, with_bias> {
  SP_PARAM(weight, shardproof::out<Experts>, shardproof::in<In>);
  SP_PARAM(bias, Experts);
  router_rule how;
};
template <class At, class In, class Experts> struct router_parameters<At, In, Experts, with_correction> {
  SP_PARAM(weight, shardproof::out<Experts>, shardproof::in<In>);
  SP_BUFFER(e_score_correction_bias, Experts);
  router_rule how;
};
template <class... Options> inline constexpr bool corrected = (std::is_same_v<Options, with_correction> || ...);
}  // namespace detail

/// x (..., In) -> routing (..., chosen). One option at most: with_bias or with_correction. @error SP301 x is sharded and no boundary is.
template <class In, class Experts, class... Options> struct topk_router : layer_kind<topk_router<In, Experts, Options...>> {
  static constexpr bool is_router = true;
  using in = dims<In>;
  using out = dims<Experts>;
  template <class At> using parameters = detail::router_parameters<At, In, Experts, Options...>;
  template <class X> static constexpr bool accepts = std::is_same_v<last_of<dims_in<X>>, In>;
  template <class X> using expected = concat<chop<dims_in<X>, 1>, dims<In>>;
  template <class Where> static constexpr auto call(const auto& own, const auto& x, const auto& w) {
    return detail::choose<Where>(contract<Where, in, out>(x, w), own.how, nothing{});
  }
  template <class Where> static constexpr auto call(const auto& own, const auto& x, const auto& w, const auto& b) {
    if constexpr (detail::corrected<Options...>) return detail::choose<Where>(contract<Where, in, out>(x, w), own.how, b);
    else return detail::choose<Where>(contract<Where, in, out>(x, w) + bare(b), own.how, nothing{});
  }
};

}  // namespace shardproof

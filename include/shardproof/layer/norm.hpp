#pragma once
/// @file
/// Norm layers over the last dimension.
///
///     SP_LAYER(input_layernorm, sp::rms_norm<hidden>);     // weight (hidden); input_layernorm.eps = 1e-5
///     SP_LAYER(q_norm, sp::rms_norm<head_dim>);            // per head: q (batch, seq, q_heads, head_dim)
#include <shardproof/layer/run_time.hpp>
#include <shardproof/tensor/ops/norm.hpp>
namespace shardproof {

namespace detail {
template <class At, class D> struct norm_parameters {
  SP_PARAM(weight, D);
  double eps = 1e-6;
  double offset = 0;                                   ///< added to the weight: 1 in gemma
};
}  // namespace detail

/// x * rsqrt(mean(x^2) + eps) * (offset + weight). @error SP301 on a sharded activation without a gradient style.
template <class D> struct rms_norm : layer_kind<rms_norm<D>> {
  using in = dims<D>;
  using out = dims<D>;
  template <class At> using parameters = detail::norm_parameters<At, D>;
  template <class X> static constexpr bool accepts = std::is_same_v<last_of<dims_in<X>>, D>;
  template <class X> using expected = concat<chop<dims_in<X>, 1>, dims<D>>;
  template <class Where> static constexpr auto call(const auto& own, const auto& x, const auto& w) { return normalise<Where, D>(x, w, own.eps, own.offset); }
};

}  // namespace shardproof

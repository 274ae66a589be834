#pragma once
/// @file
/// Norm layers over the last dimension.
///
///     SP_LAYER(input_layernorm, sp::rms_norm<hidden>);     // weight (hidden); input_layernorm.eps = 1e-5
///     SP_LAYER(q_norm, sp::rms_norm<head_dim>);            // per head: q (batch, seq, q_heads, head_dim)
///     SP_LAYER(ln_1, sp::layer_norm<hidden, sp::with_bias>);           // weight and bias (hidden)
#include <shardproof/layer/run_time.hpp>
#include <shardproof/tensor/ops/norm.hpp>
namespace shardproof {

namespace detail {
template <class At, class D> struct norm_parameters {
  SP_PARAM(weight, D);
  double eps = 1e-6;
  double offset = 0;                                   ///< added to the weight: 1 in gemma
};
template <class At, class D> struct layer_norm_parameters {
  SP_PARAM(weight, D);
  double eps = 1e-5;
};
/// A norm's bias has no role: no style cuts it.
template <class D, class... Options> struct norm_bias { using type = none; };
template <class D> struct norm_bias<D, with_bias> { using type = dims<D>; };
template <class D> struct norm_bias<D, maybe_bias> { using type = maybe_dims<dims<D>>; };
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

/// (x - mean(x)) * rsqrt(var(x) + eps) * weight + bias. Options: with_bias, maybe_bias. @error as rms_norm.
template <class D, class... Options> struct layer_norm : layer_kind<layer_norm<D, Options...>> {
  using in = dims<D>;
  using out = dims<D>;
  using bias = typename detail::norm_bias<D, Options...>::type;
  template <class At> using parameters = detail::layer_norm_parameters<At, D>;
  template <class X> static constexpr bool accepts = std::is_same_v<last_of<dims_in<X>>, D>;
  template <class X> using expected = concat<chop<dims_in<X>, 1>, dims<D>>;
  template <class Where> static constexpr auto call(const auto& own, const auto& x, const auto& w) { return standardise<Where, D>(x, w, own.eps); }
};

}  // namespace shardproof

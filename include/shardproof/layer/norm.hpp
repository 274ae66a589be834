#pragma once
/// @file
/// Norm layers over the last dimension; the root mean square also over the last few as one.
///
///     SP_LAYER(input_layernorm, sp::rms_norm<hidden>);     // weight (hidden); input_layernorm.eps = 1e-5
///     SP_LAYER(q_norm, sp::rms_norm<head_dim>);            // per head: q (batch, seq, q_heads, head_dim)
///     SP_LAYER(q_norm, sp::rms_norm<sp::dims<q_heads, head_dim>>);     // all heads as one: weight (q_heads, head_dim)
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
/// The weight over a list has output roles, so that a style may cut it, and is flat in a file; under a style that cuts the outputs of
/// other layers it has none, so that such a style is not one for norms (SP204).
template <class At, class D> struct weight_over_list { using type = roled<out, D>; };
template <class S, class Set, class D> requires (S::shards != role::none && !requires { requires S::cuts_norms; })
struct weight_over_list<owned_by<S, Set>, D> { using type = D; };
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

/// The same over the last few dimensions as one; under sharded_norm they are sharded, and the weight alike.
/// @error SP101 they are sharded under another style.
template <class... D> struct rms_norm<dims<D...>> : layer_kind<rms_norm<dims<D...>>> {
  using in = dims<>;                                   // nothing that a rowwise style could cut
  using out = dims<D...>;
  static constexpr bool is_norm = true;
  template <class At> using parameters = detail::norm_parameters<At, typename detail::weight_over_list<At, dims<D...>>::type>;
  template <class X> static constexpr bool accepts = !std::is_void_v<drop_back<dims_in<X>, out>>;
  template <class X> using expected = concat<chop<dims_in<X>, out::rank>, out>;
  template <class Where> static constexpr auto call(const auto& own, const auto& x, const auto& w) {
    using P = place_in<decltype(w)>;
    if constexpr (is_any<P>) {
      if (w.place().on[0].splits()) return normalise_shards<Where, out>(x, bare(w), own.eps, own.offset);
      return normalise<Where, out>(x, w, own.eps, own.offset);
    } else if constexpr (value_of<P>.on[0].splits()) return normalise_shards<Where, out>(x, bare(w), own.eps, own.offset);
    else return normalise<Where, out>(x, w, own.eps, own.offset);
  }
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

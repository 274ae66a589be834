#pragma once
/// @file
/// Linear layers; the weight is stored [out..., in...].
///
///     SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);            // weight (q_heads, head_dim, hidden)
///     SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::with_bias>);
///     SP_LAYER(lm_head, sp::tied_linear<hidden, vocab>);                            // lm_head(x, embed_tokens.weight)
#include <shardproof/layer/run_time.hpp>
#include <shardproof/tensor/ops/contract.hpp>
namespace shardproof {

struct stored_in_out;                                  ///< the weight lies [in..., out...]: GPT-2's Conv1D

namespace detail {
template <class At, class In, class Out, class... Options> struct weight_of { SP_PARAM(weight, roled<shardproof::out, Out>, roled<shardproof::in, In>); };
template <class At, class In, class Out, class... R> struct weight_of<At, In, Out, stored_in_out, R...> { SP_PARAM(weight, roled<shardproof::in, In>, roled<shardproof::out, Out>); };
template <class At> struct no_weight {};
template <class Out, class... Options> struct bias_option { using type = none; };
template <class Out, class... R> struct bias_option<Out, with_bias, R...> { using type = roled<shardproof::out, Out>; };
template <class Out, class... R> struct bias_option<Out, stored_in_out, R...> : bias_option<Out, R...> {};
template <class Out, class... R> struct bias_option<Out, maybe_bias, R...> { using type = maybe_dims<roled<shardproof::out, Out>>; };
}  // namespace detail

/// y = x W^T + b. In, Out: a dimension or a list; options: stored_in_out (first), with_bias, maybe_bias.
template <class In, class Out, class... Options> struct linear : layer_kind<linear<In, Out, Options...>> {
  using in = as_dims<In>;
  using out = as_dims<Out>;
  using bias = typename detail::bias_option<Out, Options...>::type;
  template <class At> using parameters = detail::weight_of<At, In, Out, Options...>;
  template <class X> static constexpr bool accepts = !std::is_void_v<drop_back<dims_in<X>, in>>;
  template <class X> using expected = concat<chop<dims_in<X>, in::rank>, in>;
  template <class Where> static constexpr auto call(const auto& x, const auto& w) { return contract<Where, in, out>(x, w); }
};

/// A linear layer without a weight of its own: the call passes the table it shares. One parameter, one gradient, one file entry.
/// Options: with_bias, maybe_bias.
/// @error SP404 the two layers' styles place the table differently.
template <class In, class Out, class... Options> struct tied_linear : layer_kind<tied_linear<In, Out, Options...>> {
  using in = as_dims<In>;
  using out = as_dims<Out>;
  using bias = typename detail::bias_option<Out, Options...>::type;
  using shared = concat<roled<shardproof::out, Out>, roled<shardproof::in, In>>;
  template <class At> using parameters = detail::no_weight<At>;
  template <class X> static constexpr bool accepts = !std::is_void_v<drop_back<dims_in<X>, in>>;
  template <class X> using expected = concat<chop<dims_in<X>, in::rank>, in>;
  template <class Where> static constexpr auto call(const auto& x, const auto& w) { return contract<Where, in, out>(x, w); }
};

}  // namespace shardproof

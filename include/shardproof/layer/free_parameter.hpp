#pragma once
/// @file
/// A parameter or buffer of a module itself, matched by rules like a layer: colwise cuts its first dimension, unless it says what each is for.
///
///     SP_PARAM(sinks, sp::dims<q_heads>);                  // sp::attention(q, kv, mask, sinks)
///     SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<ffn>);           // one matrix an expert: see sp::dispatch
///     auto y = embed(ids) + positions;                     // as the second operand; elsewhere: positions.seen_by(x)
#include <shardproof/layer/run_time.hpp>
#include <shardproof/tensor/ops/arithmetic.hpp>
namespace shardproof {
namespace detail {
struct itself;                                         ///< the tag of a free parameter: it bears its layer's name alone

template <class D> inline constexpr bool has_roles = false;
template <class... D> inline constexpr bool has_roles<dims<D...>> = ((info<D>.is != role::none) || ...);
/// Output roles throughout, where the declaration gives none.
template <class D> struct free_dims { using type = roled<shardproof::out, D>; };
template <class D> requires has_roles<D> struct free_dims<D> { using type = D; };
/// Free parameters behave like a layer kind with one parameter.
template <class D> struct free_kind {
  using own = typename free_dims<D>::type;
  using in = plain<with_role<role::in, own>>;
  using out = std::conditional_t<has_roles<D>, plain<with_role<role::out, own>>, D>;
  using bias = none;
  static constexpr bool is_free = true;
  template <class At> struct parameters { parameter_of<At, itself, false, own> value; };
};
/// A parameter with roles keeps them where it is used.
template <class D> constexpr auto used_as(const auto& w) {
  if constexpr (has_roles<D>) return w;
  else return bare(w);
}

template <class At, class D, bool Buffer, class Style> struct free_parameter
    : parameter<itself, typename free_dims<D>::type, typename settings_of<At>::template parameter<placed_by<Style, typename free_dims<D>::type>>, Buffer> {
  using where = At;
  using layer_kind = free_kind<D>;
  using style_type = Style;
  using set = settings_of<At>;
  using base = parameter<itself, typename free_dims<D>::type, typename set::template parameter<placed_by<Style, typename free_dims<D>::type>>, Buffer>;
  static constexpr bool roled = has_roles<D>;
  static constexpr int chosen = At::style_number();
  template <class X> constexpr auto seen_by(const X& x) const {
    using why = plan_verdict_of<At, layer_kind, Style, typename layer_kind::template parameters<owned_by<Style, set>>>;
    if constexpr (any_broken<X>) return broken{};
    else if constexpr (!std::is_same_v<why, sound>) {
      static_assert(why::ok);
      return broken{};
    } else return used_as<D>(use<Style>(site<layer_kind, set>{}, base::seen_by(x), x));
  }
};
template <class At, class D, bool Buffer> struct run_time_free_parameter : parameter<itself, typename free_dims<D>::type, any, Buffer> {
  using where = At;
  using layer_kind = free_kind<D>;
  using base = parameter<itself, typename free_dims<D>::type, any, Buffer>;
  static constexpr bool roled = has_roles<D>;
  using tables = styles_for<plan_of<At>, layer_kind, typename layer_kind::template parameters<owned_by_run_time_style>>;
  binding bound{plan_of<At>{}, At::c_path()};
  template <class X> auto seen_by(const X& x) const {
    const auto y = as_any(x);
    auto w = base::seen_by(y);
    w.made_by = self.layer = bound.name;
    return used_as<D>(tables::template uses<decltype(w), std::remove_const_t<decltype(y)>>[bound.style()](w, y, bound.cut()));
  }
};
}  // namespace detail

template <const auto& Plan, class... Path, class Tag, bool B, class D> struct parameter_in<at<Plan, Path...>, Tag, B, D> {
  using where = at<Plan, Path..., Tag>;
  static constexpr auto pick() {
    if constexpr (plan_of<where>::typed)
      return std::type_identity<detail::free_parameter<where, D, B, nth_style<where::style_number(), typename plan_of<where>::styles>>>{};
    else return std::type_identity<detail::run_time_free_parameter<where, D, B>>{};
  }
  using type = typename decltype(pick())::type;
};

/// A parameter as the second operand, as its style lets the first one see it: x + bias, x * gain.
template <class P> concept parameter_like = tensor_like<P> && requires { requires std::remove_cvref_t<P>::is_parameter; };
template <tensor_like X, tensor_like P> requires parameter_like<P> constexpr auto operator+(const X& x, const P& p) { return x + p.seen_by(x); }
template <tensor_like X, tensor_like P> requires parameter_like<P> constexpr auto operator*(const X& x, const P& p) { return x * p.seen_by(x); }

}  // namespace shardproof

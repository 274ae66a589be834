#pragma once
/// @file
/// A parameter or buffer of a module itself, matched by rules like a layer: colwise cuts its first dimension.
///
///     SP_PARAM(sinks, sp::dims<q_heads>);                  // sp::attention(q, kv, mask, sinks)
///     auto y = embed(ids) + positions;                     // as the second operand; elsewhere: positions.seen_by(x)
#include <shardproof/layer/run_time.hpp>
#include <shardproof/tensor/ops/arithmetic.hpp>
namespace shardproof {
namespace detail {
struct itself;                                         ///< the tag of a free parameter: it bears its layer's name alone

/// Free parameters behave like a layer kind whose only parameter has output roles throughout.
template <class D> struct free_kind {
  using in = dims<>;
  using out = D;
  using bias = none;
  template <class At> struct parameters { parameter_of<At, itself, false, roled<shardproof::out, D>> value; };
};

template <class At, class D, bool Buffer, class Style> struct free_parameter
    : parameter<itself, roled<shardproof::out, D>, typename settings_of<At>::template parameter<placed_by<Style, roled<shardproof::out, D>>>, Buffer> {
  using where = At;
  using layer_kind = free_kind<D>;
  using style_type = Style;
  using set = settings_of<At>;
  using base = parameter<itself, roled<shardproof::out, D>, typename set::template parameter<placed_by<Style, roled<shardproof::out, D>>>, Buffer>;
  static constexpr int chosen = At::style_number();
  template <class X> constexpr auto seen_by(const X& x) const {
    using why = plan_verdict_of<At, layer_kind, Style, typename layer_kind::template parameters<owned_by<Style, set>>>;
    if constexpr (any_broken<X>) return broken{};
    else if constexpr (!std::is_same_v<why, sound>) {
      static_assert(why::ok);
      return broken{};
    } else return bare(use<Style, site<layer_kind, set>>(base::seen_by(x), x));
  }
};
template <class At, class D, bool Buffer> struct run_time_free_parameter : parameter<itself, roled<shardproof::out, D>, any, Buffer> {
  using where = At;
  using layer_kind = free_kind<D>;
  using base = parameter<itself, roled<shardproof::out, D>, any, Buffer>;
  using tables = styles_for<plan_of<At>, layer_kind, typename layer_kind::template parameters<owned_by_run_time_style>>;
  int chosen = style_number(typename plan_of<At>::styles{}, "replicated");
  const char* name = At::c_path();
  template <class X> auto seen_by(const X& x) const {
    const auto y = as_any(x);
    const auto w = base::seen_by(y);
    self.layer = name;
    return bare(tables::template uses<std::remove_const_t<decltype(w)>, std::remove_const_t<decltype(y)>>[std::size_t(chosen)](w, y));
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

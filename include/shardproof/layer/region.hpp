#pragma once
/// @file
/// A module that a rule of the plan may name as a whole: its style converts what goes in and what comes out.
///
///     SP_LAYER(experts, sp::region<experts>);              // {"layers.*.mlp.experts": "moe_tp_experts"}; members have rules of their own
///     auto y = experts(x, gate(x));                        // tensors and routings are converted, other arguments pass by reference
#include <shardproof/layer/module.hpp>
#include <shardproof/layer/run_time.hpp>
#include <shardproof/tensor/ops/routing.hpp>
namespace shardproof {
namespace detail {

/// A region behaves like a layer kind without parameters.
struct region_kind : layer_kind<region_kind> {
  static constexpr bool is_region = true;
  using in = dims<>;
  using out = dims<>;
  template <class At> struct parameters {};
};
struct no_parameters {};
struct first_a_tensor;                                 ///< in facts: what a region's arguments begin with

template <class X> inline constexpr bool converts = tensor_like<X> || is_routing<X>;
template <class S, class Site, class X> constexpr decltype(auto) entry(X& x) {
  if constexpr (converts<std::remove_const_t<X>>) return before<S>(Site{}, x);
  else return (x);
}
/// Do the experts of a module lie apart or cut, while its own style leaves the sum to nobody? Its direct members only.
template <class T> constexpr bool sharded_expert() {
  if constexpr (requires { typename T::style_type; requires T::roled; }) return T::style_type::shards != role::none;
  else return false;
}
template <class... T> constexpr bool sharded_experts(type_list<T...>) { return (sharded_expert<std::remove_const_t<T>>() || ...); }

template <class At, class M, class Style> struct placed_region : submodule<M>, no_parameters {
  using where = At;
  using layer_kind = region_kind;
  using style_type = Style;
  using own = no_parameters;
  using set = settings_of<At>;
  [[no_unique_address]] none bias;
  static constexpr int chosen = At::style_number();

  template <class X, class... More> constexpr auto operator()(const X& x, More&&... more) const {
    using S = site<region_kind, set>;
    using why = plan_verdict_of<At, region_kind, Style, no_parameters>;
    if constexpr (any_broken<X>) return broken{};
    else if constexpr (!tensor_like<X>) {
      static_assert(verdict<code::wrong_arguments, At, fed<X>, needs<first_a_tensor>>::ok);
      return broken{};
    } else if constexpr (!std::is_same_v<why, sound>) {
      static_assert(why::ok);
      return broken{};
    } else if constexpr (std::is_same_v<Style, replicated> && sharded_experts(member_types<M>{})) {
      static_assert(verdict<code::incomplete_experts, At, style<Style>, needs<moe_tp_experts>>::ok);
      return broken{};
    } else {
      using is = on_axis<place_in<X>>;
      using want = typename Style::template fed<S>;
      if constexpr (!may_be_fed<Style, S, is>) {
        static_assert(verdict<rules::fed_instead(want::value, is::value, nullptr), At, style<Style>, fed<is>, needs<want>>::ok);
        return broken{};
      } else {
        if constexpr (!is_ghost<X>) self.layer = At::c_path();
        const auto y = submodule<M>::operator()(entry<Style, S>(x), entry<Style, S>(more)...);
        if constexpr (any_broken<decltype(y)>) return broken{};
        else {
          if constexpr (!is_ghost<X>) self.layer = At::c_path();
          return after<Style>(S{}, y, nothing{});
        }
      }
    }
  }
};

/// Under a run-time plan: arguments keep their types, since their placements are values.
template <class At, class M> struct run_time_region : submodule<M>, no_parameters {
  using where = At;
  using layer_kind = region_kind;
  using own = no_parameters;
  using tables = styles_for<plan_of<At>, region_kind, no_parameters>;
  [[no_unique_address]] none bias;
  binding bound{plan_of<At>{}, At::c_path()};

  template <class X> decltype(auto) entry(X& x) const {
    if constexpr (converts<std::remove_const_t<X>>) {
      const auto y = as_any(x);
      using Y = std::remove_const_t<decltype(y)>;
      return tables::template befores<Y>[bound.style()](y, bound.cut());
    } else return (x);
  }
  template <class X, class... More> auto operator()(const X& x, More&&... more) const {
    if constexpr (any_broken<X>) return broken{};
    else if constexpr (!tensor_like<X>) {
      static_assert(verdict<code::wrong_arguments, At, fed<X>, needs<first_a_tensor>>::ok);
      return broken{};
    } else {
      self.layer = bound.name;
      tables::require_accepted(bound, x, nullptr);
      const auto y = submodule<M>::operator()(entry(x), entry(more)...);
      using Y = std::remove_const_t<decltype(y)>;
      if constexpr (any_broken<Y>) return broken{};
      else {
        self.layer = bound.name;
        return tables::template afters<Y, nothing>[bound.style()](y, nothing{}, bound.cut());
      }
    }
  }
};
template <class At, template <class> class M> struct region_at { using type = placed_region<At, M<At>, nth_style<At::style_number(), typename plan_of<At>::styles>>; };
template <class At, template <class> class M> requires (!plan_of<At>::typed) struct region_at<At, M> { using type = run_time_region<At, M<At>>; };
}  // namespace detail

template <template <class> class M> struct region { template <class At> using in_scope = typename detail::region_at<At, M>::type; };
/// Is a member of a module a region?
template <class T> inline constexpr bool is_region = requires { typename T::layer_kind; requires T::layer_kind::is_region; };

}  // namespace shardproof

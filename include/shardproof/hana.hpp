#pragma once
/// @file
/// Modules as Boost.Hana Structs, and the registry of style types as a Hana sequence.
///
///     boost::hana::for_each(boost::hana::keys(mlp), [](auto tag) { ... });             // hana::type_c<gate_up_proj>, ...
///     boost::hana::for_each(boost::hana::members(mlp), [](auto& layer) { ... });
///     static_assert(boost::hana::contains(sp::hana_styles<>, boost::hana::type_c<sp::rowwise>));
///
/// Hana holds heterogeneous things here; shapes and plans never pass through it. A layer's key is the tag of its name, that of a
/// plain data member its index.
#include <boost/hana/accessors.hpp>
#include <boost/hana/core/when.hpp>
#include <boost/hana/integral_constant.hpp>
#include <boost/hana/pair.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>
#include <shardproof/layer/free_parameter.hpp>
#include <shardproof/layer/stack.hpp>
namespace shardproof {

namespace detail {
template <class At> struct last_tag;
template <const auto& Plan, class... T> struct last_tag<at<Plan, T...>> : nth_type<int(sizeof...(T)) - 1, T...> {};
template <class T> struct place_of_member { using type = void; };
template <class T> requires requires { typename T::where; } struct place_of_member<T> { using type = typename T::where; };
template <class W, class L> struct place_of_member<maybe_layer<W, L>> { using type = W; };
template <class W, class A, class B> struct place_of_member<one_of_layer<W, A, B>> { using type = W; };
template <template <class> class M, const auto& Plan, class... T> requires (sizeof...(T) > 0) struct place_of_member<submodule<M<at<Plan, T...>>>> { using type = at<Plan, T...>; };

template <class M> inline constexpr bool is_module = false;
template <template <class> class M, const auto& Plan, class... T> inline constexpr bool is_module<M<at<Plan, T...>>> = true;

template <int I, class T> constexpr auto key_of_member() {
  if constexpr (std::is_void_v<typename place_of_member<T>::type>) return boost::hana::int_c<I>;
  else return boost::hana::type_c<typename last_tag<typename place_of_member<T>::type>::type>;
}
template <int I> struct get_member {
  template <class M> constexpr decltype(auto) operator()(M&& m) const {
    return members(m, [](auto&... x) -> auto& { return nth_of<I>(x...); });
  }
};
template <class... T, int... I> constexpr auto accessors_of(type_list<T...>, std::integer_sequence<int, I...>) {
  return boost::hana::make_tuple(boost::hana::make_pair(key_of_member<I, std::remove_const_t<T>>(), get_member<I>{})...);
}
template <class... S> constexpr auto styles_as_sequence(style_list<S...>) { return boost::hana::tuple_t<S...>; }
}  // namespace detail

/// The styles that a plan of this type knows, in the order of their numbers.
template <class Plan = run_time_plan<>> inline constexpr auto hana_styles = detail::styles_as_sequence(typename Plan::styles{});

}  // namespace shardproof

namespace boost::hana {
template <class M> struct accessors_impl<M, when<shardproof::detail::is_module<M>>> {
  static constexpr auto apply() {
    using types = shardproof::member_types<M>;
    return shardproof::detail::accessors_of(types{}, std::make_integer_sequence<int, shardproof::detail::field_count<M>>{});
  }
};
}  // namespace boost::hana

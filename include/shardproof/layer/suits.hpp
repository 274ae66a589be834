#pragma once
/// @file
/// What a plan may do to a layer: does the style suit its kind (SP204), may the ranks share what it cuts (SP105), is the plan
/// itself sound there (SP203, SP206)?
///
///     static_assert( sp::suits<sp::colwise, sp::linear<hidden, ffn>>());
///     static_assert(!sp::suits<sp::rowwise, sp::rms_norm<hidden>>());
#include <shardproof/layer/parameter.hpp>
namespace shardproof {
namespace detail {

template <class T> inline constexpr bool is_parameter = requires { T::is_parameter; };
template <int I> constexpr auto& nth_of(auto& head, auto&... tail) {
  if constexpr (I == 0) return head;
  else return nth_of<I - 1>(tail...);
}
template <class Done, int I, class... T> struct indices { using type = Done; };
template <int... Done, int I, class H, class... T> struct indices<std::integer_sequence<int, Done...>, I, H, T...>
    : std::conditional_t<is_parameter<H>, indices<std::integer_sequence<int, Done..., I>, I + 1, T...>, indices<std::integer_sequence<int, Done...>, I + 1, T...>> {};
template <class L> struct indices_in;
template <class... T> struct indices_in<type_list<T...>> : indices<std::integer_sequence<int>, 0, std::remove_const_t<T>...> {};
/// The positions of the parameters among M's members.
template <class M> using parameter_indices = typename indices_in<member_types<M>>::type;

struct probe_settings { template <class P> using parameter = P; };
template <class Style, class T> constexpr bool cuts_member() {
  if constexpr (is_parameter<T>) return cuts<Style, typename T::dims_type>;
  else return false;
}
template <class Style, class... T> constexpr bool cuts_any(type_list<T...>) { return (cuts_member<Style, T>() || ...); }
template <class B> struct always_there : std::true_type {};
template <> struct always_there<none> : std::false_type {};
}  // namespace detail

/// A style suits a kind if it shards nothing, or shards something that the kind (or the tensor it shares) has; a bias aside.
template <class Style, class Kind> constexpr bool suits_without_bias() {
  if constexpr (requires { requires Kind::is_region; }) return Style::regions;
  else if constexpr (requires { requires Kind::is_router; }) return Style::routers;
  else if constexpr (!Style::layers) return false;
  else if constexpr (!Style::template applies<Kind>) return false;
  else if constexpr (Style::shards == role::none) return true;
  else if constexpr (requires { typename Kind::shared; }) return cuts<Style, typename Kind::shared>;
  else return detail::cuts_any<Style>(member_types<typename Kind::template parameters<owned_by<Style, detail::probe_settings>>>{});
}
/// The same with the kind's bias, which a constexpr plan must reckon with even where the configuration may leave it out.
template <class Style, class Kind> constexpr bool suits() {
  if constexpr (!Style::allows_bias && detail::always_there<typename Kind::bias>::value) return false;
  else return suits_without_bias<Style, Kind>();
}

namespace detail {
template <class Kind, class Done, class... S> struct applicable_in { using type = Done; };
template <class Kind, class... Done, class H, class... T> struct applicable_in<Kind, applicable<Done...>, H, T...>
    : std::conditional_t<suits<H, Kind>(), applicable_in<Kind, applicable<Done..., H>, T...>, applicable_in<Kind, applicable<Done...>, T...>> {};
template <class Kind, class L> struct applicable_of;
template <class Kind, class... S> struct applicable_of<Kind, style_list<S...>> : applicable_in<Kind, applicable<>, S...> {};

template <const rank_counts& Counts, class I> struct legal_list;
template <const rank_counts& Counts, std::size_t... I> struct legal_list<Counts, std::index_sequence<I...>> { using type = legal<Counts.at[I]...>; };
/// The rank counts that would do for D, as a type to print.
template <class D> struct legal_for {
  static constexpr rank_counts counts = legal_ranks(&info<D>, D::static_extent, nullptr, info<D>.is == role::in);
  using type = typename legal_list<counts, std::make_index_sequence<std::size_t(counts.count)>>::type;
};
template <class D, int W> constexpr code partition_fault() {
  constexpr bool summed = info<D>.is == role::in;
  return dealable(&info<D>, D::static_extent, W, nullptr, summed)  ? code::ok
         : dealable(&info<D>, D::static_extent, W, nullptr, false) ? code::copied_contraction
                                                                  : code::no_partition;
}
/// The dimension to blame: heads that follow groups which cannot be dealt fail with them, once for q, k and v together.
template <class D, int W> constexpr bool group_to_blame() {
  if constexpr (std::is_void_v<typename D::group>) return false;
  else return D::group::static_extent != dynamic && !dealable(&info<typename D::group>, D::group::static_extent, W);
}

/// Nothing is wrong.
using sound = verdict<code::ok, void>;
template <class... Verdict> struct first_unsound { using type = sound; };
template <class H, class... T> struct first_unsound<H, T...> { using type = H; };
template <class... T> struct first_unsound<sound, T...> : first_unsound<T...> {};

/// May W ranks share D? The verdict names the dimension, not the layer, so that q, k and v together give one error.
template <class D, int W> constexpr auto sharing() {
  if constexpr (group_to_blame<D, W>()) return sharing<out<typename D::group>, W>();
  else if constexpr (constexpr code c = partition_fault<D, W>(); c == code::ok) return std::type_identity<sound>{};
  else return std::type_identity<verdict<c, shard<plain<D>>, extent<D::static_extent>, ranks_on_axis<W>, typename legal_for<D>::type>>{};
}
template <class D, int W> using sharing_verdict = typename decltype(sharing<D, W>())::type;
template <int W, class P> struct sharing_of { using type = sound; };
template <int W, class D> requires (W > 1) struct sharing_of<W, shard<D>> { using type = sharing_verdict<D, W>; };
template <int W, class Parts> struct sharing_of_parts;
template <int W, class... P> struct sharing_of_parts<W, dims<P...>> : first_unsound<sharing_verdict<out<P>, W>...> {};
template <int W, class D> requires (W > 1) struct sharing_of<W, packed<D>> : sharing_of_parts<W, typename plain<D>::parts> {};
template <int W, class T> struct member_sharing { using type = sound; };
template <int W, class T> requires is_parameter<T> struct member_sharing<W, T> : sharing_of<W, on_axis<typename T::placement_type>> {};
template <int W, class L> struct members_sharing;
template <int W, class... T> struct members_sharing<W, type_list<T...>> : first_unsound<typename member_sharing<W, std::remove_const_t<T>>::type...> {};

/// The first thing that is wrong between plan and layer, as the verdict that says it: named here, instantiated by the layer.
template <class At, class Kind, class Style, class Own> struct plan_verdict {
  static constexpr rule_matches m = At::rules();
  static constexpr auto find() {
    if constexpr (At::fault::value.broken != code::ok) return std::type_identity<typename At::fault::why>{};
    else if constexpr (m.count > 1) return std::type_identity<verdict<code::two_rules, At, typename At::template rule_of<m.first>, typename At::template rule_of<m.second>>>{};
    else if constexpr (!suits<Style, Kind>()) return std::type_identity<verdict<code::unsuited_style, At, style<Style>, Kind, typename applicable_of<Kind, standard_styles>::type>>{};
    else return std::type_identity<typename members_sharing<At::ranks(), member_types<Own>>::type>{};
  }
  using type = typename decltype(find())::type;
};
template <class At, class Kind, class Style, class Own> using plan_verdict_of = typename plan_verdict<At, Kind, Style, Own>::type;
}  // namespace detail

}  // namespace shardproof

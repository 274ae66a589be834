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

/// A style suits a kind if it shards nothing, or shards something that the kind (or the tensor it shares) has.
template <class Style, class Kind> constexpr bool suits() {
  if constexpr (!Style::allows_bias && detail::always_there<typename Kind::bias>::value) return false;
  else if constexpr (Style::shards == role::none) return true;
  else if constexpr (requires { typename Kind::shared; }) return cuts<Style, typename Kind::shared>;
  else return detail::cuts_any<Style>(member_types<typename Kind::template parameters<owned_by<Style, detail::probe_settings>>>{});
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
template <class D, int W> constexpr bool may_share() {
  if constexpr (group_to_blame<D, W>()) return may_share<out<typename D::group>, W>();
  else if constexpr (constexpr code c = partition_fault<D, W>(); c == code::ok) return true;
  else return verdict<c, shard<plain<D>>, extent<D::static_extent>, ranks_on_axis<W>, typename legal_for<D>::type>::ok && false;
}
template <int W, class P> struct shareable { static constexpr bool ok = true; };
template <int W, class D> requires (W > 1) struct shareable<W, shard<D>> { static constexpr bool ok = may_share<D, W>(); };
template <int W, class Parts> struct shareable_parts;
template <int W, class... P> struct shareable_parts<W, dims<P...>> { static constexpr bool ok = (may_share<out<P>, W>() && ...); };
template <int W, class D> requires (W > 1) struct shareable<W, packed<D>> : shareable_parts<W, typename plain<D>::parts> {};

template <int W, class T> constexpr bool member_shareable() {
  if constexpr (is_parameter<T>) return shareable<W, on_axis<typename T::placement_type>>::ok;
  else return true;
}
template <int W, class... T> constexpr bool all_shareable(type_list<T...>) { return (member_shareable<W, T>() && ...); }

/// Everything that can be wrong between plan and layer, said once.
template <class At, class Kind, class Style, class Own> constexpr bool plan_is_sound() {
  constexpr plan_fault f = At::fault();
  constexpr rule_matches m = At::rules();
  if constexpr (f.broken != code::ok) return verdict<f.broken, typename At::template rule_of<f.rule>, extent<f.position>>::ok && false;
  else if constexpr (m.count > 1) return verdict<code::two_rules, At, typename At::template rule_of<m.first>, typename At::template rule_of<m.second>>::ok && false;
  else if constexpr (!suits<Style, Kind>()) return verdict<code::unsuited_style, At, style<Style>, Kind, typename applicable_of<Kind, standard_styles>::type>::ok && false;
  else return all_shareable<At::ranks()>(member_types<Own>{});
}
}  // namespace detail

}  // namespace shardproof

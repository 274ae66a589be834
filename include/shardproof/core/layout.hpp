#pragma once
/// @file
/// A layout is one placement per mesh axis, the outermost axis first; without other axes it is the bare placement of tp.
///
///     using l = sp::layout<sp::on<sp::dp, sp::shard<batch>>, sp::on<sp::tp, sp::invariant>>;
///     static_assert(std::is_same_v<sp::on_axis<l, sp::dp>, sp::shard<batch>>);
///     static_assert(sp::value_of<sp::invariant>.on[0] == sp::invariant::value);
#include <shardproof/core/mesh.hpp>
#include <shardproof/core/placement.hpp>
namespace shardproof {

struct layout_value {
  std::array<placement, max_axes> on{};
  constexpr layout_value() = default;
  constexpr layout_value(placement first, placement second = {}, placement third = {}) : on{first, second, third} {}
  constexpr bool operator==(const layout_value& o) const {
    for (std::size_t i = 0; i < max_axes; ++i) if (!(on[i] == o.on[i])) return false;
    return true;
  }
};
inline constexpr layout_value invariant_everywhere{};

template <class Axis, class P> struct on { using axis = Axis; using type = P; static constexpr placement value = P::value; };
namespace detail {
/// The placement among On... on axis `id`. No variable is modified: g++ 12 refuses that when it meets a layout inside a constant
/// expression for the first time.
template <class... On> struct placement_on { static constexpr placement at(int) { return {}; } };
template <class H, class... T> struct placement_on<H, T...> { static constexpr placement at(int id) { return H::axis::id == id ? H::value : placement_on<T...>::at(id); } };
}  // namespace detail
template <class... On> struct layout {
  static constexpr layout_value value{detail::placement_on<On...>::at(0), detail::placement_on<On...>::at(1), detail::placement_on<On...>::at(2)};
};
/// The value of a placement type or of a layout type.
template <class L> inline constexpr layout_value value_of = L::value;
template <class L> inline constexpr bool is_layout = false;
template <class... O> inline constexpr bool is_layout<layout<O...>> = true;

namespace detail {
template <class L, class A> struct on_axis_impl { using type = std::conditional_t<A::id == 0, L, invariant>; };
template <class A, class P, class... R> struct on_axis_impl<layout<on<A, P>, R...>, A> { using type = P; };
template <class H, class... R, class A> struct on_axis_impl<layout<H, R...>, A> : on_axis_impl<layout<R...>, A> {};
template <class A> struct on_axis_impl<layout<>, A> { using type = invariant; };
template <class L, class P, class A> struct put_impl { using type = P; };
template <class... O, class P, class A> struct put_impl<layout<O...>, P, A> {
  using type = layout<std::conditional_t<std::is_same_v<typename O::axis, A>, on<A, P>, O>...>;
};
template <class L, class... R> struct axes_from_impl { using type = L; };
template <class L, class H, class... R> requires (!is_layout<L>) struct axes_from_impl<L, H, R...> : axes_from_impl<H, R...> {};
template <class P> struct bare_impl { using type = P; };
template <class D> struct bare_impl<shard<D>> { using type = shard<plain<D>>; };
template <class D> struct bare_impl<packed<D>> { using type = packed<plain<D>>; };
template <class... A, class... P> struct bare_impl<layout<on<A, P>...>> { using type = layout<on<A, typename bare_impl<P>::type>...>; };
}  // namespace detail

/// The placement of layout L on axis A (invariant where L does not name it).
template <class L, class A = tp> using on_axis = typename detail::on_axis_impl<L, A>::type;
/// L with placement P on axis A.
template <class L, class P, class A = tp> using put = typename detail::put_impl<L, P, A>::type;
/// The first layout among L..., else the last placement: which axes a result of these operands names.
template <class... L> using axes_of = typename detail::axes_from_impl<L...>::type;
/// Placement or layout L without roles.
template <class L> using bare_of = typename detail::bare_impl<L>::type;
constexpr layout_value bare(layout_value v) { for (auto& p : v.on) p = bare(p); return v; }

}  // namespace shardproof

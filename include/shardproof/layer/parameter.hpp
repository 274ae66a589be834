#pragma once
/// @file
/// A named weight: global extents, layout and, once materialised, this rank's values and gradient.
///
///     template <class At> struct attention {
///       SP_PARAM(sinks, sp::dims<q_heads>);                // a free parameter, matched by rules like a layer
///       SP_BUFFER(correction, sp::dims<n_experts>);        // the same without a gradient
///     };
///
/// Layer kinds declare theirs with roles: SP_PARAM(weight, sp::roled<sp::out, Out>, sp::roled<sp::in, In>).
#include <shardproof/core/error.hpp>
#include <shardproof/layer/reflect.hpp>
#include <shardproof/plan/at.hpp>
#include <shardproof/tensor/refuse.hpp>
#include <shardproof/tensor/tensor.hpp>
namespace shardproof {

namespace detail {
[[gnu::cold, noreturn]] inline void refuse_unset(std::string_view name) {
  text_line what;
  what << "parameter \"" << name << "\" is used and has no values yet.";
  throw error(code::usage, what.view(), "call sp::initialise(model, seed), sp::load(model, folder) or sp::fill first.");
}
/// What a parameter holds fits the ranks, the plan and the extents there are now; whether it is frozen may change between uses.
/// @error SP001 it was made on other ranks, under another plan or before set_extents.
[[gnu::noinline]] inline void require_current(node& n, std::string_view name, const extents& global, const layout_value& p, bool tracked) {
  const shape now = local_shape(global, p);
  if (n.s == now) {
    n.tracked = tracked;
    return;
  }
  text_line t;
  t << "parameter \"" << name << "\" holds [";
  for (int i = 0; i < n.s.rank; ++i) t << (i ? ", " : "") << n.s.n[i];
  t << "] and its part is [";
  for (int i = 0; i < now.rank; ++i) t << (i ? ", " : "") << now.n[i];
  t << "] here.";
  throw error(code::usage, t.view(), "bind the plan and set the extents first, and initialise or load on the ranks that compute.");
}
}  // namespace detail

template <class Tag, class D, class L, bool Buffer = false> struct parameter : holds_layout<L> {
  using tag = Tag;
  using dims_type = D;
  using placement_type = L;
  static constexpr bool buffer = Buffer, optional = false;
  static constexpr bool is_parameter = true;
  sizes_of<D> sizes;
  ref at;
  bool frozen = Buffer;
  /// The parameter as an operand beside x; a ghost beside a ghost. @error SP001 it has no values yet.
  template <class X> constexpr tensor<element_in<X>, D, L> seen_by(const X& x) const {
    if constexpr (!is_ghost<X>) if (!at) detail::refuse_unset(type_name<Tag>());
    return operand(x);
  }

 protected:
  template <class X> constexpr tensor<element_in<X>, D, L> operand(const X& x) const {
    if constexpr (is_ghost<X>) return {sizes, x.at, this->place(), "parameter", !frozen, 0, this};
    else {
      if (at) detail::require_current(*at, type_name<Tag>(), sizes, this->place(), !frozen);
      return {sizes, at, this->place(), "parameter"};
    }
  }
};
/// A parameter that the configuration may leave out.
template <class Tag, class D, class L> struct optional_parameter : parameter<Tag, D, L> {
  static constexpr bool optional = true;
  bool present = false;
  template <class X> constexpr auto seen_by(const X& x) const {
    if constexpr (!is_ghost<X>) if (present && !this->at) detail::refuse_unset(type_name<Tag>());
    auto y = this->operand(x);
    return optional_tensor<decltype(y)>{y, present};
  }
};
/// No parameter at all.
struct none {};

/// The same elements under other dimensions (of equal extents) and another layout.
template <class D, class L, class T> constexpr tensor<element_in<T>, D, L> recast(const T& x) {
  sizes_of<D> s;
  s.n = x.sizes.n;
  s.table = x.sizes.table;
  if constexpr (is_ghost<T>) return {s, x.at, x.place(), x.made_by, x.wants_gradient, x.id, x.source};
  else return {s, x.at, x.place(), x.made_by};
}
/// Without roles: a parameter used as an operand of its own (a bias, a free parameter, a scale).
constexpr nothing bare(nothing n) { return n; }
constexpr broken bare(broken b) { return b; }
template <class E, class D, class L> constexpr auto bare(const tensor<E, D, L>& x) {
  auto y = recast<plain<D>, bare_of<L>>(x);
  if constexpr (is_any<L>) if (!(x.place() == bare(x.place()))) y.place_ = interned(bare(x.place()));
  return y;
}
template <class X> constexpr auto bare(const optional_tensor<X>& b) {
  auto y = bare(b.x);
  return optional_tensor<decltype(y)>{y, b.present};
}

namespace detail {
/// Which dimension of a parameter a style cuts: the first with the style's role.
template <class Style, class D> struct cut_by_style;
template <class Style, class... D> struct cut_by_style<Style, dims<D...>> {
  static constexpr int i = [] {
    const bool hit[] = {(Style::shards != role::none && info<D>.is == Style::shards)..., true};
    int k = 0;
    while (!hit[k]) ++k;
    return k;
  }();
  static constexpr bool found = i < int(sizeof...(D));
  template <bool Found, class Dummy> struct pick { using type = invariant; };
  template <class Dummy> struct pick<true, Dummy> { using type = typename Style::template cut<nth<i, D...>>; };
  using type = typename pick<found, void>::type;
};
template <class P> inline constexpr bool cut_makes_sense = true;
template <class D> inline constexpr bool cut_makes_sense<packed<D>> = info<plain<D>>.parts > 0;   // packed needs a fused dimension
}  // namespace detail
/// Where a style puts a parameter over D on tp.
template <class Style, class D> using placed_by = typename detail::cut_by_style<Style, as_dims<D>>::type;
/// Does the style cut this parameter?
template <class Style, class D> inline constexpr bool cuts = detail::cut_by_style<Style, as_dims<D>>::found && detail::cut_makes_sense<placed_by<Style, D>>;

/// What a parameter's type is in a scope: a layer kind under a style, a kind under a run-time plan, or a module.
template <class At, class Tag, bool Buffer, class D> struct parameter_in;
template <class At, class Tag, bool Buffer, class... D> using parameter_of = typename parameter_in<At, Tag, Buffer, concat<dims<>, D...>>::type;

/// Scopes in which a kind's own parameters stand.
template <class Style, class Settings> struct owned_by {};
struct owned_by_run_time_style {};
template <class S, class Set, class Tag, bool B, class D> struct parameter_in<owned_by<S, Set>, Tag, B, D> {
  using type = parameter<Tag, D, typename Set::template parameter<placed_by<S, D>>, B>;
};
template <class Tag, bool B, class D> struct parameter_in<owned_by_run_time_style, Tag, B, D> { using type = parameter<Tag, D, any, B>; };

}  // namespace shardproof

/// Declares a parameter of a module or of a layer kind; the arguments are its dimensions.
#define SP_PARAM(name, ...) ::shardproof::parameter_of<At, struct name, false, __VA_ARGS__> name
/// Declares a buffer: saved and loaded like a parameter, but it has no gradient.
#define SP_BUFFER(name, ...) ::shardproof::parameter_of<At, struct name, true, __VA_ARGS__> name

#pragma once
/// @file
/// Conversions between placements, each a row of the table of primitives. Styles use them; an author needs only `reduced`.
///
///     auto r = sp::to_replicate(x);                        // Invariant -> Replicate, Megatron's f: nothing forward, all_reduce backward
///     auto y = sp::all_reduce(p);                          // Partial -> Invariant, Megatron's g: all_reduce forward, nothing backward
///     auto h = sp::reduced(a + b);                         // two pending sums, one reduction
///
/// On an axis of one rank every conversion is the identity and communicates nothing.
#include <shardproof/core/primitives.hpp>
#include <shardproof/runtime/exchange.hpp>
#include <shardproof/tensor/apply.hpp>
namespace shardproof {

namespace operations {
/// In facts: the placement a kind stands for.
template <kind K> struct placement_of_kind { using type = shard<primitive::some_dimension>; };
template <> struct placement_of_kind<kind::invariant> { using type = invariant; };
template <> struct placement_of_kind<kind::replicate> { using type = replicate; };
template <> struct placement_of_kind<kind::varying> { using type = varying; };
template <> struct placement_of_kind<kind::partial> { using type = partial; };

/// One row of the table on one axis; D: the dimension that the result is cut along.
template <class Name, int Row, class Axis = tp, class D = void> struct conversion {
  using reported_as = Name;
  using wants = needs<typename placement_of_kind<primitive::table[Row].src>::type>;
  static constexpr int acts_on = Axis::id;
  static constexpr placement to() {
    constexpr kind k = primitive::table[Row].dst;
    if constexpr (std::is_void_v<D>) return {k};
    else return {kind::shard, &info<D>};
  }
  static constexpr outcome rule(placement x) {
    if (x.splits() && base_of(x.d)->ragged) return {code::conversion, x};                 // how its parts lie is a fact of the data
    if (!primitive::stands_for(primitive::table[Row].src, x)) {
      const code c = primitive::refusal(primitive::table[Row].how, x, to());
      return {c == code::ok ? code::conversion : c, x};
    }
    return {code::ok, to()};
  }
  constexpr void charge(bill& b) const {
    count(b, primitive::communication_of(primitive::forward(Row)), true);
    count(b, primitive::communication_of(primitive::backward(Row)), false);
    b.kept = primitive::forward(Row) != primitive::physical::identity && b.where.ranks[Axis::id] > 1;
  }
  /// Consumers of one value share these: the key of the one conversion, among ghosts and among nodes.
  static constexpr bool is_shared = Row == primitive::convert_i_r || Row == primitive::all_gather_s_i || Row == primitive::all_gather_s_r || Row == primitive::convert_i_s;
  static constexpr char key = 0;
  static constexpr const void* shared_key() requires is_shared { return &key; }
  static const void* shared_with(const auto& x) requires is_shared {
    const cut into = cut_after(x);
    return shared_target(Row, Axis::id, &into);
  }
  ref run(const shape&, const auto& x) const {
    const cut from = cut_of(x.sizes, x.place(), Axis::id);
    const cut into = cut_after(x);
    return exchange(x.at, Row, Axis::id, &from, &into);
  }

 private:
  static cut cut_after(const auto& x) {
    layout_value p = x.place();
    p.on[std::size_t(Axis::id)] = to();
    return cut_of(x.sizes, p, Axis::id);
  }
  static constexpr void count(bill& b, primitive::communication c, bool forward) {
    using primitive::communication;
    collective k = collective::all_reduce;
    switch (c) {
      case communication::none: return;
      case communication::all_gather: case communication::gather: k = collective::all_gather; break;
      case communication::reduce_scatter: case communication::scatter: k = collective::reduce_scatter; break;
      case communication::all_to_all: k = collective::all_to_all; break;
      case communication::broadcast: k = collective::broadcast; break;
      case communication::all_reduce: case communication::reduce: break;
    }
    if (forward) b.forward(k, Axis::id, b.operand);
    else b.backward(k, Axis::id, b.result);
  }
};
struct to_replicate;
struct to_shard;
struct to_partial;
struct all_reduce;
struct all_gather;
struct reduce_scatter;

/// Would D be cut, and is no dimension of X?
template <class X, class D> constexpr bool lacks() {
  if constexpr (std::is_void_v<D> || any_broken<X>) return false;
  else return !carries<plain<dims_in<X>>, plain<D>>;
}
template <class Name, int Row, class Axis = tp, class D = void, class X> constexpr auto convert(const X& x) {
  using op = conversion<Name, Row, Axis, D>;
  if constexpr (lacks<X, D>() && !is_any<place_in<X>>) {
    static_assert(verdict<code::dims_differ, free_operation<Name>, fed<dims_in<X>>, needs<dims<D>>>::ok);
    return broken{};
  } else {
    if constexpr (lacks<X, D>()) {                       // a run-time plan compiles this wherever its stream might be cut
      const fact f[] = {{"fed", x.place().on[std::size_t(Axis::id)], x.made_by}, {"needs", op::to(), ""}};
      refuse(code::dims_differ, type_name<Name>(), f, 2, Axis::id);
    }
    return apply<free_operation<op>, dims_in<X>, std::conditional_t<std::is_void_v<D>, invariant, shard<D>>>::op(op{}, x.sizes, x);
  }
}
}  // namespace operations

namespace detail {
/// f of a bias that may be absent: what is absent is not converted, it only takes the type.
template <class X, class F> constexpr auto if_present(const optional_tensor<X>& b, F f) {
  using Y = decltype(f(b.x));
  if constexpr (any_broken<Y>) return optional_tensor<Y>{Y{}, b.present};
  else {
    if (!b.present) return optional_tensor<Y>{b.x.template as<place_in<Y>>(), false};
    return optional_tensor<Y>{f(b.x), true};
  }
}
}  // namespace detail

/// I -> R (f), S -> R (all_gather, reduce_scatter backward); a Replicate is one already. Made once per value, whoever asks.
template <tensor_like X> constexpr auto to_replicate(const X& x) {
  using namespace operations;
  using P = on_axis<place_in<X>>;
  using f = operations::to_replicate;
  if constexpr (any_broken<X>) return broken{};
  else if constexpr (is_any<place_in<X>>) {
    const placement p = x.place().on[0];
    if (p.k == kind::replicate) return x;
    if (p.splits()) return convert<f, primitive::all_gather_s_r>(x);
    return convert<f, primitive::convert_i_r>(x);
  } else if constexpr (std::is_same_v<P, replicate>) return x;
  else if constexpr (P::value.splits()) return convert<f, primitive::all_gather_s_r>(x);
  else return convert<f, primitive::convert_i_r>(x);
}
constexpr nothing to_replicate(nothing n) { return n; }
template <class X> constexpr auto to_replicate(const optional_tensor<X>& b) {
  return detail::if_present(b, [](const auto& x) { return to_replicate(x); });
}
/// f on a whole parameter; a sharded one, or one that is Replicate already, passes.
template <tensor_like W> constexpr auto whole_to_replicate(const W& w) {
  if constexpr (any_broken<W>) return broken{};
  else if constexpr (is_any<place_in<W>>) return w.place().on[0].k == kind::invariant ? to_replicate(w) : w;
  else if constexpr (std::is_same_v<on_axis<place_in<W>>, invariant>) return to_replicate(w);
  else return w;
}
/// f on a whole parameter w whose use is beside a stream that lies as Boundary.
template <class W, class X, class Boundary> constexpr auto replicate_beside(const W& w, const X& x, Boundary) {
  if constexpr (std::is_same_v<W, nothing> || any_broken<W, X>) return w;
  else if constexpr (is_any<place_in<X>>) return x.place().on[0] == Boundary::value ? whole_to_replicate(w) : w;
  else if constexpr (std::is_same_v<on_axis<place_in<X>>, Boundary>) return whole_to_replicate(w);
  else return w;
}
template <class W, class X, class Boundary> constexpr auto replicate_beside(const optional_tensor<W>& w, const X& x, Boundary b) {
  return detail::if_present(w, [&](const auto& present) { return replicate_beside(present, x, b); });
}
/// I -> S(D), R -> S(D): keeps the own part.
template <tensor_like X, class D> constexpr auto to_shard(const X& x, along<D>) {
  using namespace operations;
  using P = on_axis<place_in<X>>;
  using name = operations::to_shard;
  if constexpr (any_broken<X>) return broken{};
  else if constexpr (is_any<place_in<X>>) {
    const placement p = x.place().on[0];
    if (p == shard<D>::value) return x;
    if (p.k == kind::replicate) return convert<name, primitive::convert_r_s, tp, D>(x);
    return convert<name, primitive::convert_i_s, tp, D>(x);
  } else if constexpr (std::is_same_v<P, shard<D>>) return x;
  else if constexpr (std::is_same_v<P, replicate>) return convert<name, primitive::convert_r_s, tp, D>(x);
  else return convert<name, primitive::convert_i_s, tp, D>(x);
}
/// R -> P, I -> P: one rank keeps the value, the others hold zero; a Partial is one already. The transpose of an exact partition of unity.
template <tensor_like X> constexpr auto to_partial(const X& x) {
  using namespace operations;
  using P = on_axis<place_in<X>>;
  using name = operations::to_partial;
  if constexpr (any_broken<X>) return broken{};
  else if constexpr (is_any<place_in<X>>) {
    const placement p = x.place().on[0];
    if (p.k == kind::partial) return x;
    if (p.k == kind::invariant) return convert<name, primitive::convert_i_p>(x);
    return convert<name, primitive::convert_r_p>(x);
  } else if constexpr (std::is_same_v<P, partial>) return x;
  else if constexpr (std::is_same_v<P, invariant>) return convert<name, primitive::convert_i_p>(x);
  else return convert<name, primitive::convert_r_p>(x);
}
constexpr nothing to_partial(nothing n) { return n; }
template <class X> constexpr auto to_partial(const optional_tensor<X>& b) {
  return detail::if_present(b, [](const auto& x) { return to_partial(x); });
}
/// P -> I: sums over the ranks. @error SP108 x is not Partial.
template <tensor_like X> constexpr auto all_reduce(const X& x) { return operations::convert<operations::all_reduce, primitive::all_reduce_p_i>(x); }
/// S -> I: the whole on every rank; its gradient is split. @error SP101 x is not sharded.
template <tensor_like X> constexpr auto all_gather(const X& x) { return operations::convert<operations::all_gather, primitive::all_gather_s_i>(x); }
/// P -> S(D). @error SP108 x is not Partial.
template <tensor_like X, class D> constexpr auto reduce_scatter(const X& x, along<D>) {
  return operations::convert<operations::reduce_scatter, primitive::reduce_scatter_p_s, tp, D>(x);
}

namespace detail {
/// On one axis, if pending there.
template <class Axis, class X> constexpr auto reduced_on(const X& x) {
  using op = operations::all_reduce;
  if constexpr (any_broken<X>) return broken{};
  else if constexpr (is_any<place_in<X>>) return x.place().on[std::size_t(Axis::id)].k == kind::partial ? operations::convert<op, primitive::all_reduce_p_i, Axis>(x) : x;
  else if constexpr (std::is_same_v<on_axis<place_in<X>, Axis>, partial>) return operations::convert<op, primitive::all_reduce_p_i, Axis>(x);
  else return x;
}
}  // namespace detail
/// The finished value of a sum that may still be pending, on every axis; anything else as it is.
template <tensor_like X> constexpr auto reduced(const X& x) { return detail::reduced_on<tp>(detail::reduced_on<dp>(detail::reduced_on<pp>(x))); }

namespace detail {
/// Along the one of D... that p is cut along, if it is one of them.
template <class X> constexpr auto scattered_along(const X& x, const placement&, dims<>) { return all_reduce(x); }
template <class X, class H, class... T> constexpr auto scattered_along(const X& x, const placement& p, dims<H, T...>) {
  if (p == shard<H>::value) return reduce_scatter(x, along<H>{});
  return scattered_along(x, p, dims<T...>{});
}
}  // namespace detail
/// The finished value of a sum as the stream lies that it joins: all_reduce, or reduce_scatter where `stream` is sharded along one of its
/// leading dimensions. On tp.
template <tensor_like X, tensor_like S> constexpr auto reduced(const X& x, const S& stream) {
  if constexpr (any_broken<X, S>) return broken{};
  else if constexpr (is_any<place_in<X>>) {
    if (x.place().on[0].k != kind::partial) return x;
    return detail::scattered_along(x, stream.place().on[0], chop<dims_in<S>, 1>{});
  } else if constexpr (!std::is_same_v<on_axis<place_in<X>>, partial>) return x;
  else if constexpr (value_of<place_in<S>>.on[0].k == kind::shard) return reduce_scatter(x, along<typename on_axis<place_in<S>>::dim>{});
  else return all_reduce(x);
}

}  // namespace shardproof

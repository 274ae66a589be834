#pragma once
/// @file
/// Applies an operation to tensors: judge its rule on every axis, charge its cost, and run it if there are values.
///
///     struct square { static constexpr sp::outcome rule(sp::placement x) { return sp::rules::nonlinear(x); }
///                     constexpr void charge(sp::bill& b) const { b.flops(1); }
///                     sp::ref run(const sp::shape& s, const auto& x) const; };
///     return sp::apply<sp::free_operation<square>, sp::dims_in<X>>::op(square{}, x.sizes, x);
#include <shardproof/tensor/refuse.hpp>
#include <shardproof/tensor/tensor.hpp>
namespace shardproof {

/// What an operation charges. Counts are this rank's elements.
struct bill {
  ledger* book;
  spot where;
  double result = 0, operand = 0;                      ///< elements of the result and of the first operand
  bool tracked[max_inputs] = {};                       ///< which operands want a gradient
  double element_bytes = 4;
  bool kept = true;                                    ///< the result is a new block (not a view)
  const context* watched = nullptr;                    ///< whose `watch` hears of collectives
  constexpr bool gradient() const {
    for (const bool t : tracked) if (t) return true;
    return false;
  }
  /// `each` FLOP per element of the result; backward costs `back` per element if anything wants a gradient.
  constexpr void flops(double each, double back = -1) {
    book->forward.flops += each * result;
    if (gradient()) book->backward.flops += (back < 0 ? 2 * each : back) * result;
  }
  constexpr void forward(collective c, int axis, double elements) {
    if (where.ranks[std::size_t(axis)] < 2) return;
    book->forward.count(c, elements * element_bytes);
    book->meet(c, axis, elements);
    tell(c, axis, elements, true);
  }
  constexpr void backward(collective c, int axis, double elements) {
    if (where.ranks[std::size_t(axis)] < 2 || !gradient()) return;
    book->backward.count(c, elements * element_bytes);
    tell(c, axis, elements, false);
  }

 private:
  constexpr void tell(collective c, int axis, double elements, bool is_forward) const {
    if (watched && watched->watch) watched->watch(watched->watcher, {watched->layer, c, axis, elements * element_bytes, is_forward});
  }
};

/// Where a rule was broken if not in a layer: the operation alone.
template <class Op> struct free_operation {
  static constexpr bool layer = false;
  static constexpr const char* c_path() { return ""; }
};
/// The scope of every layer under a run-time plan: one instantiation serves all layers of a kind.
struct some_layer {
  static constexpr bool layer = true;
  static const char* c_path() { return self.layer; }
};

namespace detail {
template <class Op> struct reported_as { using type = Op; };
template <class Op> requires requires { typename Op::reported_as; } struct reported_as<Op> { using type = typename Op::reported_as; };

/// The rule on one axis; a conversion acts on its own axis only, and a rule may ask which axis it is.
template <class Op, class... P> constexpr outcome judge(int axis, placement x, P... y) {
  if constexpr (requires { Op::acts_on; }) if (axis != Op::acts_on) return {code::ok, x};
  if constexpr (requires { Op::rule_on(axis, x, y...); }) return Op::rule_on(axis, x, y...);
  else return Op::rule(x, y...);
}
/// Facts name the axis only where it is not tp.
template <class A, class... P> struct facts_on { using type = fed<on<A, P>...>; };
template <class... P> struct facts_on<tp, P...> { using type = fed<P...>; };

/// The verdict on a broken rule, not instantiated yet. An operation that wants one particular placement says so: `wants`.
template <code C, class Where, class Op, class Fed> struct verdict_on { using type = verdict<C, Where, typename reported_as<Op>::type, Fed>; };
template <code C, class Where, class Op, class Fed> requires requires { typename Op::wants; }
struct verdict_on<C, Where, Op, Fed> { using type = verdict<C, Where, typename reported_as<Op>::type, Fed, typename Op::wants>; };

/// The type among C... that means placement p.
template <class... C> constexpr int index_of(placement p) {
  const bool hit[] = {(C::value == p)..., true};
  int i = 0;
  while (!hit[i]) ++i;
  return i < int(sizeof...(C)) ? i : -1;
}
template <class Where, class Op, class A, class Extra, class... P> struct result_on;
template <class Where, class Op, class A, class... C, class... P> struct result_on<Where, Op, A, dims<C...>, P...> {
  static constexpr outcome r = judge<Op>(A::id, placement(P::value)...);
  static constexpr bool ok = r.ok();
  using why = typename verdict_on<r.broken, Where, Op, typename facts_on<A, P...>::type>::type;
  static constexpr int i = index_of<invariant, replicate, partial, varying, P..., C...>(r.to);
  static_assert(!ok || i >= 0, "shardproof: an operation's result placement is none of its operands' and none it declares (apply<..., C...>)");
  using type = nth<(i < 0 ? 0 : i), invariant, replicate, partial, varying, P..., C...>;
};
template <class H, class... T> struct first_not_ok : std::conditional_t<H::ok && sizeof...(T) != 0, first_not_ok<T...>, H> {};
template <class H> struct first_not_ok<H> : H {};
/// All axes; `L` says which there are.
template <class L, class Where, class Op, class Extra, class... X> struct result_of : result_on<Where, Op, tp, Extra, X...> {};
template <class... On, class Where, class Op, class Extra, class... X> struct result_of<layout<On...>, Where, Op, Extra, X...> {
  template <class A> using one = result_on<Where, Op, A, Extra, on_axis<X, A>...>;
  static constexpr bool ok = (one<typename On::axis>::ok && ...);
  using why = typename first_not_ok<one<typename On::axis>...>::why;
  using type = layout<on<typename On::axis, typename one<typename On::axis>::type>...>;
};
}  // namespace detail

/// `Out`: the result's dimensions. `C...`: placements that the result may have beside those of the operands.
template <class Where, class Out, class... C> struct apply {
  template <class Op, class X, class... Y> static constexpr auto op(const Op& o, const sizes_of<Out>& s, const X& x, const Y&... y) {
    if constexpr (any_broken<X, Y...>) return broken{};
    else if constexpr (!names_once<Out>) {
      using why = verdict<code::dim_twice, Where, fed<Out>>;
      if constexpr (Where::layer) return refused<why>{};
      else {
        static_assert(why::ok);
        return broken{};
      }
    } else if constexpr (is_any<place_in<X>> || (is_any<place_in<Y>> || ...)) {
      layout_value p;
      for (int a = 0; a < max_axes; ++a) {
        const std::size_t i = std::size_t(a);
        const outcome r = detail::judge<Op>(a, x.place().on[i], y.place().on[i]...);
        if (!r.ok()) fail<Op>(r.broken, a, x, y...);
        p.on[i] = r.to;
      }
      return build<any>(o, p, s, x, y...);
    } else {
      using r = detail::result_of<axes_of<place_in<X>, place_in<Y>...>, Where, Op, dims<C...>, place_in<X>, place_in<Y>...>;
      if constexpr (r::ok) return build<typename r::type>(o, value_of<typename r::type>, s, x, y...);
      else if constexpr (Where::layer) return refused<typename r::why>{};
      else {
        static_assert(r::why::ok);
        return broken{};
      }
    }
  }

 private:
  template <class L, class Op, class X, class... Y> static constexpr tensor<element_in<X>, Out, L> build(const Op& o, const layout_value& p, const sizes_of<Out>& s, const X& x, const Y&... y) {
    const char* by = x.made_by;
    if constexpr (Where::layer) by = Where::c_path();
    if constexpr (is_ghost<X>) {
      if (!x.at) return {s, nullptr, p, by};
      imagined& w = *x.at;
      bill b{&w.book, w.where, local_count(s, p, w.where), local_count(x.sizes, x.place(), w.where), {}, w.element_bytes, true, nullptr};
      int i = 0;
      ((b.tracked[i++] = w.tape && x.tracked()), ..., (b.tracked[i++] = w.tape && y.tracked()));
      bool first = true;
      if constexpr (requires { o.shared_key(); }) first = w.first_view(x.id, x.source, o.shared_key());
      if (first) o.charge(b);
      if (first && b.kept) w.book.activation_bytes += b.result * w.element_bytes;
      return {s, x.at, p, by, b.gradient()};
    } else {
      if constexpr (sizeof...(Y) > 0 && !requires { Op::extents_may_differ; }) require_one_extent(name_of<Op>(), {extents(x.sizes), extents(y.sizes)...});
      shape local = local_shape(s, p);
      if constexpr (detail::has_ragged<Out>) (detail::correct_ragged(local, s, x), ..., detail::correct_ragged(local, s, y));
      if (self.book) [[unlikely]] {
        bill b{self.book, self.where, double(local.count()), double(x.at->s.count()), {}, double(bytes_of(compute_type(x.at->type))), true, &self};
        int i = 0;
        ((b.tracked[i++] = self.tape && x.tracked()), ..., (b.tracked[i++] = self.tape && y.tracked()));
        bool first = true;
        if constexpr (requires { o.shared_with(x); }) first = !has_shared(x.at, o.shared_with(x));
        if (first) o.charge(b);
        if (first && b.kept) self.book->activation_bytes += b.result * b.element_bytes;
      }
      return {s, o.run(local, x, y...), p, by};
    }
  }
  template <class Op, class... X> [[noreturn]] static void fail(code c, int axis, const X&... x) {
    const fact f[] = {{"fed", x.place().on[std::size_t(axis)], x.made_by}...};
    refuse(c, name_of<Op>(), f, int(sizeof...(X)), axis);
  }
  template <class Op> static std::string_view name_of() {
    const std::string_view at = Where::c_path();
    return !Where::layer || at.empty() ? type_name<typename detail::reported_as<Op>::type>() : at;
  }
};

}  // namespace shardproof

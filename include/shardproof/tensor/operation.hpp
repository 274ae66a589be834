#pragma once
/// @file
/// An operation of the user's own: a rule for placements, and host code for the value and its gradient.
///
///     struct squared_relu : sp::operation<squared_relu> {
///       static constexpr double flops = 2;                                   // per element of the result
///       static constexpr sp::outcome rule(sp::placement x) { return sp::rules::nonlinear(x); }
///       static void compute(auto y, auto x) { for (long i = 0; i < y.count(); ++i) y[i] = x[i] > 0 ? x[i] * x[i] : 0; }
///       static void pull(auto dy, auto y, auto x, auto dx) {
///         for (long i = 0; i < x.count(); ++i) dx[i] += x[i] > 0 ? 2 * x[i] * dy[i] : 0;
///       }
///     };
///     constexpr auto squared(const sp::tensor_like auto& x) { return sp::call(squared_relu{}, x); }
///
/// The rule says which placements of the operands are accepted and where the result lies; sp::check_laws tests that.
/// Kernels get `sp::elements` of float or of double; pull ADDS to the gradients of the floating operands, in their order. An
/// operand that they declare as `sp::indices` is of i64 and has no gradient. compute and pull return void. The operation may have
/// data members: at most 128 plain bytes, which pull sees again. It runs under constexpr and run-time plans, in dry runs and on
/// ghosts, which charge `flops` (and `backward_flops`, else twice that), or call its own `charge(sp::bill&) const`.
#include <concepts>
#include <shardproof/tensor/user_kernels.hpp>
namespace shardproof {

template <class Op> struct operation {
  template <tensor_like X, tensor_like... Y> constexpr auto operator()(const X& x, const Y&... y) const;
};

namespace detail {
template <unsigned Integers, std::size_t I, class T> using operand_elements =
    std::conditional_t<(Integers >> I & 1) != 0, shardproof::indices, elements<const T>>;
template <class V> constexpr V as_elements(const erased::user_block& b) {
  return {static_cast<decltype(V::p)>(b.p), b.s, b.part.held, b.part.place};
}

template <class Op, unsigned Integers, std::size_t... I>
concept computes = requires(const Op& op, elements<float> y, operand_elements<Integers, I, float>... x) { op.compute(y, x...); };
/// Which operands compute declares as indices; `no_such_kernel` if it takes none of the combinations.
inline constexpr unsigned no_such_kernel = ~0u;
template <class Op, unsigned Integers, std::size_t... I> constexpr unsigned integer_operands(std::index_sequence<I...> all) {
  if constexpr (computes<Op, Integers, I...>) return Integers;
  else if constexpr (Integers + 1 < 1u << sizeof...(I)) return integer_operands<Op, Integers + 1>(all);
  else return no_such_kernel;
}
constexpr int bits_in(unsigned m) { int n = 0; for (; m; m &= m - 1) ++n; return n; }

template <class Op, unsigned Integers, class T, std::size_t... I>
void compute_entry(const void* op, const erased::user_block* v) {
  static_cast<const Op*>(op)->compute(as_elements<elements<T>>(v[0]), as_elements<operand_elements<Integers, I, T>>(v[1 + I])...);
}
template <class Op, unsigned Integers, class T, std::size_t... I, std::size_t... J>
void pull_with(const void* op, const erased::user_block* v, std::index_sequence<J...>) {
  static_cast<const Op*>(op)->pull(as_elements<elements<const T>>(v[0]), as_elements<elements<const T>>(v[1]),
                                   as_elements<operand_elements<Integers, I, T>>(v[2 + I])...,
                                   as_elements<elements<T>>(v[2 + sizeof...(I) + J])...);
}
template <class Op, unsigned Integers, class T, std::size_t... I> void pull_entry(const void* op, const erased::user_block* v) {
  pull_with<Op, Integers, T, I...>(op, v, std::make_index_sequence<sizeof...(I) - std::size_t(bits_in(Integers))>{});
}
template <class Op, unsigned Integers, class I> struct kernels_of;
template <class Op, unsigned Integers, std::size_t... I> struct kernels_of<Op, Integers, std::index_sequence<I...>> {
  static constexpr erased::user_kernels table{
      type_name<Op>(),
      int(sizeof...(I)),
      Integers,
      {&compute_entry<Op, Integers, float, I...>, &compute_entry<Op, Integers, double, I...>},
      {&pull_entry<Op, Integers, float, I...>, &pull_entry<Op, Integers, double, I...>}};
};

/// A user's operation as `apply` wants one.
template <class Op, unsigned Integers, class Out> struct user_call {
  using reported_as = Op;
  const Op& op;
  const sizes_of<Out>& sizes;
  template <class... P> static constexpr outcome rule(P... p) { return Op::rule(p...); }
  constexpr void charge(bill& b) const {
    if constexpr (requires { op.charge(b); }) op.charge(b);
    else if constexpr (requires { Op::backward_flops; }) b.flops(double(Op::flops), double(Op::backward_flops));
    else b.flops(double(Op::flops));
  }
  template <class... X> ref run(const shape& local, const X&... x) const {
    layout_value to;
    for (std::size_t a = 0; a < max_axes; ++a) to.on[a] = Op::rule(x.place().on[a]...).to;
    const erased::user_operand in[] = {{&x.at, erased::part_of(x.sizes, x.place())}...};
    return erased::call_user(kernels_of<Op, Integers, std::index_sequence_for<X...>>::table, &op,
                             std::is_empty_v<Op> ? 0 : sizeof(Op), local, erased::part_of(sizes, to), in);
  }
};

/// A parameter's role ends where it is used: rules see plain dimensions.
template <class E, class D, class L> constexpr auto without_roles(const tensor<E, D, L>& x) {
  if constexpr (std::is_same_v<plain<D>, D>) return x;
  else {
    sizes_of<plain<D>> s;
    s.n = x.sizes.n;
    s.table = x.sizes.table;
    using y = tensor<E, plain<D>, bare_of<L>>;
    if constexpr (std::is_same_v<E, ghost>) return y{s, x.at, bare(x.place()), x.made_by, x.wants_gradient, x.id, x.source};
    else return y{s, x.at, bare(x.place()), x.made_by};
  }
}
constexpr broken without_roles(broken b) { return b; }
template <class Out, class... C, class Op, class X, class... Y>
constexpr auto call_plain(const Op& op, const X& x, const Y&... y) {
  if constexpr (any_broken<X, Y...>) return broken{};
  else {
    static_assert(1 + sizeof...(Y) <= std::size_t(max_operands), "shardproof: an operation has at most 5 operands");
    static_assert(std::is_trivially_copyable_v<Op> && sizeof(Op) <= sizeof(node::state),
                  "shardproof: an operation is at most 128 plain bytes");
    static_assert(
        requires {
          { Op::rule(x.place().on[0], y.place().on[0]...) } -> std::same_as<outcome>;
        },
        "shardproof: an operation has `static constexpr sp::outcome rule(sp::placement...)`, a placement for each operand");
    constexpr unsigned integers = integer_operands<Op, 0u>(std::make_index_sequence<1 + sizeof...(Y)>{});
    static_assert(integers != no_such_kernel,
                  "shardproof: an operation has `void compute(auto y, auto x...)`, for the result and each operand");
    sizes_of<Out> s;
    copy_sizes(s, x.sizes);
    (copy_sizes(s, y.sizes), ...);
    return apply<free_operation<Op>, Out, C...>::op(user_call<Op, integers, Out>{op, s}, s, x, y...);
  }
}
}  // namespace detail

/// Applies Op; the result has the dimensions Out, whose extents the operands know. `C...`: placements the result may have beside
/// those of the operands (shard<other>). @error what Op's rule says.
template <class Out, class... C, class Op, tensor_like X, tensor_like... Y>
constexpr auto call_as(const Op& op, const X& x, const Y&... y) {
  return detail::call_plain<as_dims<Out>, C...>(op, detail::without_roles(x), detail::without_roles(y)...);
}
/// The same; the result has the first operand's dimensions.
template <class Op, tensor_like X, tensor_like... Y> constexpr auto call(const Op& op, const X& x, const Y&... y) {
  return detail::call_plain<plain<dims_in<X>>>(op, detail::without_roles(x), detail::without_roles(y)...);
}

template <class Op> template <tensor_like X, tensor_like... Y>
constexpr auto operation<Op>::operator()(const X& x, const Y&... y) const {
  return call(static_cast<const Op&>(*this), x, y...);
}

}  // namespace shardproof

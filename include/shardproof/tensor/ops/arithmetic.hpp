#pragma once
/// @file
/// Sums, products, scaling and shifting of tensors; the right operand may lack leading dimensions and is repeated over them.
///
///     auto h = x + attended;                               // (batch, seq, hidden) Invariant + Invariant -> Invariant
///     auto g = sp::silu(gate) * up;                        // (batch, seq, ffn/tp) shard<ffn> each -> shard<ffn>
///     auto s = 0.5 * x;                                    // any placement, Partial included
#include <shardproof/tensor/apply.hpp>
namespace shardproof {

namespace erased {
inline void pull_widened(node& y) { if (y.in[0]->tracked) y.in[0]->add_gradient(std::move(y.gradient), y.gradient_view()); }
/// A 16-bit parameter beside activations is widened once per use.
inline ref widened(const ref& x) {
  if (x->type == compute_type(x->type)) return x;
  ref y = record(compute_type(x->type), x->s, {&x}, pull_widened);
  if (live(y)) device().cast(y->v(), x->v());
  return y;
}
inline void pull_add(node& y) {
  node &a = *y.in[0], &b = *y.in[1];
  const view dy = y.gradient_view();
  if (b.tracked) device().accumulate(b.g(), dy);
  if (a.tracked) a.add_gradient(std::move(y.gradient), dy);
}
inline ref add(const ref& a0, const ref& b0) {
  const ref a = widened(a0), b = widened(b0);
  ref y = record(a->type, a->s, {&a, &b}, pull_add);
  if (live(y)) device().add(y->v(), a->v(), b->v());
  return y;
}
inline void pull_multiply(node& y) {
  node &a = *y.in[0], &b = *y.in[1];
  device().multiply_backward(a.tracked ? a.g() : view{}, b.tracked ? b.g() : view{}, y.g(), a.v(), b.v());
}
inline ref multiply(const ref& a0, const ref& b0) {
  const ref a = widened(a0), b = widened(b0);
  ref y = record(a->type, a->s, {&a, &b}, pull_multiply);
  if (live(y)) device().multiply(y->v(), a->v(), b->v());
  return y;
}
struct unary_state { unary f; double p; };
inline void pull_apply_unary(node& y) {
  const auto& s = state_of<unary_state>(y);
  if (y.in[0]->tracked) device().apply_backward(s.f, y.in[0]->g(), y.g(), y.in[0]->v(), y.v(), s.p);
}
inline ref apply_unary(const ref& x0, unary f, double p) {
  const ref x = widened(x0);
  ref y = record(x->type, x->s, {&x}, pull_apply_unary, unary_state{f, p});
  if (live(y)) device().apply(f, y->v(), x->v(), p);
  return y;
}
}  // namespace erased

namespace operations {
/// Does A carry the dimension that p cuts?
template <class A> constexpr bool has(placement p) {
  for (int i = 0; i < A::rank; ++i) if (base_of(sizes_of<A>::infos[std::size_t(i)]) == base_of(p.d)) return true;
  return false;
}
struct sum;
struct product_of_tensors;
template <class A, class B> struct add {
  using reported_as = sum;
  static constexpr outcome rule(placement a, placement b) { return rules::add(a, b, has<A>(b), has<B>(a)); }
  constexpr void charge(bill& b) const { b.flops(1, 0); }
  static ref run(const shape&, const auto& a, const auto& b) { return erased::add(a.at, b.at); }
};
template <class A, class B> struct multiply {
  using reported_as = product_of_tensors;
  static constexpr outcome rule(placement a, placement b) { return rules::multiply(a, b, has<A>(b), has<B>(a)); }
  constexpr void charge(bill& b) const { b.flops(1); }
  static ref run(const shape&, const auto& a, const auto& b) { return erased::multiply(a.at, b.at); }
};
struct scale {
  double by;
  static constexpr outcome rule(placement x) { return rules::linear_map(x); }
  constexpr void charge(bill& b) const { b.flops(1, 1); }
  ref run(const shape&, const auto& x) const { return erased::apply_unary(x.at, unary::scale, by); }
};
struct shift {
  double by;
  static constexpr outcome rule(placement x) { return rules::shift(x); }
  constexpr void charge(bill& b) const { b.flops(1, 0); }
  ref run(const shape&, const auto& x) const { return erased::apply_unary(x.at, unary::shift, by); }
};
}  // namespace operations

namespace detail {
template <template <class, class> class Op, class A, class B> constexpr bool combine() {
  if constexpr (any_broken<A, B>) return true;
  else if constexpr (std::is_void_v<drop_back<dims_in<A>, dims_in<B>>>) return false;
  else if constexpr (is_any<place_in<A>> || is_any<place_in<B>>) return true;                // asked when it is called
  else return result_of<axes_of<place_in<A>, place_in<B>>, void, Op<dims_in<A>, dims_in<B>>, dims<>, place_in<A>, place_in<B>>::ok;
}
}  // namespace detail
/// Would a + b, a * b compile? Probes for overloads and tests: never an error.
template <class A, class B> concept can_add = tensor_like<A> && tensor_like<B> && detail::combine<operations::add, A, B>();
template <class A, class B> concept can_multiply = tensor_like<A> && tensor_like<B> && detail::combine<operations::multiply, A, B>();

/// a + b. @error SP102 Invariant meets Replicate or Shard; SP104 Partial meets anything else; SP109 the dimensions differ.
template <tensor_like A, tensor_like B> constexpr auto operator+(const A& a, const B& b) {
  if constexpr (any_broken<A, B>) return broken{};
  else if constexpr (std::is_void_v<drop_back<dims_in<A>, dims_in<B>>>) {
    static_assert(verdict<code::dims_differ, free_operation<operations::sum>, fed<dims_in<B>>, needs<dims_in<A>>>::ok);
    return broken{};
  } else return apply<free_operation<operations::sum>, dims_in<A>>::op(operations::add<dims_in<A>, dims_in<B>>{}, a.sizes, a, b);
}
/// a * b elementwise. @error SP102, SP103 Partial times Partial; SP104; SP109.
template <tensor_like A, tensor_like B> constexpr auto operator*(const A& a, const B& b) {
  if constexpr (any_broken<A, B>) return broken{};
  else if constexpr (std::is_void_v<drop_back<dims_in<A>, dims_in<B>>>) {
    static_assert(verdict<code::dims_differ, free_operation<operations::product_of_tensors>, fed<dims_in<B>>, needs<dims_in<A>>>::ok);
    return broken{};
  } else return apply<free_operation<operations::product_of_tensors>, dims_in<A>>::op(operations::multiply<dims_in<A>, dims_in<B>>{}, a.sizes, a, b);
}
/// x times a number: linear, so a Partial stays one.
// The number is a template parameter since clang 19 makes an error of (double, X) where X is long, before it asks whether X is a tensor.
template <class N, tensor_like X> requires std::is_arithmetic_v<N> constexpr auto operator*(N by, const X& x) {
  return apply<free_operation<operations::scale>, dims_in<X>>::op(operations::scale{double(by)}, x.sizes, x);
}
template <tensor_like X, class N> requires std::is_arithmetic_v<N> constexpr auto operator*(const X& x, N by) { return by * x; }
/// x plus a number. @error SP104 x is Partial.
template <tensor_like X, class N> requires std::is_arithmetic_v<N> constexpr auto operator+(const X& x, N by) {
  return apply<free_operation<operations::shift>, dims_in<X>>::op(operations::shift{double(by)}, x.sizes, x);
}
template <tensor_like A, tensor_like B> constexpr auto operator-(const A& a, const B& b) { return a + (-1.0) * b; }

template <tensor_like X, class Y> constexpr auto operator+(const X& x, const optional_tensor<Y>& b) {
  using sum = decltype(x + b.x);
  if constexpr (any_broken<X, Y, sum>) return broken{};
  else if constexpr (!std::is_same_v<sum, X>) {
    static_assert(verdict<code::absent_must_pass, free_operation<operations::sum>, fed<place_in<X>>, returns<place_in<sum>>>::ok);
    return broken{};
  } else {
    if (b.present) return x + b.x;
    return x;
  }
}

}  // namespace shardproof

#pragma once
/// @file
/// A row and the one number that belongs to it: the sum of its squares, and the row times a number.
///
///     auto t = sp::square_sum<Where, sp::dims<q_heads, head_dim>>(q);      // shard<q_heads> -> (batch, seq, one) Partial
///     auto gate = sp::sigmoid(shared_expert_gate(x));                      // (batch, seq, one) Replicate
///     auto y = sp::scale_rows(shared_expert(x), gate);                     // (batch, seq, hidden), Partial stays Partial
///
/// A row is what lies behind the leading dimensions; its number lies at the same place of a tensor that ends in `sp::one`.
#include <shardproof/runtime/cut.hpp>
#include <shardproof/tensor/ops/arithmetic.hpp>
namespace shardproof {

/// The last dimension of a tensor that has one number for each row; also the output of a linear layer with one feature.
struct one : dim<1> {};

namespace erased {
inline void pull_scale_rows(node& y) {
  node &x = *y.in[0], &s = *y.in[1];
  const view dy = y.g();
  if (x.tracked) {
    bool more;
    const view dx = x.g(more);
    device().scale_rows(dx, dy, s.v(), more);
  }
  if (s.tracked) device().row_dot(s.g(), dy, x.v(), 1);
}
inline ref scale_rows(const ref& x0, const ref& s0) {
  const ref x = widened(x0), s = widened(s0);
  ref y = record(x->type, x->s, {&x, &s}, pull_scale_rows);
  if (live(y)) device().scale_rows(y->v(), x->v(), s->v(), false);
  return y;
}

inline void pull_square_sum(node& y) {
  node& x = *y.in[0];
  if (!x.tracked) return;
  const view dy = y.g();
  const ref twice = leaf(dy.type, dy.s);
  device().apply(unary::scale, twice->v(), dy, 2 * state_of<double>(y));
  bool more;
  const view dx = x.g(more);
  device().scale_rows(dx, x.v(), twice->v(), more);
}
/// by * the sum of squares of each row of x; the shape s has an element for each.
inline ref square_sum(const ref& x0, const shape& s, double by) {
  const ref x = widened(x0);
  ref y = record(x->type, s, {&x}, pull_square_sum, by);
  if (live(y)) {
    device().fill(y->v(), 0);
    device().row_dot(y->v(), x->v(), x->v(), by);
  }
  return y;
}
}  // namespace erased

namespace operations {
/// Is p about one of these dimensions: does it cut it, or place its parts apart?
template <class In> constexpr bool touches(placement p) {
  for (int i = 0; i < In::rank; ++i) if (p.d && base_of(p.d) == base_of(sizes_of<In>::infos[std::size_t(i)])) return true;
  return false;
}
/// What one holder counts of a sum over all: where ranks outnumber the groups, several hold the same heads.
template <class In, class X> double share_of_sum(const X& x) {
  double share = 1;
  for (int a = 0; a < max_axes; ++a) {
    if (!touches<In>(x.place().on[std::size_t(a)])) continue;
    const cut c = cut_of(x.sizes, x.place(), a);
    share /= copies_of(c.d, c.whole, ranks_on(a), c.table);
  }
  return share;
}

struct scaled_rows;
/// X and S: the dimensions of both.
template <class X, class S> struct scale_rows {
  using reported_as = scaled_rows;
  static constexpr outcome rule(placement x, placement s) {
    if (touches<dims<one>>(s) && !has<X>(s)) return {code::operands_differ, x};          // some ranks would have no number
    return rules::multiply(x, s, has<X>(s), has<S>(x));
  }
  constexpr void charge(bill& b) const { b.flops(1, 3); }
  static ref run(const shape&, const auto& x, const auto& s) { return erased::scale_rows(x.at, s.at); }
};
/// Over the dimensions In, the last of the operand.
template <class In> struct square_sum {
  double by = 1;
  static constexpr outcome rule(placement x) {
    if (x.k == kind::partial) return {code::nonlinear_partial, x};
    if (!touches<In>(x)) return {code::ok, x};
    return x.k == kind::shard ? outcome{code::ok, partial::value} : outcome{code::reduced_over_shard, x};
  }
  constexpr void charge(bill& b) const {
    b.book->forward.flops += 2 * b.operand;
    if (b.gradient()) b.book->backward.flops += 2 * b.operand;
  }
  ref run(const shape& s, const auto& x) const { return erased::square_sum(x.at, s, by); }
};
template <class X, class S> constexpr bool numbers_for_rows() {
  if constexpr (S::rank < 1 || S::rank > X::rank + 1) return false;
  else return std::is_same_v<last_of<S>, one> && std::is_same_v<chop<S, 1>, chop<X, X::rank + 1 - S::rank>>;
}
}  // namespace operations

/// x (lead..., D...) times s (lead..., one), a number for each row: bilinear, so a Partial x times a Replicate s is Partial.
/// @error SP101, SP102, SP103, SP104 as a product; SP109 s is not the leading dimensions of x and `one`.
template <class Where = free_operation<operations::scaled_rows>, tensor_like X, tensor_like S>
constexpr auto scale_rows(const X& x, const S& s) {
  if constexpr (any_broken<X, S>) return broken{};
  else if constexpr (!operations::numbers_for_rows<dims_in<X>, dims_in<S>>()) {
    static_assert(verdict<code::dims_differ, Where, fed<dims_in<S>>, needs<concat<chop<dims_in<X>, 1>, one>>>::ok);
    return broken{};
  } else return apply<Where, dims_in<X>>::op(operations::scale_rows<dims_in<X>, dims_in<S>>{}, x.sizes, x, s);
}

/// The sum of squares over In, the last dimensions of x: (lead..., In...) -> (lead..., one); a shard along one of In gives Partial.
/// @error SP103 x is Partial; SP101 a fused dimension among In lies in parts; SP109 x does not end in In.
template <class Where, class In, tensor_like X> constexpr auto square_sum(const X& x) {
  using summed = as_dims<In>;
  if constexpr (any_broken<X>) return broken{};
  else if constexpr (std::is_void_v<drop_back<dims_in<X>, summed>>) {
    static_assert(verdict<code::dims_differ, Where, fed<dims_in<X>>, needs<summed>>::ok);
    return broken{};
  } else {
    using to = concat<drop_back<dims_in<X>, summed>, one>;
    sizes_of<to> s;
    copy_sizes(s, x.sizes);
    operations::square_sum<summed> op;
    if constexpr (!is_ghost<X>) op.by = operations::share_of_sum<summed>(x);
    return apply<Where, to>::op(op, s, x);
  }
}

}  // namespace shardproof

#pragma once
/// @file
/// Norms over the last dimension, or over the last few as one.
///
///     auto y = sp::normalise<Where, hidden>(x, w, 1e-6, 0.0);        // root mean square: (batch, seq, hidden), weight [hidden]
///     auto z = sp::standardise<Where, hidden>(x, w, 1e-5);           // the mean taken away first
///     auto q = sp::normalise_shards<Where, sp::dims<q_heads, head_dim>>(x, w, 1e-6);     // shard<q_heads>, as the weight is
///
/// rms: x * rsqrt(mean(x^2) + eps) * (offset + w); offset 1 is gemma's. Zhang & Sennrich, arXiv 1910.07467.
/// layer: (x - mean(x)) * rsqrt(var(x) + eps) * w. Ba, Kiros & Hinton, arXiv 1607.06450.
#include <shardproof/tensor/ops/activation.hpp>
#include <shardproof/tensor/ops/convert.hpp>
#include <shardproof/tensor/ops/rows.hpp>
namespace shardproof {

namespace erased {
struct norm_state { double eps, offset; int over = 1; };
/// The last `over` extents as one: kernels work over the last.
inline view rows_of(view v, int over) {
  v.s = {v.s.lead(over), v.s.tail(over)};
  return v;
}
inline void pull_rms_norm(node& y) {
  node &x = *y.in[0], &w = *y.in[1];
  const auto [eps, offset, over] = state_of<norm_state>(y);
  const view dx = x.tracked ? rows_of(x.g(), over) : view{}, dw = w.tracked ? rows_of(w.g(), over) : view{};
  device().rms_norm_backward(dx, dw, rows_of(y.g(), over), rows_of(x.v(), over), rows_of(w.v(), over), eps, offset);
}
inline ref rms_norm(const ref& x0, const ref& w, double eps, double offset, int over) {
  const ref x = widened(x0);
  ref y = record(x->type, x->s, {&x, &w}, pull_rms_norm, norm_state{eps, offset, over});
  if (live(y)) device().rms_norm(rows_of(y->v(), over), rows_of(x->v(), over), rows_of(w->v(), over), eps, offset);
  return y;
}
inline void pull_layer_norm(node& y) {
  node &x = *y.in[0], &w = *y.in[1];
  device().layer_norm_backward(x.tracked ? x.g() : view{}, w.tracked ? w.g() : view{}, {}, y.g(), x.v(), w.v(), state_of<norm_state>(y).eps);
}
inline ref layer_norm(const ref& x0, const ref& w, double eps) {
  const ref x = widened(x0);
  ref y = record(x->type, x->s, {&x, &w}, pull_layer_norm, norm_state{eps, 0});
  if (live(y)) device().layer_norm(y->v(), x->v(), w->v(), {}, eps);
  return y;
}
}  // namespace erased

namespace operations {
/// Over D, a dimension or a list.
template <class D> struct rms_norm {
  using over = as_dims<D>;
  double eps, offset;
  static constexpr outcome rule(placement x, placement w) {
    return rules::norm(x, w, touches<over>(x) ? x.d : &info<first_of<over>>);
  }
  constexpr void charge(bill& b) const { b.flops(4, 10); }
  ref run(const shape&, const auto& x, const auto& w) const { return erased::rms_norm(x.at, w.at, eps, offset, over::rank); }
};
template <class D> struct layer_norm {
  double eps;
  static constexpr outcome rule(placement x, placement w) { return rules::norm(x, w, &info<D>); }
  constexpr void charge(bill& b) const { b.flops(7, 14); }
  ref run(const shape&, const auto& x, const auto& w) const { return erased::layer_norm(x.at, w.at, eps); }
};
}  // namespace operations

/// D: the last dimension of x, or a list of its last ones.
/// @error SP301 a whole weight meets a sharded activation; SP101 D itself is sharded; SP103 x is Partial.
template <class Where, class D, class X, class W> constexpr auto normalise(const X& x, const W& w, double eps, double offset = 0) {
  return apply<Where, dims_in<X>>::op(operations::rms_norm<D>{eps, offset}, x.sizes, x, w);
}

/// The same where D, a list, and the weight over it are cut alike: one all_reduce of one number a row makes the sums of squares, and
/// one backward their gradients. @error SP101 the weight is cut and x is not; SP102, SP103 as a product.
template <class Where, class D, class X, class W>
constexpr auto normalise_shards(const X& x, const W& w, double eps, double offset = 0) {
  const auto squares = square_sum<Where, D>(x);
  if constexpr (is_refused<decltype(squares)>) return squares;
  else if constexpr (any_broken<decltype(squares), W>) return broken{};
  else {
    double n = 1;
    for (int i = 0; i < as_dims<D>::rank; ++i) n *= double(x.sizes.n[std::size_t(dims_in<X>::rank - 1 - i)]);
    const auto mean = (n > 0 ? 1 / n : 0.0) * to_replicate(reduced(squares));
    const auto y = scale_rows<Where>(x, rsqrt(mean, eps));
    if constexpr (is_refused<decltype(y)>) return y;
    else if constexpr (any_broken<decltype(y)>) return broken{};
    else {
      auto gain = w;
      if (offset != 0) gain = w + offset;
      return apply<Where, dims_in<X>>::op(operations::multiply<dims_in<X>, dims_in<W>>{}, y.sizes, y, gain);
    }
  }
}

/// @error as normalise.
template <class Where, class D, class X, class W> constexpr auto standardise(const X& x, const W& w, double eps) {
  return apply<Where, dims_in<X>>::op(operations::layer_norm<D>{eps}, x.sizes, x, w);
}

namespace erased {
inline void pull_unweighted_rms(node& y) { device().rms_norm_backward(y.in[0]->g(), {}, y.g(), y.in[0]->v(), {}, state_of<norm_state>(y).eps, 0); }
inline ref unweighted_rms(const ref& x0, double eps) {
  const ref x = widened(x0);
  ref y = record(x->type, x->s, {&x}, pull_unweighted_rms, norm_state{eps, 0});
  if (live(y)) device().rms_norm(y->v(), x->v(), {}, eps, 0);
  return y;
}
}  // namespace erased
namespace operations {
template <class D> struct unweighted_rms {
  double eps;
  static constexpr outcome rule(placement x) { return rules::over(x, &info<D>); }
  constexpr void charge(bill& b) const { b.flops(3, 8); }
  ref run(const shape&, const auto& x) const { return erased::unweighted_rms(x.at, eps); }
};
}  // namespace operations
/// x * rsqrt(mean(x^2) + eps) over the last dimension, without a weight. @error SP101 that dimension is sharded; SP103 x is Partial.
template <tensor_like X> constexpr auto unweighted_rms(const X& x, double eps) {
  if constexpr (any_broken<X>) return broken{};
  else {
    using op = operations::unweighted_rms<last_of<dims_in<X>>>;
    return apply<free_operation<op>, dims_in<X>>::op(op{eps}, x.sizes, x);
  }
}

}  // namespace shardproof

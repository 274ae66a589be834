#pragma once
/// @file
/// Norms over the last dimension.
///
///     auto y = sp::normalise<Where, hidden>(x, w, 1e-6, 0.0);        // root mean square: (batch, seq, hidden), weight [hidden]
///     auto z = sp::standardise<Where, hidden>(x, w, 1e-5);           // the mean taken away first
///
/// rms: x * rsqrt(mean(x^2) + eps) * (offset + w); offset 1 is gemma's. Zhang & Sennrich, arXiv 1910.07467.
/// layer: (x - mean(x)) * rsqrt(var(x) + eps) * w. Ba, Kiros & Hinton, arXiv 1607.06450.
#include <shardproof/tensor/ops/arithmetic.hpp>
namespace shardproof {

namespace erased {
struct norm_state { double eps, offset; };
inline void pull_rms_norm(node& y) {
  node &x = *y.in[0], &w = *y.in[1];
  const auto [eps, offset] = state_of<norm_state>(y);
  device().rms_norm_backward(x.tracked ? x.g() : view{}, w.tracked ? w.g() : view{}, y.g(), x.v(), w.v(), eps, offset);
}
inline ref rms_norm(const ref& x0, const ref& w, double eps, double offset) {
  const ref x = widened(x0);
  ref y = record(x->type, x->s, {&x, &w}, pull_rms_norm, norm_state{eps, offset});
  if (live(y)) device().rms_norm(y->v(), x->v(), w->v(), eps, offset);
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
template <class D> struct rms_norm {
  double eps, offset;
  static constexpr outcome rule(placement x, placement w) { return rules::norm(x, w, &info<D>); }
  constexpr void charge(bill& b) const { b.flops(4, 10); }
  ref run(const shape&, const auto& x, const auto& w) const { return erased::rms_norm(x.at, w.at, eps, offset); }
};
template <class D> struct layer_norm {
  double eps;
  static constexpr outcome rule(placement x, placement w) { return rules::norm(x, w, &info<D>); }
  constexpr void charge(bill& b) const { b.flops(7, 14); }
  ref run(const shape&, const auto& x, const auto& w) const { return erased::layer_norm(x.at, w.at, eps); }
};
}  // namespace operations

/// @error SP301 a whole weight meets a sharded activation; SP101 D itself is sharded; SP103 x is Partial.
template <class Where, class D, class X, class W> constexpr auto normalise(const X& x, const W& w, double eps, double offset = 0) {
  return apply<Where, dims_in<X>>::op(operations::rms_norm<D>{eps, offset}, x.sizes, x, w);
}

/// @error as normalise.
template <class Where, class D, class X, class W> constexpr auto standardise(const X& x, const W& w, double eps) {
  return apply<Where, dims_in<X>>::op(operations::layer_norm<D>{eps}, x.sizes, x, w);
}

}  // namespace shardproof

#pragma once
/// @file
/// Root-mean-square norm over the last dimension.
///
///     auto y = sp::normalise<Where, hidden>(x, w, 1e-6, 0.0);        // (batch, seq, hidden), weight [hidden]
///
/// y = x * rsqrt(mean(x^2) + eps) * (offset + w); offset 1 is gemma's. Zhang & Sennrich, arXiv 1910.07467.
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
}  // namespace erased

namespace operations {
template <class D> struct rms_norm {
  double eps, offset;
  static constexpr outcome rule(placement x, placement w) { return rules::norm(x, w, &info<D>); }
  constexpr void charge(bill& b) const { b.flops(4, 10); }
  ref run(const shape&, const auto& x, const auto& w) const { return erased::rms_norm(x.at, w.at, eps, offset); }
};
}  // namespace operations

/// @error SP301 a whole weight meets a sharded activation; SP101 D itself is sharded; SP103 x is Partial.
template <class Where, class D, class X, class W> constexpr auto normalise(const X& x, const W& w, double eps, double offset = 0) {
  return apply<Where, dims_in<X>>::op(operations::rms_norm<D>{eps, offset}, x.sizes, x, w);
}

}  // namespace shardproof

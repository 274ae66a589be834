#pragma once
/// @file
/// exp, tanh, sigmoid and the normal distribution on vectors: f32 to about 2e-7 relative, f64 as the C library has them.
///
///     map(y, n, [](vec<float> x) { return x * sigmoid(x); }, x);
///
/// The polynomials are minimax fits of relative error below 1e-8 (Remez exchange on the intervals named beside them).
#include <cmath>
#include <shardproof/backend/cpu/vector.hpp>
namespace shardproof::cpu {

namespace detail {
// Horner's rule, highest coefficient first.
template <class... C> [[gnu::always_inline]] inline vec<float> polynomial(const vec<float>& x, float highest, C... lower) {
  vec<float> y = broadcast(highest);
  ((y = y * x + float(lower)), ...);
  return y;
}
template <double (*F)(double)> [[gnu::always_inline]] inline vec<double> each(vec<double> x) {
  for (int i = 0; i < lanes<double>; ++i) x[i] = F(x[i]);
  return x;
}
inline double upper_tail(double x) { return 0.5 * std::erfc(x * 0.70710678118654752440); }
}  // namespace detail

/// Below -105 the result is 0, above 88.73 infinity; NaN stays NaN.
[[gnu::always_inline]] inline vec<float> exp(vec<float> x) {
  x = select(x < -105.0f, broadcast(-105.0f), x);
  x = select(x > 89.0f, broadcast(89.0f), x);
  const vec<float> t = x * 1.44269504f;
  const vec<std::int32_t> n = __builtin_convertvector(t + select(t < 0.0f, broadcast(-0.5f), broadcast(0.5f)), vec<std::int32_t>);
  const vec<float> turns = __builtin_convertvector(n, vec<float>);
  const vec<float> r = x - turns * 0.693145752f - turns * 1.42860677e-6f;          // ln 2 in two parts: the first product is exact
  const vec<float> y = detail::polynomial(r, 0.0013836545063553476f, 0.008375054226235962f, 0.04166824361187071f,       // |r| <= ln 2 / 2
                                          0.16666417335938002f, 0.4999999194210026f, 1.000000036949031f, 1.0000000005670266f);
  const vec<std::int32_t> first = n >> 1;             // 2^n in two factors: it may be subnormal, or just above the largest
  const auto power = [](const vec<std::int32_t>& e) { return std::bit_cast<vec<float>>(std::bit_cast<vec<std::uint32_t>>(e + 127) << 23); };
  return y * power(first) * power(n - first);
}
[[gnu::always_inline]] inline vec<double> exp(const vec<double>& x) { return detail::each<std::exp>(x); }

template <class V> [[gnu::always_inline]] inline V sigmoid(const V& x) { return 1 / (1 + exp(-x)); }

[[gnu::always_inline]] inline vec<float> tanh(const vec<float>& x) {
  const vec<float> a = select(x < 0.0f, -x, x), u = a * a;
  const vec<float> small = x + x * u * detail::polynomial(u, 0.002269590228320307f, -0.008323275967340059f, 0.021762534190972446f,    // x^2 <= 0.4
                                                          -0.05395846612840749f, 0.13333300168921472f, -0.3333333314955936f);
  const vec<float> large = 1.0f - 2.0f / (exp(2.0f * a) + 1.0f);
  return select(a < 0.6f, small, select(x < 0.0f, -large, large));
}
[[gnu::always_inline]] inline vec<double> tanh(const vec<double>& x) { return detail::each<std::tanh>(x); }

/// The density of the normal distribution.
template <class V> [[gnu::always_inline]] inline V normal_density(const V& x) {
  using T = std::remove_cvref_t<decltype(x[0])>;
  return exp(x * x * T(-0.5)) * T(0.39894228040143267794);
}
/// P(X <= x) of the normal distribution: (1 + erf(x / sqrt 2)) / 2 without cancellation in the lower tail.
[[gnu::always_inline]] inline vec<float> normal_below(const vec<float>& x) {
  const vec<float> a = select(x < 0.0f, -x, x);
  const vec<float> t = 1.0f / (1.0f + a * 0.282842712f);                             // 1 / (1 + 0.4 z), z = a / sqrt 2 <= 10.5
  const vec<float> q = detail::polynomial(t, -0.02863683605944329f, 0.19282207466194132f, -0.4866292556836139f, 0.5312279619011014f,
                                          -0.2709244059864452f, 0.2648745616626289f, 0.13215616945065617f, 0.21439079700871397f,
                                          0.22501526639016783f, 0.2257036756924154f);
  const vec<float> tail = 0.5f * t * q * exp(a * a * -0.5f);
  return select(x < 0.0f, tail, 1.0f - tail);
}
[[gnu::always_inline]] inline vec<double> normal_below(const vec<double>& x) { return detail::each<detail::upper_tail>(-x); }

/// 1 / sqrt(x) and sqrt(x) of x >= 0 for vectors: Newton's iteration from the exponent, since neither compiler vectorises
/// std::sqrt while it may set errno.
[[gnu::always_inline]] inline vec<float> square_root(const vec<float>& x) {
  vec<float> r = std::bit_cast<vec<float>>(0x5f375a86 - (std::bit_cast<vec<std::int32_t>>(x) >> 1));
  for (int i = 0; i < 3; ++i) r = r * (1.5f - 0.5f * x * r * r);
  const vec<float> s = x * r;
  return s + 0.5f * r * (x - s * s);                                                 // one step on the root itself: 1 ulp
}
[[gnu::always_inline]] inline vec<double> square_root(const vec<double>& x) { return detail::each<std::sqrt>(x); }

}  // namespace shardproof::cpu

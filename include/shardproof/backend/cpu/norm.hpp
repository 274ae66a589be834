#pragma once
/// @file
/// RMS and layer norm over the last dimension. Statistics are summed in double, the rest is arithmetic of the tensor's type.
///
///     cpu::rms_norm(y, x, w, 1e-5, 0);          // y = x * rsqrt(mean(x^2) + eps) * w
#include <cmath>
#include <shardproof/backend/cpu/operand.hpp>
namespace shardproof::cpu {

namespace detail {
using wide = vec<double>;
template <class T> double sum_of_products(const T* x, const T* y, long n) {
  return sum_wide(n, [](const wide& u, const wide& v) -> wide { return u * v; }, x, y);
}
template <class T> double sum_of(const T* x, long n) {
  return sum_wide(n, [](const wide& u) -> wide { return u; }, x);
}
template <class T> double sum_of_triples(const T* x, const T* y, const T* z, long n) {
  return sum_wide(n, [](const wide& u, const wide& v, const wide& w) -> wide { return u * v * w; }, x, y, z);
}
template <class T> double squares_about(const T* x, double mean, long n) {
  return sum_wide(n, [mean](const wide& u) -> wide { return (u - mean) * (u - mean); }, x);
}
// offset + w as one array; null stays null: the factor is 1.
template <class T> struct gains {
  std::optional<scratch<T>> own;
  const T* p = nullptr;
  gains(const view& w, long n, double offset) {
    if (!w) return;
    const operand<T> from(w);
    own.emplace(n);
    map<T>(own->get(), n, [o = T(offset)](const vec<T>& v) -> vec<T> { return v + o; }, from.p);
    p = own->get();
  }
};
}  // namespace detail

inline void rms_norm(const view& y, const view& x, const view& w, double eps, double offset) {
  const long n = x.s.rank ? x.s[-1] : 0, rows = n ? x.count() / n : 0;
  visit_float(y.type, [&](auto zero) {
    using T = decltype(zero);
    const operand<T> in(x);
    const detail::gains<T> g(w, n, offset);
    for (long r = 0; r < rows; ++r) {
      const T* const from = in.p + r * n;
      const T scale = T(1 / std::sqrt(detail::sum_of_products(from, from, n) / double(n) + eps));
      T* const to = y.as<T>() + r * n;
      if (g.p) map<T>(to, n, [scale](const vec<T>& v, const vec<T>& k) -> vec<T> { return v * scale * k; }, from, g.p);
      else map<T>(to, n, [scale](const vec<T>& v) -> vec<T> { return v * scale; }, from);
    }
  });
}

/// With h = dy * (offset + w) and s = rsqrt(mean(x^2) + eps): dx += s h - x s^3 mean(h x), dw += sum over rows of dy x s.
inline void rms_norm_backward(const view& dx, const view& dw, const view& dy, const view& x, const view& w, double eps, double offset) {
  const long n = x.s.rank ? x.s[-1] : 0, rows = n ? x.count() / n : 0;
  visit_float(dy.type, [&](auto zero) {
    using T = decltype(zero);
    using V = vec<T>;
    const operand<T> in(x), out_gradient(dy);
    const detail::gains<T> g(w, n, offset);
    for (long r = 0; r < rows; ++r) {
      const T *const from = in.p + r * n, *const gy = out_gradient.p + r * n;
      const double s = 1 / std::sqrt(detail::sum_of_products(from, from, n) / double(n) + eps);
      const T scale = T(s);
      if (dx) {
        const double dot = g.p ? detail::sum_of_triples(gy, g.p, from, n) : detail::sum_of_products(gy, from, n);
        const T back = T(s * s * s * dot / double(n));
        T* const to = dx.as<T>() + r * n;
        if (g.p) map<T>(to, n, [=](const V& old, const V& u, const V& k, const V& v) -> V { return old + (scale * u * k - back * v); }, to, gy, g.p, from);
        else map<T>(to, n, [=](const V& old, const V& u, const V& v) -> V { return old + (scale * u - back * v); }, to, gy, from);
      }
      if (dw) {
        T* const to = dw.as<T>();
        map<T>(to, n, [=](const V& old, const V& u, const V& v) -> V { return old + u * v * scale; }, to, gy, from);
      }
    }
  });
}

inline void layer_norm(const view& y, const view& x, const view& w, const view& b, double eps) {
  const long n = x.s.rank ? x.s[-1] : 0, rows = n ? x.count() / n : 0;
  visit_float(y.type, [&](auto zero) {
    using T = decltype(zero);
    using V = vec<T>;
    const operand<T> in(x), gain(w), bias(b);
    for (long r = 0; r < rows; ++r) {
      const T* const from = in.p + r * n;
      const double mean = detail::sum_of(from, n) / double(n);
      const T scale = T(1 / std::sqrt(detail::squares_about(from, mean, n) / double(n) + eps)), centre = T(mean);
      T* const to = y.as<T>() + r * n;
      if (gain.p && bias.p) map<T>(to, n, [=](const V& v, const V& k, const V& c) -> V { return (v - centre) * scale * k + c; }, from, gain.p, bias.p);
      else if (gain.p) map<T>(to, n, [=](const V& v, const V& k) -> V { return (v - centre) * scale * k; }, from, gain.p);
      else if (bias.p) map<T>(to, n, [=](const V& v, const V& c) -> V { return (v - centre) * scale + c; }, from, bias.p);
      else map<T>(to, n, [=](const V& v) -> V { return (v - centre) * scale; }, from);
    }
  });
}

/// With h = dy * w, s = rsqrt(var + eps) and z = (x - mean) s: dx += s (h - mean(h) - z mean(h z)), dw += sum of dy z, db += sum of dy.
inline void layer_norm_backward(const view& dx, const view& dw, const view& db, const view& dy, const view& x, const view& w, double eps) {
  const long n = x.s.rank ? x.s[-1] : 0, rows = n ? x.count() / n : 0;
  visit_float(dy.type, [&](auto zero) {
    using T = decltype(zero);
    using V = vec<T>;
    const operand<T> in(x), out_gradient(dy), gain(w);
    scratch<T> z(n), h(n);
    for (long r = 0; r < rows; ++r) {
      const T *const from = in.p + r * n, *const gy = out_gradient.p + r * n;
      const double mean = detail::sum_of(from, n) / double(n);
      const T scale = T(1 / std::sqrt(detail::squares_about(from, mean, n) / double(n) + eps)), centre = T(mean);
      map<T>(z.get(), n, [=](const V& v) -> V { return (v - centre) * scale; }, from);
      if (dx) {
        if (gain.p) map<T>(h.get(), n, [](const V& u, const V& k) -> V { return u * k; }, gy, gain.p);
        const T* const weighted = gain.p ? h.get() : gy;
        const T mean_h = T(detail::sum_of(weighted, n) / double(n)), mean_hz = T(detail::sum_of_products(weighted, static_cast<const T*>(z.get()), n) / double(n));
        T* const to = dx.as<T>() + r * n;
        map<T>(to, n, [=](const V& old, const V& u, const V& v) -> V { return old + scale * (u - mean_h - v * mean_hz); }, to, weighted, z.get());
      }
      if (dw) map<T>(dw.as<T>(), n, [](const V& old, const V& u, const V& v) -> V { return old + u * v; }, dw.as<T>(), gy, z.get());
      if (db) map<T>(db.as<T>(), n, [](const V& old, const V& u) -> V { return old + u; }, db.as<T>(), gy);
    }
  });
}

}  // namespace shardproof::cpu

#pragma once
/// @file
/// Elementwise kernels: fill, add, multiply, their gradients. Shapes repeat over leading extents.
///
///     cuda::add(y, x, bias);                     // y[r, j] = x[r, j] + bias[j]
///     cuda::accumulate(db, dy, 1);               // db[j] += sum_r dy[r, j]
///
/// Every operand is moved once (multiply_backward reads dy once for each of da and db); one or two FLOP an element.
/// Tilings: map.cuh, and columns.cuh where repeats are summed.
#include <cmath>
#include <type_traits>
#include <shardproof/backend/cuda/columns.cuh>
#include <shardproof/backend/cuda/converted.cuh>
namespace shardproof::cuda {

namespace detail {
/// In f32 what is stored in 16 bits, anything else as it is.
template <class T> using filled = std::conditional_t<is_16_bit<T>, float, T>;
template <class T> struct constant_of { T value; __device__ T operator()() const { return value; } };
template <class T> struct sum_of { __device__ T operator()(T b, T a) const { return a + b; } };
template <class T> struct product_of { __device__ T operator()(T b, T a) const { return a * b; } };
template <class T> struct added_product { __device__ T operator()(T b, T old, T g) const { return old + g * b; } };
template <class T> struct added_multiple { T by; __device__ T operator()(T old, T x) const { return old + by * x; } };
template <class T, class U> struct element_of {
  const U* p;
  long n;
  __device__ T operator()(long r, long j) const { return load<T>(p, r * n + j); }
};
template <class T, class U> struct product_at {
  const T* g;
  const U* a;
  long n;
  __device__ T operator()(long r, long j) const { return load<T>(g, r * n + j) * load<T>(a, r * n + j); }
};
}  // namespace detail

inline void fill(const view& y, double value) {
  const long n = y.count();
  if (n == 0) return;
  if (value == 0 && !std::signbit(value)) return check(cudaMemsetAsync(y.p, 0, y.bytes(), own_queue().stream), "a clear");
  visit(y.type, [&](auto zero) {
    using T = decltype(zero);
    using C = detail::filled<T>;
    map<C>("fill", y.as<T>(), n, detail::constant_of<C>{static_cast<C>(value)});
  });
}

namespace detail {
/// y[r, j] = f(b[j], a[r, j]); b is read as it is stored.
template <class T, class F> void combine(const char* name, const view& y, const view& a, const view& b, F f) {
  const long n = b.count(), total = y.count();
  if (!total) return;
  const converted<T> p(a);
  visit_real(b.type, [&](auto u) { map_rows<T>(name, y.as<T>(), total / n, n, f, b.as<const decltype(u)>(), p.p); });
}
}  // namespace detail

inline void add(const view& y, const view& a, const view& b) {
  visit_float(y.type, [&](auto zero) { detail::combine<decltype(zero)>("add", y, a, b, detail::sum_of<decltype(zero)>{}); });
}
inline void multiply(const view& y, const view& a, const view& b) {
  visit_float(y.type, [&](auto zero) { detail::combine<decltype(zero)>("multiply", y, a, b, detail::product_of<decltype(zero)>{}); });
}

inline void multiply_backward(const view& da, const view& db, const view& dy, const view& a, const view& b) {
  const long n = b.count(), total = dy.count();
  if (!total) return;
  visit_float(dy.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> g(dy);
    if (da)
      visit_real(b.type, [&](auto u) {
        map_rows<T>("multiply_backward", da.as<T>(), total / n, n, detail::added_product<T>{}, b.as<const decltype(u)>(), da.as<const T>(), g.p);
      });
    if (!db) return;
    visit_real(a.type, [&](auto u) {
      using U = decltype(u);
      if (n == total) map<T>("multiply_backward", db.as<T>(), n, detail::added_product<T>{}, a.as<const U>(), db.as<const T>(), g.p);
      else add_columns("multiply_backward", db.as<T>(), total / n, n, detail::product_at<T, U>{g.p, a.as<const U>(), n});
    });
  });
}

inline void accumulate(const view& y, const view& x, double scale) {
  const long n = y.count(), total = x.count();
  if (!n || !total) return;
  visit_float(y.type, [&](auto zero) {
    using T = decltype(zero);
    visit_real(x.type, [&](auto u) {
      using U = decltype(u);
      if (n == total) map<T>("accumulate", y.as<T>(), n, detail::added_multiple<T>{T(scale)}, y.as<const T>(), x.as<const U>());
      else add_columns("accumulate", y.as<T>(), total / n, n, detail::element_of<T, U>{x.as<const U>(), n}, scale);
    });
  });
}

/// One element, as double; waits.
inline double read(const view& x, long i) {
  unsigned char host[8];
  download(host, {x.as<char>() + i * long(bytes_of(x.type)), x.type, {1}});
  return read_element(x.type, host);
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// Elementwise kernels: fill, cast, add, multiply, their gradients, strided copies. Shapes repeat over leading extents.
///
///     cpu::add(y, x, bias);                     // y[r, j] = x[r, j] + bias[j]
///     cpu::accumulate(db, dy, 1);               // db[j] += sum_r dy[r, j]
#include <algorithm>
#include <cmath>
#include <cstring>
#include <shardproof/backend/cpu/operand.hpp>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cpu {

namespace detail {
inline double element(const view& v, long i) { return visit(v.type, [&](auto zero) { return double(v.as<const decltype(zero)>()[i]); }); }
template <class T> T narrow(double x) {
  if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) return T(float(x));
  else return static_cast<T>(x);
}

// y[i] += sum over rows r of f(r * n + i): in double where rows are short, since then many terms meet in few sums.
template <class T, class F> void add_over_rows(T* y, long n, long rows, double scale, F f) {
  constexpr int width = lanes<T>;
  if (n < width && rows > 1) {
    for (long i = 0; i < n; ++i) {
      double s = 0;
      for (long r = 0; r < rows; ++r) s += double(f(std::integral_constant<bool, true>{}, r * n + i));
      y[i] = T(double(y[i]) + scale * s);
    }
    return;
  }
  const T by = T(scale);
  for (long r = 0; r < rows; ++r) {
    long i = 0;
    for (; i + width <= n; i += width) store<T>(y + i, load<T>(y + i) + by * f(std::integral_constant<bool, false>{}, r * n + i));
    for (; i < n; ++i) y[i] += by * f(std::integral_constant<bool, true>{}, r * n + i);
  }
}
template <class T, class F> void combine(const view& y, const view& a, const view& b, F f) {
  const long n = b.count(), total = y.count();
  if (!total) return;
  const operand<T> p(a), q(b);
  T* const out = y.as<T>();
  if (n == 1) {
    const vec<T> one = broadcast(q.p[0]);
    map<T>(out, total, [&](const vec<T>& x) { return f(x, one); }, p.p);
  } else {
    for (long at = 0; at < total; at += n) map<T>(out + at, n, f, p.p + at, q.p);
  }
}
}  // namespace detail

inline void fill(const view& y, double value) {
  const long n = y.count();
  if (value == 0 && !std::signbit(value)) {
    if (n) std::memset(y.p, 0, y.bytes());
    return;
  }
  visit(y.type, [&](auto zero) {
    using T = decltype(zero);
    std::fill_n(y.as<T>(), n, detail::narrow<T>(value));
  });
}

inline void cast(const view& y, const view& x) {
  const long n = y.count();
  if (y.type == x.type) {
    if (n && y.p != x.p) std::memmove(y.p, x.p, y.bytes());
    return;
  }
  visit(y.type, [&](auto to) {
    visit(x.type, [&](auto from) {
      using T = decltype(to);
      using U = decltype(from);
      T* const out = y.as<T>();
      const U* const in = x.as<const U>();
      constexpr bool half_from = std::is_same_v<U, bf16> || std::is_same_v<U, f16>, half_to = std::is_same_v<T, bf16> || std::is_same_v<T, f16>;
      if constexpr (std::is_same_v<T, float> && half_from) convert<T, U>(out, in, n);
      else if constexpr (std::is_same_v<T, bf16> && std::is_same_v<U, float>) to_bf16(out, in, n);
      else if constexpr (half_from || half_to) for (long i = 0; i < n; ++i) out[i] = detail::narrow<T>(double(in[i]));
      else for (long i = 0; i < n; ++i) out[i] = static_cast<T>(in[i]);
    });
  });
}

inline void add(const view& y, const view& a, const view& b) {
  visit_float(y.type, [&](auto zero) {
    using V = vec<decltype(zero)>;
    detail::combine<decltype(zero)>(y, a, b, [](const V& u, const V& v) { return u + v; });
  });
}
inline void multiply(const view& y, const view& a, const view& b) {
  visit_float(y.type, [&](auto zero) {
    using V = vec<decltype(zero)>;
    detail::combine<decltype(zero)>(y, a, b, [](const V& u, const V& v) { return u * v; });
  });
}

// f(true, i) reads one element, f(false, i) a vector of them.
namespace detail {
template <class T> auto elements(const T* p) {
  return [p](auto single, long i) {
    if constexpr (decltype(single)::value) return p[i];
    else return load<T>(p + i);
  };
}
template <class T> auto products(const T* p, const T* q) {
  return [p, q](auto single, long i) {
    if constexpr (decltype(single)::value) return p[i] * q[i];
    else return load<T>(p + i) * load<T>(q + i);
  };
}
}  // namespace detail

inline void multiply_backward(const view& da, const view& db, const view& dy, const view& a, const view& b) {
  const long n = b.count(), total = dy.count();
  if (!total) return;
  visit_float(dy.type, [&](auto zero) {
    using T = decltype(zero);
    const operand<T> p(a), q(b), g(dy);
    if (da) {
      T* const out = da.as<T>();
      for (long at = 0; at < total; at += n)
        map<T>(out + at, n, [](const vec<T>& old, const vec<T>& u, const vec<T>& v) { return old + u * v; }, out + at, g.p + at, q.p);
    }
    if (db) detail::add_over_rows<T>(db.as<T>(), n, total / n, 1, detail::products(g.p, p.p));
  });
}

inline void accumulate(const view& y, const view& x, double scale) {
  const long n = y.count(), total = x.count();
  if (!n || !total) return;
  visit_float(y.type, [&](auto zero) {
    using T = decltype(zero);
    const operand<T> from(x);
    detail::add_over_rows<T>(y.as<T>(), n, total / n, scale, detail::elements(from.p));
  });
}

/// See place_args.
inline void place(const place_args& a) {
  const long first = long(*a.at.as<const std::int64_t>());
  const std::size_t bytes = std::size_t(a.width) * bytes_of(a.dst.type);
  for (long o = 0; o < a.outer; ++o)
    for (long r = 0; r < a.rows; ++r)
      if (const long row = first + r; row >= 0 && row < a.room && bytes)
        std::memcpy(a.dst.as<char>() + std::size_t(o * a.room + row) * bytes, a.src.as<const char>() + std::size_t(o * a.rows + r) * bytes, bytes);
}
inline void copy(const copy_args& x) {
  if (x.rows <= 0 || x.width <= 0) return;
  if (x.accumulate) {
    visit_float(x.dst.type, [&](auto zero) {
      using T = decltype(zero);
      for (long o = 0; o < x.rows; ++o) {
        T* const to = x.dst.as<T>() + o * x.dst_row + x.dst_at;
        map<T>(to, x.width, [](const vec<T>& u, const vec<T>& v) { return u + v; }, to, x.src.as<const T>() + o * x.src_row + x.src_at);
      }
    });
    return;
  }
  const long size = long(bytes_of(x.dst.type));
  char* const to = x.dst.as<char>() + x.dst_at * size;
  const char* const from = x.src.as<const char>() + x.src_at * size;
  if (x.dst_row == x.width && x.src_row == x.width) {
    std::memmove(to, from, std::size_t(x.rows * x.width * size));
    return;
  }
  for (long o = 0; o < x.rows; ++o) std::memmove(to + o * x.dst_row * size, from + o * x.src_row * size, std::size_t(x.width * size));
}

}  // namespace shardproof::cpu

#pragma once
/// @file
/// One row times a matrix whose rows are adjacent: the matrix is read once, in the order in which it lies.
///
///     row_product<float>(n, k, x, 1, {b, n, 1}, y, false);                // y[n] = x[k] b[k, n]
#include <algorithm>
#include <shardproof/backend/cpu/tile.hpp>
namespace shardproof::cpu {

namespace detail {
// y[j] += sum over u < Rows of x[u] b(u, j); y stays in the first-level cache.
template <int Rows, class T, class B>
[[gnu::noinline]] void add_rows(long n, const T* x, long x_step, const B* b, long b_row, T* y, bool add) {
  vec<T> by[Rows];
  unrolled<Rows>([&](auto u) SHARDPROOF_INLINE { by[u] = broadcast(x[u * x_step]); });
  const auto sum_of = [&](long j, auto from) SHARDPROOF_INLINE {
    vec<T> s[2]{};
    unrolled<Rows>([&](auto u) SHARDPROOF_INLINE { s[u % 2] += by[u] * from(b + u * b_row + j); });
    return s[0] + s[1];
  };
  long j = 0;
  for (; j + lanes<T> <= n; j += lanes<T>) {
    // The next rows: between so many streams the processor does not foresee them.
    unrolled<Rows>([&](auto u) SHARDPROOF_INLINE { __builtin_prefetch(b + (u + Rows) * b_row + j, 0, 2); });
    vec<T> s = sum_of(j, [](const B* p) SHARDPROOF_INLINE { return load<T>(p); });
    if (add) s += load<T>(y + j);
    store<T>(y + j, s);
  }
  if (const long rest = n - j; rest > 0) {
    vec<T> s = sum_of(j, [rest](const B* p) SHARDPROOF_INLINE { return load_part<T>(p, rest); });
    if (add) s += load_part<T>(y + j, rest);
    store_part<T>(y + j, s, rest);
  }
}
}  // namespace detail

/// y[n] (+)= x[k] b[k, n], k >= 1; x lies x_step apart, the rows of b are contiguous and may be bf16 or f16.
template <class T, class B> void row_product(long n, long k, const T* x, long x_step, const matrix<const B>& b, T* y, bool add) {
  constexpr int some = 8;
  constexpr long width = 4096 / long(sizeof(T));             // of y at a time
  for (long j = 0; j < n; j += width) {
    const long here = std::min(width, n - j);
    long t = 0;
    for (; t + some <= k; t += some) detail::add_rows<some>(here, x + t * x_step, x_step, b.p + t * b.row + j, b.row, y + j, add || t > 0);
    for (; t < k; ++t) detail::add_rows<1>(here, x + t * x_step, x_step, b.p + t * b.row + j, b.row, y + j, add || t > 0);
  }
}

}  // namespace shardproof::cpu

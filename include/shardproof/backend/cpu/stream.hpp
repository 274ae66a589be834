#pragma once
/// @file
/// Products of few rows with weights [n, k]: dot products that read the weights once, at the speed of memory.
///
///     stream_product<float>(m, n, k, {x, k, 1}, {w, k, 1}, {y, n, 1}, false);      // y[m, n] = x w^T, m <= stream_rows
///
/// One row needs nothing but independent sums along k: the processor's own prefetching follows the one stream of weights. With
/// more rows the arithmetic hides that stream from it, so each tile of weights fetches the next one into the second-level cache.
#include <algorithm>
#include <shardproof/backend/cpu/tile.hpp>
namespace shardproof::cpu {

/// From here on lanes along m are better filled than lanes along k are summed.
inline constexpr long stream_rows = vector_registers == 32 ? 12 : 8;

namespace detail {
// Tiles of M rows of x and J rows of weights: at most 24 sums of 32 registers, 9 of 16.
constexpr int weights_for(int m) {
  if (vector_registers == 32) return m == 1 ? 1 : m == 2 ? 8 : m <= 6 ? 4 : 3;
  return m == 1 ? 1 : m == 2 ? 4 : m == 3 ? 3 : 2;
}
// How many of m rows the next tile takes: sizes for which a kernel exists, evenly. f64 is there to check f32 and has two.
template <class T> constexpr int next_rows(long m) {
  constexpr int wide[] = {0, 1, 2, 3, 4, 3, 6, 4, 8, 6, 6, 8, 6}, narrow[] = {0, 1, 2, 3, 4, 3, 3, 4, 4, 3, 4, 4, 4};
  if (sizeof(T) == 8) return m >= 4 ? 4 : 1;
  if (vector_registers == 32) return m > 12 ? 8 : wide[m];
  return m > 12 ? 4 : narrow[m];
}

// c[i, j] (+)= a[i] . b[j] for i < M, j < weights <= J; a missing row of weights repeats the last.
template <class T, class B, int M, int J>
[[gnu::noinline]] void dot_tile(long weights, long k, const T* a, long a_row, const B* b, long b_row, const matrix<T>& c, bool add) {
  constexpr int width = lanes<T>, results = M * J, parts = 8;
  vec<T> s[M][J]{};
  long t = 0;
  if constexpr (results == 1) {
    vec<T> part[parts]{};
    for (; t + parts * width <= k; t += parts * width)
      unrolled<parts>([&](auto u) SHARDPROOF_INLINE { part[u] += load<T>(b + t + u * width) * load<T>(a + t + u * width); });
    s[0][0] = add_up<T>(part);
  }
  const B* row[J];
  unrolled<J>([&](auto j) SHARDPROOF_INLINE { row[j] = b + std::min<long>(j, weights - 1) * b_row; });
  const auto step = [&](auto from) SHARDPROOF_INLINE {
    vec<T> w[J];
    unrolled<J>([&](auto j) SHARDPROOF_INLINE {
      w[j] = from(row[j] + t);
      keep(w[j]);
      if constexpr (results > 1) __builtin_prefetch(row[j] + J * b_row + t, 0, 2);
    });
    unrolled<M>([&](auto i) SHARDPROOF_INLINE {
      vec<T> x = from(a + i * a_row + t);
      keep(x);
      unrolled<J>([&](auto j) SHARDPROOF_INLINE { s[i][j] += x * w[j]; });
    });
  };
  for (; t + width <= k; t += width) step([](auto* p) SHARDPROOF_INLINE { return load<T>(p); });
  if (t < k) step([n = k - t](auto* p) SHARDPROOF_INLINE { return load_part<T>(p, n); });

  constexpr int groups = (results + width - 1) / width;
  T result[groups * width];
  if constexpr (results <= 2) {
    unrolled<results>([&](auto e) SHARDPROOF_INLINE { result[e] = sum<T>(s[e / J][e % J]); });
  } else {
    unrolled<groups>([&](auto g) SHARDPROOF_INLINE {
      vec<T> square[width]{};
      unrolled<std::min(width, results - g * width)>([&](auto e) SHARDPROOF_INLINE { square[e] = s[(g * width + e) / J][(g * width + e) % J]; });
      transpose<T>(square);
      store<T>(result + g * width, add_up<T>(square));
    });
  }
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < J && j < weights; ++j) {
      T& to = c.p[i * c.row + j * c.column];
      to = add ? to + result[i * J + j] : result[i * J + j];
    }
}

// M rows of a against `weights` rows of b.
template <class T, class B, int M>
void dot_rows(long weights, long k, const T* a, long a_row, const B* b, long b_row, const matrix<T>& c, bool add) {
  constexpr int J = weights_for(M);
  for (long j = 0; j < weights; j += J) dot_tile<T, B, M, J>(std::min<long>(J, weights - j), k, a, a_row, b + j * b_row, b_row, c.at(0, j), add);
}
template <class T>
void dot_some_rows(int rows, long weights, long k, const T* a, long a_row, const T* b, long b_row, const matrix<T>& c, bool add) {
  if (rows == 1) return dot_rows<T, T, 1>(weights, k, a, a_row, b, b_row, c, add);
  if (rows == 4) return dot_rows<T, T, 4>(weights, k, a, a_row, b, b_row, c, add);
  if constexpr (sizeof(T) == 4) {
    if (rows == 2) return dot_rows<T, T, 2>(weights, k, a, a_row, b, b_row, c, add);
    if (rows == 3) return dot_rows<T, T, 3>(weights, k, a, a_row, b, b_row, c, add);
    if constexpr (vector_registers == 32) {
      if (rows == 6) dot_rows<T, T, 6>(weights, k, a, a_row, b, b_row, c, add);
      else dot_rows<T, T, 8>(weights, k, a, a_row, b, b_row, c, add);
    }
  }
}
}  // namespace detail

/// c[m, n] (+)= a[m, k] b[n, k]^T; the rows of a and of b are contiguous, b may be bf16 or f16. Any m is right, a small one fast.
template <class T, class B> void stream_product(long m, long n, long k, const matrix<const T>& a, const matrix<const B>& b, const matrix<T>& c, bool add) {
  using namespace detail;
  if (m == 1) return dot_rows<T, B, 1>(n, k, a.p, a.row, b.p, b.row, c, add);
  constexpr long width = lanes<T>, group = 24;
  // The rows of x shall stay in the first-level cache beside the weights that stream through it.
  const long fits = std::max(width, long(16384 / sizeof(T)) / m / width * width);
  const long blocks = (k + fits - 1) / fits;
  const long depth = ((k + blocks - 1) / blocks + width - 1) / width * width;
  scratch<T> widened(std::is_same_v<B, T> ? 1 : group * depth);
  for (long t = 0; t < k; t += depth) {
    const long kn = std::min(depth, k - t);
    // A few rows of weights at a time, so that a second tile of x finds them in the cache.
    for (long j = 0; j < n; j += group) {
      const long jn = std::min(group, n - j);
      const T* weights;
      long row = b.row;
      if constexpr (std::is_same_v<B, T>) weights = b.p + j * b.row + t;
      else {
        widen_rows<T, B>(jn, kn, b.at(j, t), widened.get());
        weights = widened.get();
        row = kn;
      }
      for (long i = 0; i < m;) {
        const int rows = next_rows<T>(m - i);
        dot_some_rows<T>(rows, jn, kn, a.p + i * a.row + t, a.row, weights, row, c.at(i, j), add || t > 0);
        i += rows;
      }
    }
  }
}

}  // namespace shardproof::cpu

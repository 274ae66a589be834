#pragma once
/// @file
/// Products of few rows with weights [n, k]: dot products that read the weights once, at the speed of memory.
///
///     stream_product<float>(m, n, k, {x, k, 1}, {w, k, 1}, {y, n, 1}, false);      // y[m, n] = x w^T, m <= stream_rows
///
/// One short row needs nothing but independent sums along k: the processor's own prefetching follows the one stream of weights.
/// Otherwise the stream is hidden from it, so each tile of weights fetches the next one into the second-level cache.
#include <algorithm>
#include <shardproof/backend/cpu/tile.hpp>
namespace shardproof::cpu {

/// From here on lanes along m are better filled than lanes along k are summed.
inline constexpr long stream_rows = 8;

namespace detail {
// Tiles of M rows of x and J rows of weights: at most 24 sums of 32 registers, 9 of 16.
constexpr int weights_for(int m) {
  if (vector_registers == 32) return m <= 2 ? 8 : m <= 6 ? 4 : 3;
  return m == 1 ? 8 : m == 2 ? 4 : m == 3 ? 3 : 2;
}
// One row of x meets one row of weights at a time as long as x stays in the first-level cache: a single stream of weights, which the
// processor foresees. A longer x comes from the second level, so eight rows of weights share each of its vectors.
inline constexpr long short_x_bytes = 8192;
// A single row of x is read off the lines of the cache, and from a copy of its own. On Zen 4 its loads, hits all of them, otherwise
// occupy the prefetcher that should follow the weights: 0.80 of the read bandwidth with x on lines, 1.0 with x four floats behind.
inline constexpr long off_lines = 4;
inline constexpr long bytes_worth_a_copy = 256 << 10;

// How many of m rows the next tile takes: sizes for which a kernel exists, evenly. f64, there to check f32, and bf16 have fewer.
template <class T, class B> constexpr int next_rows(long m) {
  constexpr int wide[] = {0, 1, 2, 3, 4, 3, 6, 4, 8}, narrow[] = {0, 1, 2, 3, 4, 3, 3, 4, 4};
  if (vector_registers == 32 && sizeof(T) == 4 && sizeof(B) == 2) return m >= 8 ? 8 : m >= 4 ? 4 : 1;
  if (sizeof(T) == 8 || sizeof(B) == 2) return m >= 4 ? 4 : 1;
  return m > 8 ? vector_registers / 4 : vector_registers == 32 ? wide[m] : narrow[m];
}

// bf16 weights are read two vectors at a time: a 32-bit lane holds an even element in its lower and an odd one in its upper half.
// So x is needed in that order: of each run of two vectors first the even elements, then the odd ones.
template <std::size_t... I>
[[gnu::always_inline]] inline vec<float> every_second(const vec<float>& a, const vec<float>& b, std::index_sequence<I...>, std::integral_constant<int, 0>) {
  return __builtin_shufflevector(a, b, (2 * int(I))...);
}
template <std::size_t... I>
[[gnu::always_inline]] inline vec<float> every_second(const vec<float>& a, const vec<float>& b, std::index_sequence<I...>, std::integral_constant<int, 1>) {
  return __builtin_shufflevector(a, b, (2 * int(I) + 1)...);
}
inline void split_pairs(const float* x, long k, float* to) {
  constexpr long width = lanes<float>;
  constexpr auto all = std::make_index_sequence<std::size_t(width)>{};
  long t = 0;
  for (; t + 2 * width <= k; t += 2 * width) {
    const vec<float> a = load<float>(x + t), b = load<float>(x + t + width);
    store<float>(to + t, every_second(a, b, all, std::integral_constant<int, 0>{}));
    store<float>(to + t + width, every_second(a, b, all, std::integral_constant<int, 1>{}));
  }
  std::copy(x + t, x + k, to + t);
}

// c[i, j] (+)= a[i] . b[j] for i < M, j < weights <= J; a missing row of weights repeats the last. For bf16, a is split in pairs.
template <class T, class B, int M, int J>
[[gnu::always_inline]] inline void dot_tile(long weights, long k, const T* a, long a_row, const B* b, long b_row, const matrix<T>& c, bool add) {
  constexpr int width = lanes<T>, results = M * J;
  constexpr bool pairs = std::is_same_v<B, bf16>;
  constexpr int run = pairs ? 2 * width : width, parts = results == 1 ? 8 * width / run : 1;
  vec<T> s[parts][M][J]{};
  const B* row[J];
  unrolled<J>([&](auto j) SHARDPROOF_INLINE { row[j] = b + std::min<long>(j, weights - 1) * b_row; });
  // One run of every row: its products go to the sums s[u].
  const auto multiply = [&](auto u, long t, auto from) SHARDPROOF_INLINE {
    vec<T> w[J];
    unrolled<J>([&](auto j) SHARDPROOF_INLINE {
      w[j] = from(row[j] + t);
      if constexpr (M > 1) keep(w[j]);
      if constexpr (results > 1) __builtin_prefetch(row[j] + J * b_row + t, 0, 2);
    });
    unrolled<M>([&](auto i) SHARDPROOF_INLINE {
      vec<T> x = from(a + i * a_row + t);
      if constexpr (results > 1) keep(x);
      unrolled<J>([&](auto j) SHARDPROOF_INLINE { s[u][i][j] += x * w[j]; });
    });
  };
  const auto multiply_pairs = [&](auto u, long t) SHARDPROOF_INLINE {
    vec<std::uint32_t> w[J];
    unrolled<J>([&](auto j) SHARDPROOF_INLINE {
      std::memcpy(&w[j], static_cast<const void*>(row[j] + t), sizeof w[j]);
      if constexpr (results > 1) __builtin_prefetch(row[j] + J * b_row + t, 0, 2);
    });
    unrolled<2>([&](auto half) SHARDPROOF_INLINE {
      vec<float> v[J];
      unrolled<J>([&](auto j) SHARDPROOF_INLINE { v[j] = std::bit_cast<vec<float>>(half ? w[j] & 0xffff0000u : w[j] << 16); });
      unrolled<M>([&](auto i) SHARDPROOF_INLINE {
        const vec<float> x = load<float>(a + i * a_row + t + half * width);
        unrolled<J>([&](auto j) SHARDPROOF_INLINE { s[u][i][j] += x * v[j]; });
      });
    });
  };
  const auto whole = [](auto* p) SHARDPROOF_INLINE { return load<T>(p); };
  constexpr std::integral_constant<int, 0> first{};
  long t = 0;
  for (; t + parts * run <= k; t += parts * run)
    unrolled<parts>([&](auto u) SHARDPROOF_INLINE {
      if constexpr (pairs) multiply_pairs(u, t + u * run);
      else multiply(u, t + u * run, whole);
    });
  if constexpr (parts > 1)
    for (; t + run <= k; t += run) {
      if constexpr (pairs) multiply_pairs(first, t);
      else multiply(first, t, whole);
    }
  if constexpr (pairs)
    for (; t + width <= k; t += width) multiply(first, t, whole);
  if (t < k) multiply(first, t, [n = k - t](auto* p) SHARDPROOF_INLINE { return load_part<T>(p, n); });
  if constexpr (parts > 1) {
    vec<T> all[parts];
    unrolled<parts>([&](auto u) SHARDPROOF_INLINE { all[u] = s[u][0][0]; });
    s[0][0][0] = add_up<T>(all);
  }

  constexpr int groups = (results + width - 1) / width;
  T result[groups * width];
  if constexpr (results <= 2) {
    unrolled<results>([&](auto e) SHARDPROOF_INLINE { result[e] = sum<T>(s[0][e / J][e % J]); });
  } else {
    unrolled<groups>([&](auto g) SHARDPROOF_INLINE {
      vec<T> square[width]{};
      unrolled<std::min(width, results - g * width)>([&](auto e) SHARDPROOF_INLINE { square[e] = s[0][(g * width + e) / J][(g * width + e) % J]; });
      transpose(square);
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
[[gnu::noinline]] void dot_rows(long weights, long k, const T* a, long a_row, const B* b, long b_row, const matrix<T>& c, bool add) {
  constexpr int J = weights_for(M);
  if constexpr (M == 1)
    if (k * long(sizeof(T)) <= short_x_bytes) {
      for (long j = 0; j < weights; ++j) dot_tile<T, B, 1, 1>(1, k, a, a_row, b + j * b_row, b_row, c.at(0, j), add);
      return;
    }
  for (long j = 0; j < weights; j += J) dot_tile<T, B, M, J>(std::min<long>(J, weights - j), k, a, a_row, b + j * b_row, b_row, c.at(0, j), add);
}
template <class T, class B>
void dot_some_rows(int rows, long weights, long k, const T* a, long a_row, const B* b, long b_row, const matrix<T>& c, bool add) {
  if (rows == 1) return dot_rows<T, B, 1>(weights, k, a, a_row, b, b_row, c, add);
  if (rows == 4) return dot_rows<T, B, 4>(weights, k, a, a_row, b, b_row, c, add);
  if constexpr (sizeof(T) == 4 && vector_registers == 32)
    if (rows == 8) return dot_rows<T, B, 8>(weights, k, a, a_row, b, b_row, c, add);
  if constexpr (std::is_same_v<T, B> && sizeof(T) == 4) {
    if (rows == 2) return dot_rows<T, B, 2>(weights, k, a, a_row, b, b_row, c, add);
    if (rows == 3) return dot_rows<T, B, 3>(weights, k, a, a_row, b, b_row, c, add);
    if constexpr (vector_registers == 32) dot_rows<T, B, 6>(weights, k, a, a_row, b, b_row, c, add);
  }
}
}  // namespace detail

/// c[m, n] (+)= a[m, k] b[n, k]^T; the rows of a and of b are contiguous, b may be bf16 or f16. Any m is right, a small one fast.
template <class T, class B> void stream_product(long m, long n, long k, const matrix<const T>& a, const matrix<const B>& b, const matrix<T>& c, bool add) {
  using namespace detail;
  constexpr bool pairs = std::is_same_v<B, bf16>, widens = std::is_same_v<B, f16>;
  constexpr long run = 2 * lanes<T>, group = 24;
  // The rows of x shall stay in the first-level cache beside the weights that stream through it.
  const long fits = m == 1 ? k : std::max(run, long(16384 / sizeof(T)) / m / run * run);
  const long blocks = (k + fits - 1) / fits;
  const long depth = ((k + blocks - 1) / blocks + run - 1) / run * run;
  const bool copies = m == 1 && n * k * long(sizeof(B)) >= bytes_worth_a_copy;
  scratch<T> split(pairs || copies ? m * k + off_lines : 1), widened(widens && m > 1 ? group * depth : 1);
  const T* x = a.p;
  long x_row = a.row;
  if constexpr (pairs) {
    x = split.get() + (m == 1 ? off_lines : 0);
    x_row = k;
    for (long i = 0; i < m; ++i) split_pairs(a.p + i * a.row, k, split.get() + (m == 1 ? off_lines : i * k));
  } else if (copies) {
    std::copy(x, x + k, split.get() + off_lines);
    x = split.get() + off_lines;
  }
  if (m == 1) return dot_rows<T, B, 1>(n, k, x, x_row, b.p, b.row, c, add);
  // A few rows of weights at a time, so that a second tile of x finds them in the cache.
  for (long j = 0; j < n; j += group) {
    const long jn = std::min(group, n - j);
    for (long t = 0; t < k; t += depth) {
      const long kn = std::min(depth, k - t);
      if constexpr (widens) widen_rows<T, B>(jn, kn, b.at(j, t), widened.get());
      for (long i = 0; i < m;) {
        const int rows = next_rows<T, std::conditional_t<widens, T, B>>(m - i);
        if constexpr (widens) dot_some_rows<T, T>(rows, jn, kn, x + i * x_row + t, x_row, widened.get(), kn, c.at(i, j), add || t > 0);
        else dot_some_rows<T, B>(rows, jn, kn, x + i * x_row + t, x_row, b.p + j * b.row + t, b.row, c.at(i, j), add || t > 0);
        i += rows;
      }
    }
  }
}

}  // namespace shardproof::cpu

#pragma once
/// @file
/// Matrix products by register tiles: R rows of one operand, broadcast, times V vectors of the other.
///
///     lane_product<float>(rows, columns, k, {a, lda, 1}, {b, ldb, 1}, {c, ldc, 1}, false);     // c = a b
///
/// One operand is read where it lies, one scalar at a time, and the other is packed into panels as wide as a tile. A layer's
/// product x W^T broadcasts the weights, so that they are read from memory once per panel of tokens and never copied; only the
/// activations are packed. Blocking after Goto & van de Geijn, Anatomy of high-performance matrix multiplication (2008).
#include <algorithm>
#include <shardproof/backend/cpu/memory.hpp>
#include <shardproof/backend/cpu/vector.hpp>
namespace shardproof::cpu {

/// Element (i, j) is p[i * row + j * column]; one of the two strides is 1.
template <class T> struct matrix {
  T* p = nullptr;
  long row = 0, column = 1;
  matrix at(long i, long j) const { return {p + i * row + j * column, row, column}; }
  matrix transposed() const { return {p, column, row}; }
};

namespace detail {
// 24 accumulators of 32 registers, or 12 of 16; few rows take more columns, so that a tall operand is read in longer runs.
inline constexpr int tile_rows = vector_registers == 32 ? 8 : 4;
template <class T> inline constexpr int tile_vectors = sizeof(T) == 4 ? 3 : 2;      // f64 is there to check f32: fewer kernels do
inline constexpr int low_rows = 2;
inline constexpr int low_vectors = 4;
// A panel of 3 x 16 floats is 192 KiB deep, and the rows it meets 384 KiB: both stay in a second-level cache of 1 MiB.
inline constexpr long depth_of_block = 1024;
inline constexpr long rows_of_block = 96;
inline constexpr long columns_of_block = 768;

// Vectors of the next panel. Four vectors are two panels of two: three and one would leave the last with half the sums that hide
// the latency of a multiply-add (64 rows of tokens: 0.71 of the peak, and 0.93 evenly).
constexpr int vectors_for(long columns, int most, int width) {
  if (most == 3 && columns > 3 * width && columns <= 4 * width) return 2;
  return columns > 2 * width ? most : columns > width ? 2 : 1;
}

// c[r][j] (+)= s[r][j], `rows` and `columns` of the tile are inside c.
template <class T, int R, int V>
[[gnu::always_inline]] inline void write_tile(const vec<T> (&s)[R][V], const matrix<T>& c, long rows, long columns, bool add) {
  constexpr int width = lanes<T>;
  if (c.column == 1 && columns == V * width && rows == R) {
    unrolled<R>([&](auto r) SHARDPROOF_INLINE {
      unrolled<V>([&](auto j) SHARDPROOF_INLINE {
        T* const at = c.p + r * c.row + j * width;
        store<T>(at, add ? vec<T>(load<T>(at) + s[r][j]) : s[r][j]);
      });
    });
    return;
  }
  T tile[R][V * width];
  unrolled<R>([&](auto r) SHARDPROOF_INLINE { unrolled<V>([&](auto j) SHARDPROOF_INLINE { store<T>(&tile[r][j * width], s[r][j]); }); });
  long from = 0;
  if constexpr (sizeof(T) == 4 && R == tile_rows)
    if (c.row == 1 && rows == R) {                       // c lies the other way round: squares of R x R turn in registers
      using row_of_square = typename vector_type<T, R * int(sizeof(T))>::type;
      for (; from + R <= columns; from += R) {
        row_of_square square[R];
        unrolled<R>([&](auto r) SHARDPROOF_INLINE { std::memcpy(&square[r], &tile[r][from], sizeof square[r]); });
        transpose(square);
        unrolled<R>([&](auto i) SHARDPROOF_INLINE {
          T* const at = c.p + (from + i) * c.column;
          row_of_square old{};
          if (add) std::memcpy(&old, at, sizeof old);
          square[i] += old;
          std::memcpy(at, &square[i], sizeof old);
        });
      }
    }
  for (long i = from; i < columns; ++i)
    for (long r = 0; r < rows; ++r) {
      T& at = c.p[r * c.row + i * c.column];
      at = add ? at + tile[r][i] : tile[r][i];
    }
}

// One tile: p's rows lie p_row apart (Steps: its columns are adjacent) or are adjacent, p_step from one k to the next.
template <class T, int R, int V, bool Steps>
[[gnu::noinline]] void tile(long k, const T* p, long p_stride, const T* v, long v_stride, const matrix<T>& c, long rows, long columns, bool add) {
  vec<T> s[R][V]{};
  const T* row[R];
  unrolled<R>([&](auto r) SHARDPROOF_INLINE { row[r] = p + (Steps ? std::min<long>(r, rows - 1) * p_stride : r); });    // a missing row repeats the last
  for (long t = 0; t < k; ++t, v += v_stride) {
    // Once a cache line, the next tile's rows: cold weights, which the processor does not foresee between so much arithmetic.
    if constexpr (Steps)
      if (t % (64 / long(sizeof(T))) == 0) unrolled<R>([&](auto r) SHARDPROOF_INLINE { __builtin_prefetch(row[r] + R * p_stride + t, 0, 2); });
    vec<T> b[V];
    unrolled<V>([&](auto j) SHARDPROOF_INLINE {
      b[j] = load<T>(v + j * lanes<T>);
      keep(b[j]);
    });
    unrolled<R>([&](auto r) SHARDPROOF_INLINE {
      const T a = row[r][Steps ? t : t * p_stride];
      unrolled<V>([&](auto j) SHARDPROOF_INLINE { s[r][j] += a * b[j]; });
    });
  }
  write_tile<T, R, V>(s, c, rows, columns, add);
}

// Rows [0, rows) of p against one panel.
template <class T, int R, int V>
void panel(long rows, long k, const matrix<const T>& p, const T* v, long v_stride, const matrix<T>& c, long columns, bool add) {
  for (long r = 0; r < rows; r += R) {
    const long left = std::min<long>(R, rows - r);
    if (p.column == 1) tile<T, R, V, true>(k, p.p + r * p.row, p.row, v, v_stride, c.at(r, 0), left, columns, add);
    else if constexpr (R == tile_rows) tile<T, R, V, false>(k, p.p + r * k, p.column, v, v_stride, c.at(r, 0), left, columns, add);
  }
}
template <class T, int R, int Most>
void panel_of(int vectors, long rows, long k, const matrix<const T>& p, const T* v, long v_stride, const matrix<T>& c, long columns, bool add) {
  if (vectors == Most) panel<T, R, Most>(rows, k, p, v, v_stride, c, columns, add);
  else if (vectors == 2 && Most > 2) panel<T, R, 2>(rows, k, p, v, v_stride, c, columns, add);
  else panel<T, R, 1>(rows, k, p, v, v_stride, c, columns, add);
}

// One panel: out[t][i] = v(t, i) for t < k, i < columns, widened and padded with zeros to whole vectors.
template <class T, class U> void pack_panel(long k, long columns, const matrix<const U>& v, T* out, int width) {
  constexpr int n = lanes<T>;
  for (int g = 0; g < width; g += n) {
    const long here = std::clamp<long>(columns - g, 0, n);
    long t = 0;
    if (here == n)
      for (; t + n <= k; t += n) {
        vec<T> square[n];
        unrolled<n>([&](auto i) SHARDPROOF_INLINE { square[i] = load<T>(v.p + (g + i) * v.column + t); });
        transpose(square);
        unrolled<n>([&](auto i) SHARDPROOF_INLINE { store<T>(out + (t + i) * width + g, square[i]); });
      }
    for (; t < k; ++t)
      for (int i = 0; i < n; ++i) out[t * width + g + i] = i < here ? T(v.p[(g + i) * v.column + t]) : T(0);
  }
}
// Row t of one panel whose columns are adjacent.
template <class T, class U> [[gnu::always_inline]] inline void pack_row(long columns, const U* from, T* out, int width) {
  constexpr int n = lanes<T>;
  for (int g = 0; g < width; g += n) {
    const long here = std::clamp<long>(columns - g, 0, n);
    store<T>(out + g, here == n ? load<T>(from + g) : here ? load_part<T>(from + g, here) : vec<T>{});
  }
}

// All panels of a block, one behind the other, as wide as vectors_for says. Where columns are adjacent, row by row over all panels:
// the rows are then read as they lie. Panel by panel each would be met in short pieces, which costs a cold operand twice the time.
template <class T, class U> void pack_panels(long k, long columns, const matrix<const U>& v, T* out, int most) {
  constexpr int n = lanes<T>;
  const auto each = [&](auto&& pack) SHARDPROOF_INLINE {
    T* to = out;
    for (long j = 0; j < columns;) {
      const int width = vectors_for(columns - j, most, n) * n;
      pack(j, std::min<long>(width, columns - j), to, width);
      to += width * k;
      j += width;
    }
  };
  if (v.column == 1)
    for (long t = 0; t < k; ++t)
      each([&](long j, long here, T* to, int width) SHARDPROOF_INLINE { pack_row<T, U>(here, v.p + t * v.row + j, to + t * width, width); });
  else
    each([&](long j, long here, T* to, int width) SHARDPROOF_INLINE { pack_panel<T, U>(k, here, v.at(0, j), to, width); });
}

// out: tiles of `tile_rows` rows, in each [k][tile_rows]; the rows behind the last are zero. p's rows are adjacent.
template <class T> void pack_rows(long rows, long k, const matrix<const T>& p, T* out) {
  const long whole = rows / tile_rows * tile_rows;
  for (long t = 0; t < k; ++t) {
    const T* const from = p.p + t * p.column;
    T* to = out + t * tile_rows;
    for (long r = 0; r < whole; r += tile_rows, to += k * tile_rows) std::memcpy(to, from + r, tile_rows * sizeof(T));
    if (whole < rows)
      for (long i = 0; i < tile_rows; ++i) to[i] = whole + i < rows ? from[whole + i] : T(0);
  }
}
// out[rows][k]. Fetches the next `rows` rows meanwhile: the arithmetic between two calls hides the stream from the processor.
template <class T, class U> void widen_rows(long rows, long k, const matrix<const U>& p, T* out) {
  constexpr long width = lanes<T>;
  for (long r = 0; r < rows; ++r) {
    const U* const from = p.p + r * p.row;
    for (long t = 0; t < k; t += width) {
      __builtin_prefetch(from + rows * p.row + t, 0, 2);
      if (t + width <= k) store<T>(out + r * k + t, load<T>(from + t));
      else store_part<T>(out + r * k + t, load_part<T>(from + t, k - t), k - t);
    }
  }
}
}  // namespace detail

/// c[rows, columns] (+)= p[rows, k] v[k, columns]. p and v may be bf16 or f16; c may lie either way round.
template <class T, class P, class V>
void lane_product(long rows, long columns, long k, const matrix<const P>& p, const matrix<const V>& v, const matrix<T>& c, bool add) {
  using namespace detail;
  constexpr int width = lanes<T>;
  const bool low = sizeof(T) == 4 && rows <= low_rows && p.column == 1;
  const int most = low ? low_vectors : tile_vectors<T>;
  const auto run = [&](int vectors, long n, long depth, const matrix<const T>& rows_of_p, const T* panel, long stride, const matrix<T>& to,
                       long inside, bool adds) {
    if constexpr (sizeof(T) == 4)
      if (low) return panel_of<T, low_rows, low_vectors>(vectors, n, depth, rows_of_p, panel, stride, to, inside, adds);
    panel_of<T, tile_rows, tile_vectors<T>>(vectors, n, depth, rows_of_p, panel, stride, to, inside, adds);
  };

  // One tile of rows needs each element of v once: whole panels are then read where they lie.
  if constexpr (std::is_same_v<P, T> && std::is_same_v<V, T>)
    if (rows <= tile_rows && v.column == 1 && p.column == 1) {
      long j = 0;
      while (columns - j >= width) {
        const int vectors = columns - j >= most * width ? most : columns - j >= 2 * width ? 2 : 1;
        run(vectors, rows, k, p, v.p + j, v.row, c.at(0, j), vectors * width, add);
        j += vectors * width;
      }
      if (j < columns) {
        scratch<T> last(k * width);
        pack_panels<T, V>(k, columns - j, v.at(0, j), last.get(), 1);
        run(1, rows, k, p, last.get(), width, c.at(0, j), columns - j, add);
      }
      return;
    }

  const long blocks = (k + depth_of_block - 1) / depth_of_block;
  const long depth = ((k + blocks - 1) / blocks + width - 1) / width * width;
  const long block_columns = std::min(columns, columns_of_block);
  const long block_rows = std::min((rows + tile_rows - 1) / tile_rows * tile_rows, rows_of_block);
  scratch<T> packed((block_columns + most * width) * std::min(depth, k));
  const bool copies_rows = !std::is_same_v<P, T> || p.column != 1;
  scratch<T> copied(copies_rows ? block_rows * std::min(depth, k) : 1);
  for (long j0 = 0; j0 < columns; j0 += block_columns)
    for (long t0 = 0; t0 < k; t0 += depth) {
      const long jn = std::min(block_columns, columns - j0), tn = std::min(depth, k - t0);
      const bool adds = add || t0 > 0;
      pack_panels<T, V>(tn, jn, v.at(t0, j0), packed.get(), most);
      for (long r0 = 0; r0 < rows; r0 += block_rows) {
        const long rn = std::min(block_rows, rows - r0);
        matrix<const T> from;
        if constexpr (std::is_same_v<P, T>) {
          from = p.at(r0, t0);
          if (copies_rows) {
            pack_rows<T>(rn, tn, from, copied.get());
            from = {copied.get(), 1, tile_rows};
          }
        } else {
          widen_rows<T, P>(rn, tn, p.at(r0, t0), copied.get());
          from = {copied.get(), tn, 1};
        }
        const T* at = packed.get();
        for (long j = 0; j < jn;) {
          const int vectors = vectors_for(jn - j, most, width);
          run(vectors, rn, tn, from, at, vectors * width, c.at(r0, j0 + j), std::min<long>(vectors * width, jn - j), adds);
          at += vectors * width * tn;
          j += vectors * width;
        }
      }
    }
}

}  // namespace shardproof::cpu

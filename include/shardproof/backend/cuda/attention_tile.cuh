#pragma once
/// @file
/// Tiles of attention: rows brought to shared memory, products of rows with rows, and of weights with rows, in registers.
///
///     load_tile<tile>(shared, stride, 64, count, width, wide, scale, [&](int r) { return q + r * dim; });
///     T s[4][4] = {};  add_dots<tile>(s, a, stride_a, b, stride_b, width);       // s[r][n] += a[row] . b[column]
///     T o[4][8] = {};  add_rows<tile, 128>(o, w, stride_w, v, stride_v, count, width);  // o[r][c] += sum_j w[row][j] v[j][c]
///
/// Tiling: a block is `down` x `across` threads. Thread (y, x) has rows y + down * r and columns x + across * n: threads side by side
/// read different banks, as rows are an odd number of 16-byte vectors apart, and threads below each other are few in a warp.
/// Bytes: of shared memory, 16 (rows + columns) for 16 rows * columns products of f32, a thread; all 16 bytes at a time.
#include <type_traits>
#include <shardproof/backend/cuda/attention_mask.cuh>
#include <shardproof/backend/cuda/dynamic_shared.cuh>
#include <shardproof/backend/cuda/map.cuh>
namespace shardproof::cuda::detail {

template <class T> inline constexpr int in_vector = int(16 / sizeof(T));

constexpr int vectors_of(long width, int vector) { return int((width + vector - 1) / vector); }
/// How far apart rows of so many elements lie in shared memory.
template <class T> __host__ __device__ constexpr int tile_stride(long width) {
  return (int((width + in_vector<T> - 1) / in_vector<T>) | 1) * in_vector<T>;
}

template <class Number, int RowsEach, int Down, int ColumnsEach, int Across> struct attention_tile {
  using type = Number;
  static constexpr int rows_each = RowsEach, down = Down, columns_each = ColumnsEach, across = Across;
  static constexpr int rows = RowsEach * Down, columns = ColumnsEach * Across, threads = Down * Across;
  static constexpr int stride = tile_stride<Number>(columns);                 ///< of a tile of [rows, columns]
  static __device__ int y() { return int(threadIdx.x) / across; }
  static __device__ int x() { return int(threadIdx.x) % across; }
  static __device__ int row(int r) { return y() + down * r; }
  static __device__ int column(int n) { return x() + across * n; }
};

namespace tile_steps {
template <int threads, bool wide, class T, class Row>
__device__ void load_rows(T* __restrict__ to, int stride, int rows, int count, int width, T by, const Row& row) {
  constexpr int vector = in_vector<T>, ahead = threads > 128 ? 4 : 8;              // loads under way for each thread
  const int vectors = (width + vector - 1) / vector, shift = vectors > 16 ? 5 : vectors > 8 ? 4 : vectors > 4 ? 3 : 2;
  const int step = threads >> shift, first = int(threadIdx.x) >> shift;
  for (int c = (int(threadIdx.x) & ((1 << shift) - 1)) * vector; c < width; c += vector << shift)
    for (int from = first; from < rows; from += ahead * step) {
      pack<T, vector> x[ahead];
#pragma unroll
      for (int u = 0; u < ahead; ++u) {
        const int r = from + u * step;
        x[u] = {};
        if (r >= count) continue;
        const T* const p = row(r) + c;
        if constexpr (wide) x[u] = pack_at<vector>(p, 0);
        else
          for (int e = 0; e < vector; ++e)
            if (c + e < width) x[u].of[e] = p[e];
      }
#pragma unroll
      for (int u = 0; u < ahead; ++u) {
        const int r = from + u * step;
        if (r >= rows) continue;
        for (int e = 0; e < vector; ++e) x[u].of[e] *= by;
        pack_at<vector>(to + r * stride + c, 0) = x[u];
      }
    }
}
}  // namespace tile_steps

/// Rows of `width` elements, times `by`; row(r) is where row r begins. Rows from `count` on are zero, and so is the rest of a row's last
/// vector. Wide: rows are aligned to 16 bytes, and so is their width.
template <class Tile, class T, class Row>
__device__ void load_tile(T* to, int stride, int rows, int count, int width, bool wide, T by, const Row& row) {
  if (wide) tile_steps::load_rows<Tile::threads, true>(to, stride, rows, count, width, by, row);
  else tile_steps::load_rows<Tile::threads, false>(to, stride, rows, count, width, by, row);
}

/// s[r][n] += the product of this thread's row r of a with its row n of b, over `width` elements.
template <class Tile, class T>
__device__ void add_dots(T (&s)[Tile::rows_each][Tile::columns_each], const T* a, int stride_a, const T* b, int stride_b, int width) {
  constexpr int vector = in_vector<T>, down = Tile::rows_each, across = Tile::columns_each;
  a += Tile::row(0) * stride_a;
  b += Tile::column(0) * stride_b;
#pragma unroll 2
  for (int d = 0; d < width; d += vector) {
    pack<T, vector> x[down], z[across];
#pragma unroll
    for (int r = 0; r < down; ++r) x[r] = pack_at<vector>(a + r * Tile::down * stride_a + d, 0);
#pragma unroll
    for (int n = 0; n < across; ++n) z[n] = pack_at<vector>(b + n * Tile::across * stride_b + d, 0);
#pragma unroll
    for (int e = 0; e < vector; ++e)
#pragma unroll
      for (int r = 0; r < down; ++r)
#pragma unroll
        for (int n = 0; n < across; ++n) s[r][n] += x[r].of[e] * z[n].of[e];
  }
}

/// How many of `Columns` columns of a result a thread has, and how many of them are adjacent. Group g begins at column(g).
template <class Tile, int Columns> struct result_columns {
  static constexpr int each = Columns / Tile::across, adjacent = each < in_vector<typename Tile::type> ? each : in_vector<typename Tile::type>;
  static constexpr int groups = each / adjacent;
  static_assert(each >= 1 && each % adjacent == 0);
  static __device__ int column(int g) { return (Tile::x() + Tile::across * g) * adjacent; }
};

/// o[r][.] += sum over j < count of w[row][j] * v[j][.]; w is zero from `count` to the end of the last vector, and columns from `width` on
/// are left alone.
template <class Tile, int Columns, class T>
__device__ void add_rows(T (&o)[Tile::rows_each][Columns / Tile::across], const T* w, int stride_w, const T* v, int stride_v, int count, int width) {
  using own = result_columns<Tile, Columns>;
  constexpr int vector = in_vector<T>, down = Tile::rows_each;
  if (own::column(0) >= width) return;
  w += Tile::row(0) * stride_w;
  for (int j = 0; j < count; j += vector) {
    pack<T, vector> x[down];
#pragma unroll
    for (int r = 0; r < down; ++r) x[r] = pack_at<vector>(w + r * Tile::down * stride_w + j, 0);
#pragma unroll
    for (int e = 0; e < vector; ++e)
#pragma unroll
      for (int g = 0; g < own::groups; ++g) {
        if (own::column(g) >= width) continue;
        const auto z = pack_at<own::adjacent>(v + (j + e) * stride_v + own::column(g), 0);
#pragma unroll
        for (int r = 0; r < down; ++r)
#pragma unroll
          for (int c = 0; c < own::adjacent; ++c) o[r][g * own::adjacent + c] += x[r].of[e] * z.of[c];
      }
  }
}

/// This thread's part of a row of a result, of which `width` columns exist: to = o * by, or to += that. Wide: as in load_tile.
template <class Tile, int Columns, bool adds, class T> __device__ void write_row(T* to, const T* o, T by, int width, bool wide) {
  using own = result_columns<Tile, Columns>;
  constexpr int n = own::adjacent;
#pragma unroll
  for (int g = 0; g < own::groups; ++g) {
    const int c = own::column(g);
    if (wide && c < width) {
      pack<T, n> x{};
      if constexpr (adds) x = pack_at<n>(to + c, 0);
#pragma unroll
      for (int e = 0; e < n; ++e) x.of[e] += o[g * n + e] * by;
      pack_at<n>(to + c, 0) = x;
    } else {
#pragma unroll
      for (int e = 0; e < n; ++e)
        if (c + e < width) to[c + e] = (adds ? to[c + e] : T(0)) + o[g * n + e] * by;
    }
  }
}

}  // namespace shardproof::cuda::detail

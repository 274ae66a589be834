#pragma once
/// @file
/// Rows one by one: how kernels read rows and share them among threads, rows times a number each, and products of rows.
///
///     cuda::scale_rows(y, x, s, false);                    // y[r, :] = x[r, :] * s[r]
///     cuda::row_dot(s, x, x, 1.0);                         // s[r] += sum of squares of row r, summed in double
///
/// A row is read in packs of 16 bytes of the arithmetic's type. Which thread has which pack depends on the row's length alone, and only
/// how a pack is read on its address: sums are the same wherever operands lie.
/// Tiling: scale_rows as map_rows; row_dot has a warp a row up to 1024 elements, a block for a longer one.
/// Bytes: every operand once, what is added to twice. FLOP: one or two an element.
#include <shardproof/backend/cuda/block.cuh>
#include <shardproof/backend/cuda/elementwise.cuh>
namespace shardproof::cuda {

namespace detail {
/// May rows of n elements at these addresses be read in whole packs? A null pointer may.
template <int N, class... T> __device__ bool are_wide(long n, const T*... p) {
  return n % N == 0 && ((reinterpret_cast<std::uintptr_t>(p) % alignof(pack<T, N>) == 0) && ...);
}
/// to = p[0 ... N) as C; only `count` of them are there, and zeros stand for the others. `wide`: all are, at an aligned address.
template <class C, int N, class T> __device__ void load_pack(C (&to)[N], const T* p, long count, bool wide) {
  if (wide) {
    const pack<T, N> all = pack_at<N>(p, 0);
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = load<C>(all.of, i);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = i < count ? load<C>(p, i) : C(0);
  }
}
template <class T, int N> __device__ void store_pack(T* p, const T (&from)[N], long count, bool wide) {
  if (wide) {
    pack<T, N> all;
#pragma unroll
    for (int i = 0; i < N; ++i) all.of[i] = from[i];
    pack_at<N>(p, 0) = all;
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (i < count) p[i] = from[i];
  }
}

/// The threads that have a row together: a whole block, or a warp.
template <bool Whole> struct row_team {
  static constexpr unsigned warps = 4;                   ///< of a block, where each has a row
  static __device__ long lane() { return Whole ? threadIdx.x : threadIdx.x % 32; }
  static __device__ long size() { return Whole ? blockDim.x : 32; }
  static __device__ long first() { return Whole ? blockIdx.x : long(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32; }
  static __device__ long stride() { return Whole ? gridDim.x : long(gridDim.x) * (blockDim.x / 32); }
  template <class V> static __device__ V sum(V v) {
    if constexpr (Whole) return block_sum(v);
    else return warp_sum(v);
  }
  static constexpr geometry over(long rows, unsigned threads, unsigned limit = most_blocks) {
    if (Whole) return {.blocks = at_most(rows, limit), .threads = threads};
    return {.blocks = at_most(parts_of(rows, warps), limit), .threads = 32 * warps};
  }
};

/// One of two, for reductions that start from a number: a NaN is passed over, as it shows elsewhere (block.cuh's `greater` keeps it).
struct greater_number { template <class T> __device__ T operator()(T a, T b) const { return b > a ? b : a; } };
struct smaller_number { template <class T> __device__ T operator()(T a, T b) const { return b < a ? b : a; } };

/// n elements a row.
template <class T> __global__ void scale_each_row(T* y, const T* x, const T* s, long rows, long n, matrix_tile t, bool accumulate) {
  constexpr int N = pack_size<T>();
  const bool wide = are_wide<N>(n, y, x);
  for (long j = t.first_column() * N; j < n; j += t.column_stride() * N)
    for (long r = t.first_row(); r < rows; r += t.row_stride()) {
      const T by = s[r];
      T v[N], old[N] = {};
      load_pack(v, x + r * n + j, n - j, wide);
      if (accumulate) load_pack(old, static_cast<const T*>(y) + r * n + j, n - j, wide);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] = accumulate ? old[i] + v[i] * by : v[i] * by;
      store_pack(y + r * n + j, v, n - j, wide);
    }
}

template <class T, bool Whole> __global__ void __launch_bounds__(1024) dot_each_row(T* s, const T* a, const T* b, long rows, long n, double by) {
  constexpr int N = pack_size<T>();
  using team = row_team<Whole>;
  const bool wide = are_wide<N>(n, a, b);
  for (long r = team::first(); r < rows; r += team::stride()) {
    double sum = 0;
#pragma unroll 4
    for (long j = team::lane() * N; j < n; j += team::size() * N) {
      T u[N], v[N];
      load_pack(u, a + r * n + j, n - j, wide);
      load_pack(v, b + r * n + j, n - j, wide);
#pragma unroll
      for (int i = 0; i < N; ++i) sum += double(u[i]) * double(v[i]);
    }
    sum = team::sum(sum);
    if (team::lane() == 0) s[r] += T(by * sum);
  }
}
template <class T, bool Whole> void launch_dots(T* s, const T* a, const T* b, long rows, long n, double by) {
  launch("row_dot", dot_each_row<T, Whole>, row_team<Whole>::over(rows, threads_for_row(n)), s, a, b, rows, n, by);
}
}  // namespace detail

inline void scale_rows(const view& y, const view& x, const view& s, bool accumulate) {
  const long rows = s.count(), n = rows ? x.count() / rows : 0;
  if (n == 0) return;
  visit_float(y.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> in(x), by(s);
    const long packs = parts_of(n, pack_size<T>());
    const matrix_tile t = tile_for(packs);
    launch("scale_rows", detail::scale_each_row<T>, over_tiles(t, rows, packs), y.as<T>(), in.p, by.p, rows, n, t, accumulate);
  });
}

inline void row_dot(const view& s, const view& a, const view& b, double by) {
  const long rows = s.count(), n = rows ? a.count() / rows : 0;
  if (n == 0) return;
  visit_float(s.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> u(a), v(b);
    if (n > 1024) detail::launch_dots<T, true>(s.as<T>(), u.p, v.p, rows, n, by);
    else detail::launch_dots<T, false>(s.as<T>(), u.p, v.p, rows, n, by);
  });
}

}  // namespace shardproof::cuda

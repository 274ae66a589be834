#pragma once
/// @file
/// Products of a few rows (decoding): weights are read once as they are stored, and widened in registers.
///
///     cuda::few_rows(p, a, b, c, dtype::bf16);             // p: product_plan.hpp, not a transposed; b is bf16, a and c are p.result
///
/// Tiling: eight rows at most share one pass over b; b stored [n,k]: a block makes 2 or 4 columns, its threads share k in chunks;
/// b stored [k,n]: a block makes 32 or 64 columns, its warps share k. Bytes: b once for eight rows, a from the caches; 2 m n k FLOP.
/// An element's sum is made in an order that k and the types decide: not other rows or columns, nor where the operands lie.
#include <cmath>
#include <shardproof/backend/cuda/dynamic_shared.cuh>
#include <shardproof/backend/cuda/product_plan.hpp>
#include <shardproof/backend/cuda/rows.cuh>
namespace shardproof::cuda {

namespace detail {

/// What a thread reads of b at a time, and how many terms of a row it adds one after the other.
template <class B> inline constexpr int terms_of = sizeof(B) == 2 ? 8 : 4;
template <class B> inline constexpr int columns_of = sizeof(B) == 2 ? 2 : 1;

__device__ inline long lesser(long a, long b) { return a < b ? a : b; }

/// This thread's terms of R rows from i0 and C columns from j0 on. What is past the end is read from the last row or column.
template <bool together, class T, class B, int R, int C>
__device__ void add_terms_by_rows(T (&sum)[R][C], const T* a, const B* b, long i0, long j0, long m, long n, long k) {
  constexpr int terms = terms_of<B>;
#pragma unroll 2
  for (long l = long(threadIdx.x) * terms; l < k; l += long(blockDim.x) * terms) {
    T w[C][terms];
#pragma unroll
    for (int j = 0; j < C; ++j) load_pack(w[j], b + lesser(j0 + j, n - 1) * k + l, k - l, together);
#pragma unroll
    for (int i = 0; i < R; ++i) {
      T x[terms];
      load_pack(x, a + lesser(i0 + i, m - 1) * k + l, k - l, together);
#pragma unroll
      for (int j = 0; j < C; ++j)
#pragma unroll
        for (int e = 0; e < terms; ++e) sum[i][j] = std::fma(x[e], w[j][e], sum[i][j]);
    }
  }
}
/// c[i, j] (+)= sum_l a[i, l] b[j, l] of one block: R rows and C columns.
template <class T, class B, int R, int C>
__device__ void few_rows_tile_by_rows(T* c, const T* a, const B* b, long i0, long j0, long m, long n, long k, bool together, bool adds) {
  T* const parts = dynamic_shared<T>();                  // [R * C][threads]
  const int t = int(threadIdx.x), threads = int(blockDim.x);
  T sum[R][C] = {};
  if (together) add_terms_by_rows<true>(sum, a, b, i0, j0, m, n, k);
  else add_terms_by_rows<false>(sum, a, b, i0, j0, m, n, k);
#pragma unroll
  for (int v = 0; v < R * C; ++v) parts[v * threads + t] = sum[v / C][v % C];
  __syncthreads();
  for (int v = t / 32; v < R * C; v += threads / 32) {
    T s = 0;
    for (int from = t % 32; from < threads; from += 32) s += parts[v * threads + from];
    s = warp_sum(s);
    const long i = i0 + v / C, j = j0 + v % C;
    if (t % 32 == 0 && i < m && j < n) c[i * n + j] = adds ? c[i * n + j] + s : s;
  }
  __syncthreads();                                       // parts are read before the next ones come
}
template <class T, class B, int R, int C> __global__ void __launch_bounds__(128)
    few_rows_by_rows(T* c, const T* a, const B* b, long m, long n, long k, bool together, bool adds) {
  for (long i0 = long(blockIdx.y) * R; i0 < m; i0 += long(gridDim.y) * R)
    for (long j0 = long(blockIdx.x) * C; j0 < n; j0 += long(gridDim.x) * C) few_rows_tile_by_rows<T, B, R, C>(c, a, b, i0, j0, m, n, k, together, adds);
}

/// This warp's terms, every so many fours of k, of R rows from i0 and V columns from j on.
template <bool together, class T, class B, int R, int V>
__device__ void add_terms_by_columns(T (&sum)[R][V], const T* a, const B* b, long i0, long j, long m, long n, long k) {
  constexpr int terms = 4;
  const long held = lesser(j, together ? n - V : n - 1);
#pragma unroll 2
  for (long l = long(threadIdx.x / 32) * terms; l < k; l += long(blockDim.x / 32) * terms) {
    T x[R][terms], w[terms][V];
#pragma unroll
    for (int e = 0; e < terms; ++e) load_pack(w[e], b + lesser(l + e, k - 1) * n + held, l + e < k ? n - j : 0, together);
#pragma unroll
    for (int i = 0; i < R; ++i) load_pack(x[i], a + lesser(i0 + i, m - 1) * k + l, k - l, together);
#pragma unroll
    for (int e = 0; e < terms; ++e)
#pragma unroll
      for (int i = 0; i < R; ++i)
#pragma unroll
        for (int v = 0; v < V; ++v) sum[i][v] = std::fma(x[i][e], w[e][v], sum[i][v]);
  }
}
/// c[i, j] (+)= sum_l a[i, l] b[l, j] of one block: R rows and 32 V columns.
template <class T, class B, int R, int V>
__device__ void few_rows_tile_by_columns(T* c, const T* a, const B* b, long i0, long j0, long m, long n, long k, bool together, bool adds) {
  T* const parts = dynamic_shared<T>();                  // [R * V][threads]
  const int t = int(threadIdx.x), threads = int(blockDim.x);
  T sum[R][V] = {};
  if (together) add_terms_by_columns<true>(sum, a, b, i0, j0 + t % 32 * V, m, n, k);
  else add_terms_by_columns<false>(sum, a, b, i0, j0 + t % 32 * V, m, n, k);
#pragma unroll
  for (int v = 0; v < R * V; ++v) parts[v * threads + t] = sum[v / V][v % V];
  __syncthreads();
  for (int o = t; o < R * V * 32; o += threads) {
    const int v = o / 32;
    T s = 0;
    for (int from = o % 32; from < threads; from += 32) s += parts[v * threads + from];
    const long i = i0 + v / V, at = j0 + o % 32 * V + v % V;
    if (i < m && at < n) c[i * n + at] = adds ? c[i * n + at] + s : s;
  }
  __syncthreads();
}
template <class T, class B, int R, int V> __global__ void __launch_bounds__(512)
    few_rows_by_columns(T* c, const T* a, const B* b, long m, long n, long k, bool together, bool adds) {
  for (long i0 = long(blockIdx.y) * R; i0 < m; i0 += long(gridDim.y) * R)
    for (long j0 = long(blockIdx.x) * 32 * V; j0 < n; j0 += long(gridDim.x) * 32 * V)
      few_rows_tile_by_columns<T, B, R, V>(c, a, b, i0, j0, m, n, k, together, adds);
}

/// Threads follow from k alone, as they decide the order of a sum.
constexpr unsigned threads_for_terms(long chunks, unsigned most) {
  unsigned t = 32;
  while (t < most && chunks > long(t)) t *= 2;
  return t;
}
/// Columns a block makes of R rows where b is stored [n,k].
template <class T, int R> inline constexpr int few_columns = R == 8 && sizeof(T) == 4 ? 4 : 2;
/// The threads of a block and their memory, by how b is stored.
template <class T, class B, int R> void shape_few_by_rows(geometry& g, long k) {
  g.threads = threads_for_terms(parts_of(k, terms_of<B>), 128);
  g.shared_bytes = std::size_t(R * few_columns<T, R>) * g.threads * sizeof(T);
}
template <class T, class B, int R> void shape_few_by_columns(geometry& g, long k) {
  g.threads = threads_for_terms(parts_of(k, 4), 512);
  g.shared_bytes = std::size_t(R * columns_of<B>) * g.threads * sizeof(T);
}
/// May operands be read in packs?
template <class T, class B> bool are_together_by_rows(long k, const T* a, const B* b) {
  return k % terms_of<B> == 0 && alignment_of(a) >= 16 && alignment_of(b) >= 16;
}
template <class T, class B> bool are_together_by_columns(long n, long k, const T* a, const B* b) {
  return k % 4 == 0 && alignment_of(a) >= 16 && n % columns_of<B> == 0 && alignment_of(b) >= columns_of<B> * sizeof(B);
}

template <class T, class B, int R> void few_rows_of(const product& p, const T* a, const B* b, T* c) {
  constexpr int C = few_columns<T, R>, V = columns_of<B>;
  geometry g{.blocks = at_most(parts_of(p.n, p.tb ? C : 32 * V), most_blocks), .blocks_y = at_most(parts_of(p.m, R), most_blocks_y)};
  if (p.tb) {
    shape_few_by_rows<T, B, R>(g, p.k);
    launch("matmul", few_rows_by_rows<T, B, R, C>, g, c, a, b, p.m, p.n, p.k, are_together_by_rows(p.k, a, b), p.accumulate);
  } else {
    shape_few_by_columns<T, B, R>(g, p.k);
    launch("matmul", few_rows_by_columns<T, B, R, V>, g, c, a, b, p.m, p.n, p.k, are_together_by_columns(p.n, p.k, a, b), p.accumulate);
  }
}
template <class T, class B> void few_rows_as(const product& p, const void* a, const void* b, void* c) {
  const auto run = [&](auto r) { few_rows_of<T, B, r()>(p, static_cast<const T*>(a), static_cast<const B*>(b), static_cast<T*>(c)); };
  if (p.m == 1) return run(std::integral_constant<int, 1>{});
  if (p.m == 2) return run(std::integral_constant<int, 2>{});
  if (p.m <= 4) return run(std::integral_constant<int, 4>{});
  run(std::integral_constant<int, 8>{});
}

}  // namespace detail

/// c (+)= a op(b) of contiguous operands, a as [m,k]; b is stored as `t`: p.result, bf16 or f16.
inline void few_rows(const product& p, const void* a, const void* b, void* c, dtype t) {
  if (p.result == dtype::f64) return detail::few_rows_as<double, double>(p, a, b, c);
  if (t == dtype::bf16) return detail::few_rows_as<float, bf16>(p, a, b, c);
  if (t == dtype::f16) return detail::few_rows_as<float, f16>(p, a, b, c);
  detail::few_rows_as<float, float>(p, a, b, c);
}

}  // namespace shardproof::cuda

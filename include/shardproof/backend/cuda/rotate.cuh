#pragma once
/// @file
/// Rotary position embedding: pairs of features turned by the angle of their position.  Su et al., arXiv 2104.09864.
///
///     cuda::rotate({y, q, cos, sin, 64, false, false, false});     // pairs (j, j + 32)
///
/// Tiling: a few lanes of a warp for each head of each position, each lane 16 bytes of either half (or of adjacent pairs) at a time.
/// Bytes: x is read and y written once (y read too where it is added to); the tables, alike for all heads, come from the cache.
/// FLOP: 6 a pair, far below what the bytes take.
#include <shardproof/backend/cuda/converted.cuh>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cuda {

namespace detail {
template <class T> struct rotation {
  T* y;
  const T *x, *cos, *sin;                                ///< y may be x: a thread writes what it alone has read
  long heads, dim, half, seq, tables;
  T turn;                                                ///< of the sine: 1, or -1 for the inverse
};

template <bool accumulate, int n, class T> __device__ void put_rotated(T* to, pack<T, n> x) {
  if constexpr (accumulate) {
    const pack<T, n> old = pack_at<n>(to, 0);
    for (int e = 0; e < n; ++e) x.of[e] = old.of[e] + x.of[e];
  }
  pack_at<n>(to, 0) = x;
}
/// n pairs (j, j + half) from j on.
template <bool accumulate, int n, class T> __device__ void turn_halves(const rotation<T>& a, long row, const T* cos, const T* sin, long j) {
  const T* const x = a.x + row * a.dim + j;
  T* const y = a.y + row * a.dim + j;
  const pack<T, n> u = pack_at<n>(x, 0), v = pack_at<n>(x + a.half, 0), c = pack_at<n>(cos + j, 0), s = pack_at<n>(sin + j, 0);
  pack<T, n> first, second;
  for (int e = 0; e < n; ++e) {
    const T si = a.turn * s.of[e];
    first.of[e] = u.of[e] * c.of[e] - v.of[e] * si;
    second.of[e] = v.of[e] * c.of[e] + u.of[e] * si;
  }
  put_rotated<accumulate, n>(y, first);
  put_rotated<accumulate, n>(y + a.half, second);
}
/// n / 2 pairs (2j, 2j + 1) from j on.
template <bool accumulate, int n, class T> __device__ void turn_adjacent(const rotation<T>& a, long row, const T* cos, const T* sin, long j) {
  const long at = row * a.dim + 2 * j;
  const pack<T, n> x = pack_at<n>(a.x + at, 0);
  pack<T, n> y;
  for (int e = 0; e < n; e += 2) {
    const T c = cos[j + e / 2], s = a.turn * sin[j + e / 2];
    y.of[e] = x.of[e] * c - x.of[e + 1] * s;
    y.of[e + 1] = x.of[e + 1] * c + x.of[e] * s;
  }
  put_rotated<accumulate, n>(a.y + at, y);
}

/// `n` elements at a time; where they are pairs of adjacent ones n is at least 2, and vectors are whole pairs.
template <class T, bool interleaved, bool accumulate, int n, bool wide> __global__ void rotate_rows(rotation<T> a, long rows, int lanes) {
  constexpr int pairs = interleaved ? (wide ? n / 2 : 1) : n;
  const long together = blockDim.x / unsigned(lanes), lane = threadIdx.x % unsigned(lanes);
  const long turning = a.half / pairs, units = turning + (a.dim - 2 * a.half) / n;
  for (long row = blockIdx.x * together + threadIdx.x / unsigned(lanes); row < rows; row += gridDim.x * together) {
    const long position = row / a.heads, table = (a.tables == 1 ? position % a.seq : position) * a.half;
    for (long u = lane; u < units; u += lanes) {
      if (u >= turning) {                                // features that do not turn
        const long at = row * a.dim + 2 * a.half + (u - turning) * n;
        if (accumulate || a.y != a.x) put_rotated<accumulate, n>(a.y + at, pack_at<n>(a.x + at, 0));
      } else if constexpr (!interleaved) turn_halves<accumulate, n>(a, row, a.cos + table, a.sin + table, u * n);
      else if constexpr (wide) turn_adjacent<accumulate, n>(a, row, a.cos + table, a.sin + table, u * pairs);
      else {
        const long at = row * a.dim + 2 * u;
        const T c = a.cos[table + u], s = a.turn * a.sin[table + u], x = a.x[at], z = a.x[at + 1];
        put_rotated<accumulate, 1>(a.y + at, pack<T, 1>{x * c - z * s});
        put_rotated<accumulate, 1>(a.y + at + 1, pack<T, 1>{z * c + x * s});
      }
    }
  }
}

template <class T, bool interleaved, bool accumulate> void launch_rotate(const rotation<T>& a, long rows) {
  constexpr int n = int(16 / sizeof(T));
  const auto aligned = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; };
  const bool wide = a.dim % n == 0 && a.half % n == 0 && aligned(a.x) && aligned(a.y) && aligned(a.cos) && aligned(a.sin);
  const long units = wide ? (interleaved ? a.dim / n : a.half / n + (a.dim - 2 * a.half) / n) : a.dim - a.half;
  const int lanes = units > 16 ? 32 : units > 8 ? 16 : units > 4 ? 8 : 4;
  const geometry g{.blocks = at_most(parts_of(rows, long(threads_per_block) / lanes), most_blocks)};
  if (wide) launch("rotate", rotate_rows<T, interleaved, accumulate, n, true>, g, a, rows, lanes);
  else launch("rotate", rotate_rows<T, interleaved, accumulate, 1, false>, g, a, rows, lanes);
}
}  // namespace detail

/// y may be x.
inline void rotate(const rotate_args& a) {
  if (!a.x.count()) return;
  visit_float(a.y.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> x(a.x), cos(a.cos), sin(a.sin);
    const detail::rotation<T> r{a.y.as<T>(), x.p, cos.p, sin.p, a.x.s[2], a.x.s[3], a.rotated / 2, a.x.s[1], a.cos.s[0], a.inverse ? T(-1) : T(1)};
    const long rows = a.x.s.lead(1);
    if (a.interleaved) a.accumulate ? detail::launch_rotate<T, true, true>(r, rows) : detail::launch_rotate<T, true, false>(r, rows);
    else a.accumulate ? detail::launch_rotate<T, false, true>(r, rows) : detail::launch_rotate<T, false, false>(r, rows);
  });
}

}  // namespace shardproof::cuda

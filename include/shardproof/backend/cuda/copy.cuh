#pragma once
/// @file
/// Rows between strides: slices, pads, gathers, concatenations, and their gradients.
///
///     cuda::copy({.dst = y, .src = x, .rows = 4, .width = 5, .dst_row = 9, .dst_at = 2, .src_row = 10, .src_at = 3});
///
/// dst and src may be the same elements, and may not overlap otherwise. Tiling: threads over a matrix (matrix_tile.cuh) of the widest
/// units, 16 bytes at most, at which every row of both begins; rows without gaps are one copy of the runtime's. Bytes moved: both
/// once, dst twice where it is added to, then one FLOP an element.
#include <bit>
#include <shardproof/backend/cuda/map.cuh>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cuda {

namespace detail {
template <class U> struct moved { __device__ void operator()(U& to, const U& from) const { to = from; } };
template <class P> struct added_pack {
  __device__ void operator()(P& to, const P& from) const {
    P sum = to;
    const P x = from;
#pragma unroll
    for (int k = 0; k < int(sizeof(P) / sizeof(P{}.of[0])); ++k) sum.of[k] += x.of[k];
    to = sum;
  }
};
/// move(dst[r, j], src[r, j]) of units of type U; the strides are in units too.
template <class U, class Move> __global__ void copy_kernel(U* dst, const U* src, long rows, long width, long dst_row, long src_row, matrix_tile t, Move move) {
  for (long j = t.first_column(); j < width; j += t.column_stride())
#pragma unroll 1
    for (long r = t.first_row(); r < rows; r += t.row_stride()) move(dst[r * dst_row + j], src[r * src_row + j]);
}
struct byte_rows { char* dst; const char* src; long rows, width, dst_row, src_row; };
template <template <class> class Move, class U> void launch_copy(const byte_rows& a) {
  const long size = long(sizeof(U)), width = a.width / size;
  const matrix_tile t = tile_for(width);
  launch("copy", copy_kernel<U, Move<U>>, over_tiles(t, a.rows, width), reinterpret_cast<U*>(a.dst), reinterpret_cast<const U*>(a.src), a.rows, width,
         a.dst_row / size, a.src_row / size, t, Move<U>{});
}
/// The largest power of two that divides every address of a row's beginning and end.
inline std::size_t unit_of(const byte_rows& a) {
  const auto bits = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p); };
  const std::uintptr_t all = bits(a.dst) | bits(a.src) | std::uintptr_t(a.width | a.dst_row | a.src_row | 16);
  return std::size_t(1) << std::countr_zero(all);
}
inline void move_rows(const byte_rows& a) {
  switch (unit_of(a)) {
    case 16: return launch_copy<moved, unit<16>>(a);
    case 8: return launch_copy<moved, unit<8>>(a);
    case 4: return launch_copy<moved, unit<4>>(a);
    case 2: return launch_copy<moved, unit<2>>(a);
    default: return launch_copy<moved, unit<1>>(a);
  }
}
}  // namespace detail

inline void copy(const copy_args& x) {
  if (x.rows <= 0 || x.width <= 0) return;
  const long size = long(bytes_of(x.dst.type));
  const bool dense = x.rows == 1 || (x.dst_row == x.width && x.src_row == x.width);
  const long rows = dense ? 1 : x.rows, width = dense ? x.rows * x.width : x.width, last = rows == 1 ? 0 : size;
  const detail::byte_rows a{x.dst.as<char>() + x.dst_at * size, x.src.as<const char>() + x.src_at * size, rows, width * size,
                            x.dst_row * last, x.src_row * last};
  if (x.accumulate) {
    visit_float(x.dst.type, [&](auto zero) {
      using T = decltype(zero);
      using P = pack<T, pack_size<T>()>;
      if (detail::unit_of(a) == sizeof(P)) detail::launch_copy<detail::added_pack, P>(a);
      else detail::launch_copy<detail::added_pack, pack<T, 1>>(a);
    });
  } else if (!dense) detail::move_rows(a);
  else if (a.dst != a.src) check(cudaMemcpyAsync(a.dst, a.src, std::size_t(a.width), cudaMemcpyDefault, own_queue().stream), "a copy");
}

}  // namespace shardproof::cuda

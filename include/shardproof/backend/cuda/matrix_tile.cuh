#pragma once
/// @file
/// Threads over a matrix: a block covers a few neighbouring columns of several rows, so that narrow rows leave no thread idle.
///
///     const matrix_tile t = tile_for(columns);                                       // on the host
///     cuda::launch("name", kernel<float>, over_tiles(t, rows, columns), y, rows, columns, t);
///     for (long j = t.first_column(); j < columns; j += t.column_stride())           // in the kernel: no division, and what belongs
///       for (long r = t.first_row(); r < rows; r += t.row_stride()) ...              // to a column is read once
///
/// Neighbouring threads have neighbouring columns, and then neighbouring rows.
#include <shardproof/backend/cuda/launch.cuh>
namespace shardproof::cuda {

/// 2^bits columns of blockDim.x / 2^bits rows.
struct matrix_tile {
  int bits = 0;
  constexpr long width() const { return 1L << bits; }
  constexpr long height(long threads = threads_per_block) const { return threads >> bits; }
  __device__ long column() const { return long(threadIdx.x & ((1u << bits) - 1)); }
  __device__ long row() const { return long(threadIdx.x >> bits); }
  __device__ long first_column() const { return long(blockIdx.x) * width() + column(); }
  __device__ long column_stride() const { return long(gridDim.x) * width(); }
  __device__ long first_row() const { return long(blockIdx.y) * height(long(blockDim.x)) + row(); }
  __device__ long row_stride() const { return long(gridDim.y) * height(long(blockDim.x)); }
};
/// The narrowest that covers so many columns, and 2^most of them at most.
constexpr matrix_tile tile_for(long columns, int most = 8) {
  matrix_tile t;
  while (t.bits < most && t.width() < columns) ++t.bits;
  return t;
}
constexpr geometry over_tiles(const matrix_tile& t, long rows, long columns) {
  geometry g{.blocks = at_most(parts_of(columns, t.width()), most_blocks)};
  if (g.blocks) g.blocks_y = at_most(parts_of(rows, t.height()), most_blocks / g.blocks);
  return g;
}

}  // namespace shardproof::cuda

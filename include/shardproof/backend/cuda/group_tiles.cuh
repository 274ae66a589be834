#pragma once
/// @file
/// Rows in groups whose sizes only the device knows, cut into tiles of which each is one group's.
///
///     const long tiles = most_tiles(rows, groups, 64);                                            // on the host: no fewer
///     for (long t = blockIdx.y; t < tiles; t += gridDim.y) {
///       const group_tile x = tile_of_groups(offsets, groups, rows, 64, t);                        // whole warps call
///
/// Tiles behind the last group's hold the rows of no group. A warp looks at 32 groups at a time, so that finding a tile costs a load and a
/// few shuffles for each 32 groups, and no table has to be made.
#include <cstdint>
#include <shardproof/backend/cuda/launch.cuh>
namespace shardproof::cuda::detail {

/// Tiles that hold all rows, however they are distributed: a group has one that is not full at most, and none is empty. Rows of no
/// group are as many tiles behind them at most.
constexpr long most_tiles(long rows, long groups, long size) {
  const long full = parts_of(rows, size) + groups;
  return full < rows ? full : rows;
}

/// Rows [first, first + count) of `group`; of nobody if that is negative.
struct group_tile { long group, first, count; };

template <class Offset> __device__ group_tile tile_of_groups(const Offset* offsets, long groups, long rows, long size, long t) {
  const int lane = int(threadIdx.x % 32);
  long before = 0;                                       // tiles of the groups that have been looked at
  for (long g0 = 0; g0 < groups; g0 += 32) {
    const long g = g0 + lane < groups ? g0 + lane : groups - 1, begin = long(offsets[g]), end = g0 + lane < groups ? long(offsets[g + 1]) : begin;
    const long own = (end - begin + size - 1) / size;
    long upto = own;
    for (int d = 1; d < 32; d *= 2) {
      const long left = __shfl_sync(~0u, upto, lane < d ? lane : lane - d);
      if (lane >= d) upto += left;
    }
    const unsigned has = __ballot_sync(~0u, t < before + upto);
    if (has) {
      const int owner = __ffs(has) - 1;
      const long within = t - before - __shfl_sync(~0u, upto - own, owner);
      const long first = __shfl_sync(~0u, begin, owner) + within * size, left = __shfl_sync(~0u, end, owner) - first;
      return {g0 + owner, first, left < size ? left : size};
    }
    before += __shfl_sync(~0u, upto, 31);
  }
  const long first = long(offsets[groups]) + (t - before) * size, left = rows - first;
  return {-1, first, left < size ? left : size};
}

}  // namespace shardproof::cuda::detail

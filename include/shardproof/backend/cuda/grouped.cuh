#pragma once
/// @file
/// Rows in groups: which positions belong to which group, and a row of each group's own added to its rows.
///
///     cuda::group_ids({.choice = c, .token = t, .offsets = at, .ids = ids});       // choice[at[g] ... at[g + 1]): where ids are g
///     cuda::grouped_add(y, x, b, at);                      // y[r] = x[r] + b[group of r]
///
/// Tiling: group_ids has a block a group, which counts what lies before it and then places its own in order, so that one launch without
/// atomics sorts; it reads all ids twice for each group, from the caches (8 bytes an id and group). grouped_add: 16 rows of a group and
/// 256 columns a block, every operand once. grouped_sum: a thread a column of a group, whose rows it adds in order; dy once, db twice.
#include <shardproof/backend/cuda/block.cuh>
#include <shardproof/backend/cuda/elementwise.cuh>
#include <shardproof/backend/cuda/group_tiles.cuh>
namespace shardproof::cuda {

namespace detail {
/// How many of the block's threads said yes before this one, and how many in all. All threads call.
struct counted_votes { int before, all; };
__device__ inline counted_votes count_votes(bool yes) {
  __shared__ int of_warp[32];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, votes = __ballot_sync(~0u, yes);
  __syncthreads();                                       // a former call's counts have been read
  if (lane == 0) of_warp[warp] = __popc(votes);
  __syncthreads();
  counted_votes v{__popc(votes & ((1u << lane) - 1)), 0};
  for (unsigned w = 0; w < blockDim.x / 32; ++w) {
    if (w < warp) v.before += of_warp[w];
    v.all += of_warp[w];
  }
  return v;
}

template <class Id> __global__ void __launch_bounds__(1024)
    place_ids(const Id* ids, long n, long first, long groups, long chosen, bool open, Id* choice, Id* token, Id* offsets) {
  for (long g = blockIdx.x; g < groups; g += gridDim.x) {
    const auto mine = [&](long e) { return e == first + g || (open && g == groups - 1 && e > first + g); };
    long before = 0;
    for (long i = threadIdx.x; i < n; i += blockDim.x) before += ids[i] >= first && ids[i] < first + g;
    long at = block_sum(before);
    if (threadIdx.x == 0) offsets[g] = at;
    for (long i0 = 0; i0 < n; i0 += blockDim.x) {
      const long i = i0 + threadIdx.x;
      const bool yes = i < n && mine(long(ids[i]));
      const counted_votes v = count_votes(yes);
      if (yes) choice[at + v.before] = i, token[at + v.before] = i / chosen;
      at += v.all;
    }
    if (g + 1 < groups) continue;
    if (threadIdx.x == 0) offsets[groups] = at;
    for (long i = at + threadIdx.x; i < n; i += blockDim.x) choice[i] = token[i] = -1;
  }
}

/// Of a rank without groups.
template <class Id> __global__ void place_none(long n, Id* choice, Id* token, Id* offsets) {
  for (long i = first_index(); i < n; i += index_stride()) choice[i] = token[i] = -1;
  if (first_index() == 0) offsets[0] = 0;
}

inline constexpr long rows_of_group_tile = 16;
template <class T> __global__ void add_to_groups(T* y, const T* x, const T* b, const std::int64_t* offsets, long rows, long groups, long n, long tiles) {
  for (long t = blockIdx.y; t < tiles; t += gridDim.y) {
    const group_tile to = tile_of_groups(offsets, groups, rows, rows_of_group_tile, t);
    for (long j = first_index(); j < n; j += index_stride()) {
      const T more = to.group < 0 ? T(0) : b[to.group * n + j];
      for (long r = to.first; r < to.first + to.count; ++r) y[r * n + j] = to.group < 0 ? T(0) : x[r * n + j] + more;
    }
  }
}
template <class T> __global__ void sum_of_groups(T* db, const T* dy, const std::int64_t* offsets, long groups, long n) {
  for (long g = blockIdx.y; g < groups; g += gridDim.y)
    for (long j = first_index(); j < n; j += index_stride()) {
      T sum = db[g * n + j];
#pragma unroll 4
      for (long r = long(offsets[g]); r < long(offsets[g + 1]); ++r) sum += dy[r * n + j];
      db[g * n + j] = sum;
    }
}
/// A part of [columns] x [count] blocks.
constexpr geometry over_columns(long n, long count) {
  return {.blocks = at_most(parts_of(n, threads_per_block), most_blocks), .blocks_y = at_most(count, most_blocks_y)};
}
}  // namespace detail

inline void group_ids(const group_args& x) {
  const long n = x.ids.count(), groups = x.offsets.count() - 1;
  auto *const choice = x.choice.as<std::int64_t>(), *const token = x.token.as<std::int64_t>(), *const offsets = x.offsets.as<std::int64_t>();
  if (groups <= 0) return launch("group_ids", detail::place_none<std::int64_t>, over(n ? n : 1), n, choice, token, offsets);
  const geometry g{.blocks = at_most(groups, most_blocks), .threads = threads_for_row(n)};
  launch("group_ids", detail::place_ids<std::int64_t>, g, x.ids.as<const std::int64_t>(), n, x.first, groups, x.chosen, x.open, choice, token, offsets);
}

inline void grouped_add(const view& y, const view& x, const view& b, const view& offsets) {
  const long groups = offsets.count() - 1, n = b.s.tail(b.s.rank - 1), rows = n ? y.count() / n : 0;
  const long tiles = detail::most_tiles(rows, groups, detail::rows_of_group_tile);
  visit_float(y.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> from(x), more(b);
    launch("grouped_add", detail::add_to_groups<T>, detail::over_columns(n, tiles), y.as<T>(), from.p, more.p, offsets.as<const std::int64_t>(), rows, groups, n,
           tiles);
  });
}
inline void grouped_sum(const view& db, const view& dy, const view& offsets) {
  const long groups = offsets.count() - 1, n = db.s.tail(db.s.rank - 1);
  visit_float(db.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> from(dy);
    launch("grouped_sum", detail::sum_of_groups<T>, detail::over_columns(n, groups), db.as<T>(), from.p, offsets.as<const std::int64_t>(), groups, n);
  });
}

}  // namespace shardproof::cuda

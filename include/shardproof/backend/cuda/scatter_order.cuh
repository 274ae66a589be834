#pragma once
/// @file
/// Which rows of dy go to which row of a table, and in which order, found on the device.
///
///     const detail::scatter_order order(ids, {first, held, padding});
///     order.lists                                          // hit[k] = {row of the table, where its list begins, how long it is}
///
/// Where lists lie is as it happens; what is in a list, and in which order, is not.
/// Up to 1024 ids: one block compares all with all in shared memory. More: ids are counted for each row of the table, lists are placed,
/// and filled in any order; a short one (256) is then put in order by counting what is smaller, a longer one is made by a block that
/// goes through all ids. Bytes: about 60 an id, 12 a row of the table; n ids cost 256 n + n^2 / 256 comparisons at most.
#include <shardproof/backend/cuda/launch.cuh>
#include <shardproof/backend/cuda/memory.cuh>
#include <shardproof/runtime/shape.hpp>
namespace shardproof::cuda::detail {

/// Rows [first, first + count) of the global table are here; `padding` counts as one that is not.
struct id_range {
  long first, count, padding;
  __device__ long row_of(std::int64_t id) const { return id < first || id - first >= count || (padding >= 0 && id == padding) ? -1 : id - first; }
};
struct scatter_row { int row, first, count; };
struct scatter_counts {
  unsigned long long both;                               ///< rows that are hit * 2^32 + places of `order` that are taken
  unsigned longs;
  __device__ long rows() const { return long(both >> 32); }
  __device__ long places() const { return long(both & 0xffffffffu); }
};
struct scatter_lists {
  scatter_counts* found;
  scatter_row* hit;
  int* order;                                            ///< rows of dy, list after list
  int *count, *place, *any, *longs;                      ///< by row of the table: how many, where; rows of dy in any order; long ones of `hit`
};
inline constexpr int few_ids = 1024, short_list = 256;

template <class Id> __global__ void __launch_bounds__(1024) order_few(const Id* ids, int n, id_range held, scatter_lists to) {
  __shared__ int row[few_ids], leader[few_ids], before[few_ids], first[few_ids];
  __shared__ unsigned long long both;
  const int step = int(blockDim.x), mine = int(threadIdx.x);
  for (int i = mine; i < n; i += step) row[i] = int(held.row_of(ids[i]));
  if (mine == 0) both = 0;
  __syncthreads();
  for (int i = mine; i < n; i += step) {
    before[i] = 0;
    for (int j = i - 1; j >= 0; --j)
      if (row[j] == row[i]) leader[i] = j, ++before[i];
    if (row[i] < 0 || before[i] > 0) continue;
    int count = 1;
    for (int j = i + 1; j < n; ++j) count += row[j] == row[i];
    const unsigned long long at = atomicAdd(&both, 1ull << 32 | unsigned(count));
    leader[i] = i;
    first[i] = int(at & 0xffffffffu);
    to.hit[at >> 32] = {row[i], first[i], count};
  }
  __syncthreads();
  for (int i = mine; i < n; i += step)
    if (row[i] >= 0) to.order[first[leader[i]] + before[i]] = i;
  if (mine == 0) to.found->both = both;
}

template <class Id> __global__ void count_rows(const Id* ids, long n, id_range held, scatter_lists to) {
  for (long r = first_index(); r < n; r += index_stride())
    if (const long i = held.row_of(ids[r]); i >= 0) atomicAdd(&to.count[i], 1);
}
/// One atomic addition for each warp's rows.
template <class Id> __global__ void place_lists(id_range held, scatter_lists to) {
  const int lane = int(threadIdx.x % 32);
  for (long from = first_index() - lane; from < held.count; from += index_stride()) {
    const long i = from + lane;
    const int n = i < held.count ? to.count[i] : 0;
    const unsigned long long mine = n ? 1ull << 32 | unsigned(n) : 0;
    unsigned long long upto = mine;
    for (int d = 1; d < 32; d *= 2) {
      const unsigned long long left = __shfl_sync(~0u, upto, lane < d ? lane : lane - d);
      if (lane >= d) upto += left;
    }
    unsigned long long start = 0;
    if (lane == 31 && upto) start = atomicAdd(&to.found->both, upto);
    const unsigned long long at = __shfl_sync(~0u, start, 31) + upto - mine;
    if (!n) continue;
    const int first = int(at & 0xffffffffu), k = int(at >> 32);
    to.hit[k] = {int(i), first, n};
    to.place[i] = first;
    if (n > short_list) to.longs[atomicAdd(&to.found->longs, 1u)] = k;
  }
}
/// Leaves place[i] behind row i's list.
template <class Id> __global__ void fill_lists(const Id* ids, long n, id_range held, scatter_lists to) {
  for (long r = first_index(); r < n; r += index_stride())
    if (const long i = held.row_of(ids[r]); i >= 0) to.any[atomicAdd(&to.place[i], 1)] = int(r);
}
template <class Id> __global__ void order_short(const Id* ids, id_range held, scatter_lists to) {
  const long places = to.found->places();
  for (long p = first_index(); p < places; p += index_stride()) {
    const int r = to.any[p];
    const long i = held.row_of(ids[r]);
    const int n = to.count[i], first = to.place[i] - n;
    if (n > short_list) continue;
    int smaller = 0;
    for (int k = 0; k < n; ++k) smaller += to.any[first + k] < r;
    to.order[first + smaller] = r;
  }
}
template <class Id> __global__ void __launch_bounds__(1024) order_long(const Id* ids, long n, id_range held, scatter_lists to) {
  __shared__ int of_warp[32];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  for (long k = blockIdx.x; k < long(to.found->longs); k += gridDim.x) {
    const scatter_row list = to.hit[to.longs[k]];
    int* at = to.order + list.first;
    for (long from = 0; from < n; from += blockDim.x) {
      const long r = from + threadIdx.x;
      const bool mine = r < n && held.row_of(ids[r]) == list.row;
      const unsigned of_lanes = __ballot_sync(~0u, mine);
      if (lane == 0) of_warp[warp] = __popc(of_lanes);
      __syncthreads();
      int before = __popc(of_lanes & ((1u << lane) - 1)), all = 0;
      for (unsigned w = 0; w < warps; ++w) {
        if (w < warp) before += of_warp[w];
        all += of_warp[w];
      }
      if (mine) at[before] = int(r);
      at += all;
      __syncthreads();                                   // the counts have been read
    }
  }
}

/// Lists of device memory for the length of a scope.
class scatter_order {
  std::size_t bytes_ = 0;
  void* p_ = nullptr;

 public:
  scatter_lists lists{};
  long most_hit = 0;                                     ///< no more rows of the table are hit

  scatter_order(const view& ids, const id_range& held) {
    const long n = ids.count(), table = n > few_ids ? held.count : 0;
    if (n > 0x7fffffff || held.count > 0x7fffffff)
      throw error(code::usage, "scatter_rows counts in 32 bits, and there are " + std::to_string(n) + " ids of " + std::to_string(held.count) + " rows.",
                  "use smaller batches, or more ranks.");
    most_hit = n < held.count ? n : held.count;
    // the counts, which are cleared, first
    const long ints = 4 + 2 * table + 3 * most_hit + (n > few_ids ? 2 * n + n / short_list : n);
    bytes_ = std::size_t(ints) * sizeof(int);
    p_ = take(bytes_);
    lists.found = static_cast<scatter_counts*>(p_);
    int* next = static_cast<int*>(p_) + 4;
    const auto cut = [&next](long count) { return std::exchange(next, next + count); };
    lists.count = cut(table);
    lists.place = cut(table);
    lists.hit = reinterpret_cast<scatter_row*>(cut(3 * most_hit));
    lists.order = cut(n);
    if (n > few_ids) lists.any = cut(n), lists.longs = cut(n / short_list);
    find(ids.as<const std::int64_t>(), n, held);
  }
  scatter_order(const scatter_order&) = delete;
  scatter_order& operator=(const scatter_order&) = delete;
  ~scatter_order() { give(p_, bytes_); }

 private:
  template <class Id> void find(const Id* ids, long n, const id_range& held) const {
    if (n <= few_ids) {
      const geometry one{.blocks = 1, .threads = 32 * unsigned(parts_of(n, 32))};
      return launch("scatter_rows", order_few<Id>, one, ids, n, held, lists);
    }
    check(cudaMemsetAsync(p_, 0, (4 + std::size_t(held.count)) * sizeof(int), own_queue().stream), "a clear");
    launch("scatter_rows", count_rows<Id>, over(n), ids, n, held, lists);
    launch("scatter_rows", place_lists<Id>, over(held.count), held, lists);
    launch("scatter_rows", fill_lists<Id>, over(n), ids, n, held, lists);
    launch("scatter_rows", order_short<Id>, over(n), ids, held, lists);
    const geometry long_lists{.blocks = at_most(n / short_list, most_blocks), .threads = 1024};
    launch("scatter_rows", order_long<Id>, long_lists, ids, n, held, lists);
  }
};

}  // namespace shardproof::cuda::detail

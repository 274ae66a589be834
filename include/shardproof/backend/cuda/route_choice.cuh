#pragma once
/// @file
/// What a warp does for one row of a router's logits: scores, and the best that is left.
///
///     const router_scores<float> score(row, n, how);             // every lane
///     score(row[j])                                              // of expert j, in double
///     const long best = take_best(by, taken, n);                 // every lane gets it; -1 where all is taken
///
/// Ties and NaN as on the CPU: of equals the first is best, and a NaN only where it is the first that is left.
#include <cmath>
#include <limits>
#include <shardproof/backend/cuda/rows.cuh>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cuda::detail {

__device__ inline int warp_lane() { return int(threadIdx.x % 32); }

/// From a row's logits, which one warp reads twice: for the largest and for the sum of the softmax.
template <class T> class router_scores {
  bool sigmoid_;
  double top_ = 0, sum_ = 1;

 public:
  __device__ router_scores(const T* row, long n, const router_rule& how) : sigmoid_(how.score == router_score::sigmoid) {
    if (sigmoid_) return;
    top_ = -std::numeric_limits<double>::infinity();
    for (long j = warp_lane(); j < n; j += 32) top_ = greater_number{}(top_, double(row[j]));
    top_ = warp_reduce(top_, greater_number{});
    sum_ = 0;
    for (long j = warp_lane(); j < n; j += 32) sum_ += std::exp(double(row[j]) - top_);
    sum_ = warp_sum(sum_);                                     // a NaN among the logits makes all scores NaN
  }
  __device__ double operator()(T logit) const { return sigmoid_ ? 1 / (1 + std::exp(-double(logit))) : std::exp(double(logit) - top_) / sum_; }
};

/// The best one that is left; it is struck out. The arrays are shared memory that the whole warp has written.
__device__ inline long take_best(const double* by, unsigned char* taken, long n) {
  double best = -std::numeric_limits<double>::infinity();
  long at = n, first = n;
  for (long j = warp_lane(); j < n; j += 32) {
    if (taken[j]) continue;
    if (first == n) first = j;
    if (by[j] > best || (by[j] == best && at == n)) best = by[j], at = j;
  }
  first = warp_reduce(first, smaller_number{});
  const double top = warp_reduce(best, greater_number{});
  at = warp_reduce(best == top ? at : n, smaller_number{});
  const long chosen = first == n ? -1 : by[first] != by[first] ? first : at;
  __syncwarp();                                                // all lanes have read
  if (warp_lane() == 0 && chosen >= 0) taken[chosen] = 1;
  __syncwarp();
  return chosen;
}

/// Strikes out the experts of all but the best groups. A lane finds the worth of a group.
__device__ inline void keep_groups(const double* by, unsigned char* taken, double* worth, unsigned char* kept, long n, const router_rule& r) {
  if (r.groups < 2 || r.kept_groups >= r.groups) return;
  const long size = n / r.groups;
  for (long g = warp_lane(); g < r.groups; g += 32) {
    double first = -std::numeric_limits<double>::infinity(), second = first;
    for (long j = g * size; j < (g + 1) * size; ++j) {
      if (by[j] > first) second = first, first = by[j];
      else if (by[j] > second) second = by[j];
    }
    worth[g] = r.group_by_two && size > 1 ? first + second : first;
    kept[g] = 0;
  }
  __syncwarp();
  for (long i = 0; i < r.kept_groups; ++i) take_best(worth, kept, r.groups);
  for (long j = warp_lane(); j < n; j += 32) taken[j] = j >= r.groups * size || !kept[j / size];
  __syncwarp();
}

}  // namespace shardproof::cuda::detail

#pragma once
/// @file
/// The choice of experts for each row of a router's logits, and its gradient. Arithmetic of a row is in double.
///
///     cuda::route(a);                        // a.ids[r, i] = the i-th best expert, a.weights[r, i] = its weight
///     cuda::route_backward(a);               // a.dlogits += what a.dweights asks for; the choice itself has no gradient
///
/// Shazeer et al., arXiv 1701.06538; groups: arXiv 2412.19437. Tiling: a warp a row; what experts are compared by lies in shared memory, in
/// the device's where that is too small (25 thousand experts). Bytes: the logits three times, all but once from the cache, and the
/// result; backward the logits thrice and dlogits twice. FLOP an expert: two exp, and a comparison for each choice.
#include <shardproof/backend/cuda/dynamic_shared.cuh>
#include <shardproof/backend/cuda/route_choice.cuh>
namespace shardproof::cuda {

namespace detail {
/// A warp's room: what n experts and the groups are compared by, and which of them are out.
struct route_room {
  double *by, *worth;
  unsigned char *taken, *kept;
  __device__ route_room(unsigned char* p, long n, long groups) {
    by = reinterpret_cast<double*>(p);
    worth = by + n;
    taken = reinterpret_cast<unsigned char*>(worth + groups);
    kept = taken + n;
  }
};
/// How many warps a block has, and where their rooms are: in shared memory unless `outside` says how many bytes all of them take.
struct route_plan {
  static constexpr std::size_t most_shared = 227 * 1024;
  std::size_t room = 0, outside = 0;                     ///< bytes of a warp, and of all in the device's memory
  geometry g;
  constexpr route_plan(long rows, long n, long groups) : room(std::size_t(parts_of(9 * (n + groups), 16)) * 16) {
    const bool fits = room <= most_shared;
    const unsigned warps = unsigned(room * 4 <= plain_shared_bytes ? 4 : room < plain_shared_bytes ? plain_shared_bytes / room : 1);
    g = {.blocks = at_most(parts_of(rows, warps), fits ? most_blocks : 132u), .threads = 32 * warps};
    (fits ? g.shared_bytes : outside) = (fits ? warps : g.blocks * warps) * room;
  }
};
/// Which row a warp has first, and how far its next one is.
__device__ inline long first_warp() { return first_index() / 32; }
__device__ inline long warp_stride() { return index_stride() / 32; }

template <class T>
__global__ void route_rows(T* weights, std::int64_t* ids, const T* logits, const T* bias, long rows, long n, router_rule how, std::size_t bytes,
                           unsigned char* outside) {
  const long k = how.chosen;
  unsigned char* const mine = outside ? outside + std::size_t(first_warp()) * bytes : dynamic_shared<unsigned char>() + threadIdx.x / 32 * bytes;
  const route_room room(mine, n, how.groups);
  for (long r = first_warp(); r < rows; r += warp_stride()) {
    const T* const row = logits + r * n;
    const router_scores<T> score(row, n, how);
    for (long j = warp_lane(); j < n; j += 32) {
      room.by[j] = (how.by_logit ? double(row[j]) : score(row[j])) + (bias ? double(bias[j]) : 0);
      room.taken[j] = 0;
    }
    __syncwarp();
    keep_groups(room.by, room.taken, room.worth, room.kept, n, how);
    for (long i = 0; i < k; ++i) {
      const long best = take_best(room.by, room.taken, n);
      if (warp_lane() == 0) ids[r * k + i] = best < 0 ? 0 : best;
    }
    __syncwarp();                                        // the ids are written
    double sum = 0;
    for (long i = warp_lane(); i < k; i += 32) sum += score(row[ids[r * k + i]]);
    sum = warp_sum(sum);
    const double factor = how.scale / (how.renormalised ? sum + how.sum_eps : 1);
    for (long i = warp_lane(); i < k; i += 32) weights[r * k + i] = T(factor * score(row[ids[r * k + i]]));
  }
}

/// A score has a slope where its expert was chosen.
template <class T>
__global__ void route_rows_backward(T* dlogits, const T* dweights, const std::int64_t* ids, const T* logits, long rows, long n, router_rule how) {
  const long k = how.chosen;
  for (long r = first_warp(); r < rows; r += warp_stride()) {
    const T* const row = logits + r * n;
    const std::int64_t* const id = ids + r * k;
    const T* const dw = dweights + r * k;
    const router_scores<T> score(row, n, how);
    double sum = 0, along = 0;                           // of the chosen scores, and of dw times them
    for (long i = warp_lane(); i < k; i += 32) {
      const double s = score(row[id[i]]);
      sum += s;
      along += double(dw[i]) * s;
    }
    sum = warp_sum(sum);
    along = warp_sum(along);
    const double whole = how.renormalised ? sum + how.sum_eps : 1, common = how.renormalised ? along / whole : 0;
    const auto slope = [&](long i) { return how.scale / whole * (double(dw[i]) - common); };
    double mean = 0;
    if (how.score == router_score::softmax) {
      for (long i = warp_lane(); i < k; i += 32) mean += slope(i) * score(row[id[i]]);
      mean = warp_sum(mean);
    }
    for (long j = warp_lane(); j < n; j += 32) {
      double own = 0;
      for (long i = 0; i < k; ++i)
        if (id[i] == j) own += slope(i);
      const double s = score(row[j]);
      dlogits[r * n + j] += T(how.score == router_score::softmax ? s * (own - mean) : s * (1 - s) * own);
    }
  }
}
}  // namespace detail

inline void route(const route_args& a) {
  const long n = a.logits.s[-1], rows = n ? a.logits.count() / n : 0;
  if (rows == 0) return;
  const detail::route_plan plan(rows, n, a.how.groups);
  visit_float(a.weights.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> logits(a.logits), bias(a.bias);
    const scratch<unsigned char> outside(long(plan.outside));
    launch("route", detail::route_rows<T>, plan.g, a.weights.as<T>(), a.ids.as<std::int64_t>(), logits.p, bias.p, rows, n, a.how, plan.room, outside.p);
  });
}

inline void route_backward(const route_args& a) {
  const long n = a.logits.s[-1], rows = n ? a.logits.count() / n : 0;
  visit_float(a.dlogits.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> logits(a.logits), dweights(a.dweights);
    const geometry g{.blocks = at_most(parts_of(rows, 4), most_blocks), .threads = 128};
    launch("route_backward", detail::route_rows_backward<T>, g, a.dlogits.as<T>(), dweights.p, a.ids.as<const std::int64_t>(), logits.p, rows, n, a.how);
  });
}

}  // namespace shardproof::cuda

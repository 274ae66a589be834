#pragma once
/// @file
/// Softmax cross-entropy in steps: what a rank that holds some columns of the logits contributes.
///
///     cuda::row_max(top, logits);                           // then all-reduce(max)
///     cuda::row_exp_sum(sum, hit, logits, top, labels, first);    // then all-reduce(sum)
///     cuda::loss_sum(total, sum, hit, labels); cuda::loss_mean(loss, factor, total, 1, 0);
///
/// Vocab-parallel: Shoeybi et al., arXiv 1909.08053. Tiling: a block a row, four packs of 16 bytes a thread on their way at a time (single
/// elements where the row's length is no multiple of a pack); loss_sum is one block's, so that its order is fixed.
/// Bytes: logits once in each step, dlogits twice. FLOP an element: 1, 2 and an exp, 3 and an exp; sums are made in double.
#include <cmath>
#include <limits>
#include <shardproof/backend/cuda/rows.cuh>
namespace shardproof::cuda {

namespace detail {
/// f(j, v) for this thread's packs of the block's row, whose length is a multiple of N.
template <int N, class T, class F> __device__ void each_in_row(const T* row, long n, F f) {
  const bool wide = are_wide<N>(n, row);
#pragma unroll 4
  for (long j = long(threadIdx.x) * N; j < n; j += long(blockDim.x) * N) {
    T v[N];
    load_pack(v, row + j, N, wide);
    f(j, v);
  }
}
/// f(pack's size) for rows of n elements.
template <class T, class F> void with_pack(long n, F f) {
  if (n % pack_size<T>() == 0) f(std::integral_constant<int, pack_size<T>()>{});
  else f(std::integral_constant<int, 1>{});
}

template <class T, int N> __global__ void __launch_bounds__(1024) max_of_rows(T* top, const T* logits, long rows, long n) {
  constexpr T none = -std::numeric_limits<T>::infinity();
  for (long r = blockIdx.x; r < rows; r += gridDim.x) {
    T best = none;
    each_in_row<N>(logits + r * n, n, [&](long, const T (&v)[N]) {
#pragma unroll
      for (int i = 0; i < N; ++i) best = greater_number{}(best, v[i]);
    });
    best = block_reduce(best, greater_number{}, none);
    if (threadIdx.x == 0) top[r] = best;
  }
}

/// A pack's terms are summed in T, packs in double.
template <class T, int N>
__global__ void __launch_bounds__(1024)
exp_sum_of_rows(T* sum, T* hit, const T* logits, const T* top, const std::int64_t* labels, long rows, long n, long first) {
  for (long r = blockIdx.x; r < rows; r += gridDim.x) {
    const T highest = top[r];
    double s = 0;
    each_in_row<N>(logits + r * n, n, [&](long, const T (&v)[N]) {
      T few = 0;
#pragma unroll
      for (int i = 0; i < N; ++i) few += std::exp(v[i] - highest);
      s += double(few);
    });
    s = block_sum(s);
    if (threadIdx.x != 0) continue;
    const long j = labels[r] < first ? -1 : labels[r] - first;
    sum[r] = T(s);
    hit[r] = labels[r] >= 0 && j >= 0 && j < n ? logits[r * n + j] - highest : T(0);
  }
}

template <class T> __global__ void __launch_bounds__(1024) sum_of_losses(double* total, const T* sum, const T* hit, const std::int64_t* labels, long rows) {
  double loss = 0, counted = 0;
  for (long r = threadIdx.x; r < rows; r += blockDim.x)
    if (labels[r] >= 0) {
      loss += std::log(double(sum[r])) - double(hit[r]);
      ++counted;
    }
  loss = block_sum(loss);
  counted = block_sum(counted);
  if (threadIdx.x == 0) total[0] = loss, total[1] = counted;
}
template <class T> __global__ void mean_of_losses(T* loss, double* factor, const double* total, double scale, double tokens) {
  const double n = tokens > 0 ? tokens : total[1], by = n > 0 ? scale / n : 0;
  factor[0] = by;
  loss[0] = T(total[0] * by);
}

template <class T, int N>
__global__ void __launch_bounds__(1024)
slopes_of_rows(T* dlogits, const T* logits, const T* top, const T* sum, const std::int64_t* labels, long rows, long n, long first, const double* factor,
               const T* dloss) {
  const double scale = double(dloss[0]) * factor[0];
  for (long r = blockIdx.x; r < rows; r += gridDim.x) {
    if (labels[r] < 0) continue;
    const T highest = top[r], by = T(scale / double(sum[r]));
    const long label = labels[r] < first ? -1 : labels[r] - first;
    T* const to = dlogits + r * n;
    const bool wide = are_wide<N>(n, to);
    each_in_row<N>(logits + r * n, n, [&](long j, const T (&v)[N]) {
      T out[N];
      load_pack(out, static_cast<const T*>(to) + j, N, wide);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        out[i] += by * std::exp(v[i] - highest);
        if (j + i == label) out[i] -= T(scale);
      }
      store_pack(to + j, out, N, wide);
    });
  }
}

/// Of equals the first; n where nothing is equal to the maximum, since all is NaN.
template <class T, int N> __global__ void __launch_bounds__(1024) argmax_of_rows(std::int64_t* index, T* value, const T* x, long rows, long n, long first) {
  constexpr T none = -std::numeric_limits<T>::infinity();
  for (long r = blockIdx.x; r < rows; r += gridDim.x) {
    T best = none;
    long at = n;
    each_in_row<N>(x + r * n, n, [&](long j, const T (&v)[N]) {
#pragma unroll
      for (int i = 0; i < N; ++i)
        if (v[i] > best || (v[i] == best && at == n)) best = v[i], at = j + i;
    });
    const T top = block_reduce(best, greater_number{}, none);
    at = block_reduce(best == top ? at : n, smaller_number{}, n);
    if (threadIdx.x == 0) value[r] = top, index[r] = first + (at < n ? at : 0);
  }
}

struct row_shape { long rows, n; };
/// [..., n] as rows of n; `like` has one element a row, for tensors whose rows are empty.
inline row_shape rows_of(const view& x, const view& like) { return {like.count(), x.s.rank ? x.s[-1] : 0}; }
}  // namespace detail

inline void row_max(const view& top, const view& logits) {
  const auto [rows, n] = detail::rows_of(logits, top);
  visit_float(top.type, [&, rows = rows, n = n](auto zero) {
    using T = decltype(zero);
    const converted<T> x(logits);
    detail::with_pack<T>(n, [&](auto size) { launch("row_max", detail::max_of_rows<T, size()>, cuda::rows(rows, n), top.as<T>(), x.p, rows, n); });
  });
}

inline void row_exp_sum(const view& sum, const view& hit, const view& logits, const view& top, const view& labels, long first) {
  const auto [rows, n] = detail::rows_of(logits, top);
  visit_float(sum.type, [&, rows = rows, n = n](auto zero) {
    using T = decltype(zero);
    const converted<T> x(logits), largest(top);
    detail::with_pack<T>(n, [&](auto size) {
      launch("row_exp_sum", detail::exp_sum_of_rows<T, size()>, cuda::rows(rows, n), sum.as<T>(), hit.as<T>(), x.p, largest.p,
             labels.as<const std::int64_t>(), rows, n, first);
    });
  });
}

inline void loss_sum(const view& total, const view& sum, const view& hit, const view& labels) {
  const long rows = labels.count();
  const geometry one{.blocks = 1, .threads = threads_for_row(4 * rows)};
  visit_float(sum.type, [&](auto zero) {
    using T = decltype(zero);
    launch("loss_sum", detail::sum_of_losses<T>, one, total.as<double>(), sum.as<const T>(), hit.as<const T>(), labels.as<const std::int64_t>(), rows);
  });
}
inline void loss_mean(const view& loss, const view& factor, const view& total, double scale, double tokens) {
  const geometry one{.blocks = 1, .threads = 1};
  visit_float(loss.type, [&](auto zero) {
    using T = decltype(zero);
    launch("loss_mean", detail::mean_of_losses<T>, one, loss.as<T>(), factor.as<double>(), total.as<const double>(), scale, tokens);
  });
}

inline void cross_entropy_backward(const view& dlogits, const view& logits, const view& top, const view& sum, const view& labels, long first,
                                   const view& factor, const view& dloss) {
  const auto [rows, n] = detail::rows_of(logits, top);
  visit_float(dlogits.type, [&, rows = rows, n = n](auto zero) {
    using T = decltype(zero);
    const converted<T> x(logits), largest(top), sums(sum);
    detail::with_pack<T>(n, [&](auto size) {
      launch("cross_entropy_backward", detail::slopes_of_rows<T, size()>, cuda::rows(n ? rows : 0, n), dlogits.as<T>(), x.p, largest.p, sums.p,
             labels.as<const std::int64_t>(), rows, n, first, factor.as<const double>(), dloss.as<const T>());
    });
  });
}

/// An empty row, and one of nothing but NaN, yields index `first` and value -infinity.
inline void row_argmax(const view& index, const view& value, const view& x, long first) {
  const auto [rows, n] = detail::rows_of(x, value);
  visit_float(value.type, [&, rows = rows, n = n](auto zero) {
    using T = decltype(zero);
    const converted<T> from(x);
    detail::with_pack<T>(n, [&](auto size) {
      launch("row_argmax", detail::argmax_of_rows<T, size()>, cuda::rows(rows, n), index.as<std::int64_t>(), value.as<T>(), from.p, rows, n, first);
    });
  });
}

}  // namespace shardproof::cuda

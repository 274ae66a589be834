#pragma once
/// @file
/// The optimizer's step and the norm of a gradient.
///
///     cuda::adamw({.weight = w, .gradient = g, .first = m, .second = v, .schedule = s, ...});
///     cuda::sum_of_squares(into, g, 1.0);                  // into[0] += the sum of g^2, in double
///
/// Loshchilov & Hutter, arXiv 1711.05101. Tiling: a thread moves packs of 16 bytes; sum_of_squares has a part of the array for each block,
/// as many as the array's length says, and adds the parts by a block of its own, so that its order is fixed.
/// Bytes of adamw in f32: 28 an element, and 2 for a stored copy; of sum_of_squares: x once. FLOP an element: 16 and 2.
#include <cmath>
#include <shardproof/backend/cuda/rows.cuh>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cuda {

namespace detail {
/// The numbers of a step, and where in the device's memory those lie that differ from step to step.
struct step_numbers {
  double beta1, beta2, eps, decay;
  const double *schedule, *gradient_scale;               ///< rate, correction1 and correction2; of the gradient, or null
};
template <class T> struct adamw_update {
  T keep1, take1, keep2, take2, eps, scale, shrink, step, spread;
  __device__ explicit adamw_update(const step_numbers& s) {
    const double rate = s.schedule[0], correction1 = s.schedule[1], correction2 = s.schedule[2];
    keep1 = T(s.beta1), take1 = T(1 - s.beta1), keep2 = T(s.beta2), take2 = T(1 - s.beta2), eps = T(s.eps);
    scale = s.gradient_scale ? T(s.gradient_scale[0]) : T(1);
    shrink = T(1 - rate * s.decay), step = T(rate / correction1), spread = T(1 / std::sqrt(correction2));
  }
  /// w -= rate decay w; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w -= rate (m / correction1) / (sqrt(v / correction2) + eps).
  __device__ void operator()(T& weight, T& first, T& second, T raw) const {
    const T g = raw * scale;
    first = keep1 * first + take1 * g;
    second = keep2 * second + take2 * g * g;
    weight = weight * shrink - step * first / (std::sqrt(second) * spread + eps);
  }
};

template <class T, class S> __global__ void adamw_step(T* weight, const T* gradient, T* first, T* second, S* stored, long n, step_numbers numbers) {
  constexpr int N = pack_size<T>();
  const adamw_update<T> update(numbers);
  const bool aligned = are_wide<N>(0, weight, gradient, first, second) && are_wide<N>(0, stored);
  for (long j = first_index() * N; j < n; j += index_stride() * N) {
    const bool wide = aligned && j + N <= n;
    T w[N], m[N], v[N], g[N];
    load_pack(w, static_cast<const T*>(weight) + j, n - j, wide);
    load_pack(m, static_cast<const T*>(first) + j, n - j, wide);
    load_pack(v, static_cast<const T*>(second) + j, n - j, wide);
    load_pack(g, gradient + j, n - j, wide);
#pragma unroll
    for (int i = 0; i < N; ++i) update(w[i], m[i], v[i], g[i]);
    store_pack(weight + j, w, n - j, wide);
    store_pack(first + j, m, n - j, wide);
    store_pack(second + j, v, n - j, wide);
    if (!stored) continue;
    S rounded[N];
#pragma unroll
    for (int i = 0; i < N; ++i) store(rounded, i, w[i]);
    store_pack(stored + j, rounded, n - j, wide);
  }
}

/// A block's part of the sum to to[block], or `by` times it added to to[0] where it is all.
template <class X> __global__ void squares_of_part(double* to, const X* x, long n, double by) {
  constexpr int N = pack_size<X>();
  const bool aligned = are_wide<N>(0, x);
  double sum = 0;
#pragma unroll 4
  for (long j = first_index() * N; j < n; j += index_stride() * N) {
    double v[N];
    load_pack(v, x + j, n - j, aligned && j + N <= n);
#pragma unroll
    for (int i = 0; i < N; ++i) sum += v[i] * v[i];
  }
  sum = block_sum(sum);
  if (threadIdx.x != 0) return;
  if (gridDim.x == 1) to[0] += by * sum;
  else to[blockIdx.x] = sum;
}
template <class C> __global__ void add_parts(C* into, const C* parts, long n, double by) {
  C sum = 0;
  for (long i = threadIdx.x; i < n; i += blockDim.x) sum += parts[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) into[0] += by * sum;
}
template <class C> __global__ void clip_numbers(C* norm, C* factor, const C* squares, double limit) {
  const C n = std::sqrt(squares[0] + squares[1]);
  norm[0] = n;
  factor[0] = limit > 0 && n > limit ? limit / (n + 1e-6) : 1;
}
}  // namespace detail

/// In double whatever the type: squares of f32 gradients neither overflow nor vanish.
inline void sum_of_squares(const view& into, const view& x, double by) {
  const long n = x.count();
  visit_real(x.type, [&](auto zero) {
    using X = decltype(zero);
    const geometry g{.blocks = at_most(parts_of(n, 16L * threads_per_block * pack_size<X>()), 132 * 8)};
    if (g.blocks <= 1) return launch("sum_of_squares", detail::squares_of_part<X>, g, into.as<double>(), x.as<const X>(), n, by);
    const scratch<double> parts(g.blocks);
    launch("sum_of_squares", detail::squares_of_part<X>, g, parts.p, x.as<const X>(), n, by);
    const geometry one{.blocks = 1};
    launch("sum_of_squares", detail::add_parts<double>, one, into.as<double>(), parts.p, long(g.blocks), by);
  });
}
/// As torch.nn.utils.clip_grad_norm_.
inline void clip_factor(const view& norm, const view& factor, const view& squares, double limit) {
  const geometry one{.blocks = 1, .threads = 1};
  launch("clip_factor", detail::clip_numbers<double>, one, norm.as<double>(), factor.as<double>(), squares.as<const double>(), limit);
}

inline void adamw(const adamw_args& a) {
  const long n = a.weight.count();
  const detail::step_numbers numbers{a.beta1, a.beta2, a.eps, a.decay, a.schedule.as<const double>(), a.gradient_scale.as<const double>()};
  visit_float(a.weight.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> gradient(a.gradient);
    const auto run = [&]<class S>(S* stored) {
      launch("adamw", detail::adamw_step<T, S>, over(parts_of(n, pack_size<T>())), a.weight.as<T>(), gradient.p, a.first.as<T>(), a.second.as<T>(), stored, n,
             numbers);
    };
    a.stored.type == dtype::f16 ? run(a.stored.as<f16>()) : run(a.stored.as<bf16>());
  });
}

}  // namespace shardproof::cuda

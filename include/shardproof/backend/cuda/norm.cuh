#pragma once
/// @file
/// RMS and layer norm over the last dimension: a row is held in registers where it fits, and read once.
///
///     cuda::rms_norm(y, x, w, 1e-5, 0);                    // y = x * rsqrt(mean(x^2) + eps) * w
///     cuda::layer_norm(y, x, w, b, 1e-5);                  // w and b of any floating type, or null
///
/// Zhang & Sennrich, arXiv 1910.07467; Ba, Kiros & Hinton, arXiv 1607.06450. Statistics are summed in double, the rest is arithmetic of
/// the tensor's type. Tiling: norm_rows.cuh, blocks of up to 1024 threads (16384 elements in f32 are held).
/// Bytes: x and y once (x twice or thrice where it is not held, mostly from the cache). FLOP: 4 an element, 7 for layer_norm.
#include <shardproof/backend/cuda/norm_backward.cuh>
namespace shardproof::cuda {

namespace detail {
template <class T, class W, bool Whole, bool Held>
__global__ void __launch_bounds__(1024) rms_rows(T* y, const T* x, const W* w, long rows, long n, double eps, T offset) {
  constexpr int N = pack_size<T>();
  const bool wide = are_wide<N>(n, y, x) && are_wide<N>(n, w);
  for (long r = row_team<Whole>::first(); r < rows; r += row_team<Whole>::stride()) {
    row_packs<T, Whole, Held> in(x + r * n, n, wide);
    const T scale = T(in.inverse_rms(eps));
    each_pack<T, Whole, Held>(n, [&](int k, long j) {
      const auto& v = in.at(k, j);
      T out[N], gain[N];
      load_gains(gain, w, j, n, wide, offset, T(1));
#pragma unroll
      for (int i = 0; i < N; ++i) out[i] = v[i] * scale * gain[i];
      store_pack(y + r * n + j, out, n - j, wide);
    });
  }
}

template <class T, class W, bool Whole, bool Held>
__global__ void __launch_bounds__(1024) standard_rows(T* y, const T* x, const W* w, const W* b, long rows, long n, double eps) {
  constexpr int N = pack_size<T>();
  const bool wide = are_wide<N>(n, y, x) && are_wide<N>(n, w, b);
  for (long r = row_team<Whole>::first(); r < rows; r += row_team<Whole>::stride()) {
    row_packs<T, Whole, Held> in(x + r * n, n, wide);
    const standard_form<T> form(in, n, eps);
    each_pack<T, Whole, Held>(n, [&](int k, long j) {
      const auto& v = in.at(k, j);
      T out[N], gain[N], bias[N];
      load_gains(gain, w, j, n, wide, T(0), T(1));
      load_gains(bias, b, j, n, wide, T(0), T(0));
#pragma unroll
      for (int i = 0; i < N; ++i) out[i] = form(v[i]) * gain[i] + bias[i];
      store_pack(y + r * n + j, out, n - j, wide);
    });
  }
}
}  // namespace detail

inline void rms_norm(const view& y, const view& x, const view& w, double eps, double offset) {
  detail::with_norm_job(y.type, x, w, {}, 1024, [&]<class T, class W, bool Whole, bool Held>(const detail::norm_job<T, W, Whole, Held>& a) {
    launch("rms_norm", detail::rms_rows<T, W, Whole, Held>, a.over(), y.as<T>(), a.x, a.w, a.rows, a.n, eps, T(offset));
  });
}

inline void layer_norm(const view& y, const view& x, const view& w, const view& b, double eps) {
  detail::with_norm_job(y.type, x, w, b, 1024, [&]<class T, class W, bool Whole, bool Held>(const detail::norm_job<T, W, Whole, Held>& a) {
    launch("layer_norm", detail::standard_rows<T, W, Whole, Held>, a.over(), y.as<T>(), a.x, a.w, a.b, a.rows, a.n, eps);
  });
}

}  // namespace shardproof::cuda

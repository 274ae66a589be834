#pragma once
/// @file
/// The gradients of norms: dx is added row by row; the weights' are kept by each team for its rows, and added up in the end.
///
///     cuda::rms_norm_backward(dx, dw, dy, x, w, 1e-5, 0);  // dx and dw may be null
///
/// Tiling: norm_rows.cuh, blocks of up to 512 threads (8192 elements in f32 are held), as many as run at a time. A team's sums stay in
/// registers and are written once, 5 MB for all in f32 (in memory where rows are not held); columns.cuh adds them.
/// Bytes: x and dy once, dx twice. FLOP: 10 an element, 14 for layer_norm.
#include <shardproof/backend/cuda/norm_rows.cuh>
namespace shardproof::cuda {

namespace detail {
/// This team's part of a weight's gradient, its row of `parts` in the end. No parts: not wanted.
template <class T, bool Whole, bool Held> class team_sums {
  static constexpr int N = pack_size<T>();
  T* part_;
  long n_;
  bool wide_;
  T v_[Held ? held_packs : 1][N] = {};

 public:
  __device__ team_sums(T* parts, long n) : part_(parts ? parts + row_team<Whole>::first() * n : nullptr), n_(n), wide_(are_wide<N>(n, parts)) {
    if (!Held) write();
  }
  /// Adds what f(k, j, term) puts into `term`.
  template <class F> __device__ void add(F f) {
    if (!part_) return;
    each_pack<T, Whole, Held>(n_, [&](int k, long j) {
      T term[N];
      f(k, j, term);
      if constexpr (!Held) load_pack(v_[0], static_cast<const T*>(part_) + j, n_ - j, wide_);
#pragma unroll
      for (int i = 0; i < N; ++i) v_[k][i] += term[i];
      if constexpr (!Held) store_pack(part_ + j, v_[0], n_ - j, wide_);
    });
  }
  __device__ void write() {
    if (part_) each_pack<T, Whole, Held>(n_, [&](int k, long j) { store_pack(part_ + j, v_[k], n_ - j, wide_); });
  }
};

/// With h = dy * (offset + w) and s = rsqrt(mean(x^2) + eps): dx += s h - x s^3 mean(h x), dw += sum over rows of dy x s.
template <class T, class W, bool Whole, bool Held>
__global__ void __launch_bounds__(512) rms_rows_backward(T* dx, T* dw_parts, const T* dy, const T* x, const W* w, long rows, long n, double eps, T offset) {
  constexpr int N = pack_size<T>();
  const bool wide = are_wide<N>(n, dx, dy, x) && are_wide<N>(n, w);
  team_sums<T, Whole, Held> dw(dw_parts, n);
  for (long r = row_team<Whole>::first(); r < rows; r += row_team<Whole>::stride()) {
    row_packs<T, Whole, Held> in(x + r * n, n, wide), up(dy + r * n, n, wide);
    const double s = in.inverse_rms(eps);
    const T scale = T(s);
    if (dx) {
      double dot = 0;
      each_pack<T, Whole, Held>(n, [&](int k, long j) {
        const auto &v = in.at(k, j), &u = up.at(k, j);
        T gain[N];
        load_gains(gain, w, j, n, wide, offset, T(1));
#pragma unroll
        for (int i = 0; i < N; ++i) dot += double(u[i]) * double(gain[i]) * double(v[i]);
      });
      const T back = T(s * s * s * row_team<Whole>::sum(dot) / double(n));
      each_pack<T, Whole, Held>(n, [&](int k, long j) {
        const auto &v = in.at(k, j), &u = up.at(k, j);
        T out[N], gain[N];
        load_pack(out, static_cast<const T*>(dx) + r * n + j, n - j, wide);
        load_gains(gain, w, j, n, wide, offset, T(1));
#pragma unroll
        for (int i = 0; i < N; ++i) out[i] += scale * u[i] * gain[i] - back * v[i];
        store_pack(dx + r * n + j, out, n - j, wide);
      });
    }
    dw.add([&](int k, long j, T (&term)[N]) {
      const auto &v = in.at(k, j), &u = up.at(k, j);
#pragma unroll
      for (int i = 0; i < N; ++i) term[i] = u[i] * v[i] * scale;
    });
  }
  if (Held) dw.write();
}

/// With h = dy * w, s = rsqrt(var + eps) and z = (x - mean) s: dx += s (h - mean(h) - z mean(h z)), dw += sum of dy z, db += sum of dy.
template <class T, class W, bool Whole, bool Held>
__global__ void __launch_bounds__(512)
standard_rows_backward(T* dx, T* dw_parts, T* db_parts, const T* dy, const T* x, const W* w, long rows, long n, double eps) {
  constexpr int N = pack_size<T>();
  const bool wide = are_wide<N>(n, dx, dy, x) && are_wide<N>(n, w);
  team_sums<T, Whole, Held> dw(dw_parts, n), db(db_parts, n);
  for (long r = row_team<Whole>::first(); r < rows; r += row_team<Whole>::stride()) {
    row_packs<T, Whole, Held> in(x + r * n, n, wide), up(dy + r * n, n, wide);
    const standard_form<T> form(in, n, eps);
    if (dx) {
      double h = 0, hz = 0;
      each_pack<T, Whole, Held>(n, [&](int k, long j) {
        const auto &v = in.at(k, j), &u = up.at(k, j);
        T gain[N];
        load_gains(gain, w, j, n, wide, T(0), T(1));
#pragma unroll
        for (int i = 0; i < N; ++i) {
          const double weighted = j + i < n ? double(u[i] * gain[i]) : 0;
          h += weighted;
          hz += weighted * double(form(v[i]));
        }
      });
      const T mean_h = T(row_team<Whole>::sum(h) / double(n)), mean_hz = T(row_team<Whole>::sum(hz) / double(n));
      each_pack<T, Whole, Held>(n, [&](int k, long j) {
        const auto &v = in.at(k, j), &u = up.at(k, j);
        T out[N], gain[N];
        load_pack(out, static_cast<const T*>(dx) + r * n + j, n - j, wide);
        load_gains(gain, w, j, n, wide, T(0), T(1));
#pragma unroll
        for (int i = 0; i < N; ++i) out[i] += form.scale * (u[i] * gain[i] - mean_h - form(v[i]) * mean_hz);
        store_pack(dx + r * n + j, out, n - j, wide);
      });
    }
    dw.add([&](int k, long j, T (&term)[N]) {
      const auto &v = in.at(k, j), &u = up.at(k, j);
#pragma unroll
      for (int i = 0; i < N; ++i) term[i] = u[i] * form(v[i]);
    });
    db.add([&](int k, long j, T (&term)[N]) {
      const auto& u = up.at(k, j);
#pragma unroll
      for (int i = 0; i < N; ++i) term[i] = u[i];
    });
  }
  if (Held) dw.write(), db.write();
}

/// The teams' parts of a weight's gradient, added up; none where it is not wanted.
template <class T> void add_team_sums(const char* name, const view& sum, const scratch<T>& parts, long teams, long n) {
  if (sum) add_columns(name, sum.as<T>(), teams, n, element_of<double, T>{parts.p, n});
}
/// About 640 threads for each processor of an H200: more do not run at a time, and every team has sums of its own.
constexpr unsigned gradient_blocks(unsigned threads) { return threads >= 640 ? 132u : 132 * (640 / threads); }
}  // namespace detail

inline void rms_norm_backward(const view& dx, const view& dw, const view& dy, const view& x, const view& w, double eps, double offset) {
  const long n = x.s.rank ? x.s[-1] : 0, rows = n ? x.count() / n : 0;
  if (rows == 0) return;
  visit_float(dy.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> in(x), up(dy);
    detail::with_weights<T>(w, {}, [&]<class W>(const W* gain, const W*) {
      detail::with_row_plan<T>(n, 512, [&]<bool Whole, bool Held>(std::bool_constant<Whole>, std::bool_constant<Held>, unsigned threads) {
        using team = detail::row_team<Whole>;
        const geometry g = team::over(rows, threads, detail::gradient_blocks(Whole ? threads : 32 * team::warps));
        const long teams = Whole ? g.blocks : g.blocks * team::warps;
        const scratch<T> parts(dw ? teams * n : 0);
        launch("rms_norm_backward", detail::rms_rows_backward<T, W, Whole, Held>, g, dx.as<T>(), parts.p, up.p, in.p, gain, rows, n, eps, T(offset));
        detail::add_team_sums("rms_norm_backward", dw, parts, teams, n);
      });
    });
  });
}

inline void layer_norm_backward(const view& dx, const view& dw, const view& db, const view& dy, const view& x, const view& w, double eps) {
  const long n = x.s.rank ? x.s[-1] : 0, rows = n ? x.count() / n : 0;
  if (rows == 0) return;
  visit_float(dy.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> in(x), up(dy);
    detail::with_weights<T>(w, {}, [&]<class W>(const W* gain, const W*) {
      detail::with_row_plan<T>(n, 512, [&]<bool Whole, bool Held>(std::bool_constant<Whole>, std::bool_constant<Held>, unsigned threads) {
        using team = detail::row_team<Whole>;
        const geometry g = team::over(rows, threads, detail::gradient_blocks(Whole ? threads : 32 * team::warps));
        const long teams = Whole ? g.blocks : g.blocks * team::warps;
        const scratch<T> parts(dw ? teams * n : 0), bias_parts(db ? teams * n : 0);
        launch("layer_norm_backward", detail::standard_rows_backward<T, W, Whole, Held>, g, dx.as<T>(), parts.p, bias_parts.p, up.p, in.p, gain, rows, n, eps);
        detail::add_team_sums("layer_norm_backward", dw, parts, teams, n);
        detail::add_team_sums("layer_norm_backward", db, bias_parts, teams, n);
      });
    });
  });
}

}  // namespace shardproof::cuda

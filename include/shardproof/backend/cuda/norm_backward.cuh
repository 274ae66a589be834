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

/// About 640 threads for each processor of an H200: more do not run at a time, and every team has sums of its own.
constexpr unsigned gradient_blocks(unsigned threads) { return threads >= 640 ? 132u : 132 * (640 / threads); }
/// The teams of a launch, and their sums.
template <class T, bool Whole> struct gradient_teams {
  using team = row_team<Whole>;
  geometry g;
  long count, n;
  template <class W, bool Held>
  explicit gradient_teams(const norm_job<T, W, Whole, Held>& a)
      : g(a.over(gradient_blocks(Whole ? a.threads : 32 * team::warps))), count(Whole ? g.blocks : g.blocks * team::warps), n(a.n) {}
  /// A row for each team; none where the gradient is not wanted.
  scratch<T> parts(const view& gradient) const { return scratch<T>(gradient ? count * n : 0); }
  void add(const char* name, const view& gradient, const scratch<T>& parts) const {
    if (gradient) add_columns(name, gradient.as<T>(), count, n, element_of<double, T>{parts.p, n});
  }
};
}  // namespace detail

inline void rms_norm_backward(const view& dx, const view& dw, const view& dy, const view& x, const view& w, double eps, double offset) {
  detail::with_norm_job(dy.type, x, w, {}, 512, [&]<class T, class W, bool Whole, bool Held>(const detail::norm_job<T, W, Whole, Held>& a) {
    const converted<T> up(dy);
    const detail::gradient_teams<T, Whole> teams(a);
    const scratch<T> parts = teams.parts(dw);
    launch("rms_norm_backward", detail::rms_rows_backward<T, W, Whole, Held>, teams.g, dx.as<T>(), parts.p, up.p, a.x, a.w, a.rows, a.n, eps, T(offset));
    teams.add("rms_norm_backward", dw, parts);
  });
}

inline void layer_norm_backward(const view& dx, const view& dw, const view& db, const view& dy, const view& x, const view& w, double eps) {
  detail::with_norm_job(dy.type, x, w, {}, 512, [&]<class T, class W, bool Whole, bool Held>(const detail::norm_job<T, W, Whole, Held>& a) {
    const converted<T> up(dy);
    const detail::gradient_teams<T, Whole> teams(a);
    const scratch<T> parts = teams.parts(dw), bias_parts = teams.parts(db);
    launch("layer_norm_backward", detail::standard_rows_backward<T, W, Whole, Held>, teams.g, dx.as<T>(), parts.p, bias_parts.p, up.p, a.x, a.w, a.rows, a.n,
           eps);
    teams.add("layer_norm_backward", dw, parts);
    teams.add("layer_norm_backward", db, bias_parts);
  });
}

}  // namespace shardproof::cuda

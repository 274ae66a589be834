#pragma once
/// @file
/// What norms are made of: a row in registers, its statistics, and which kernel has a row of n elements.
///
///     row_packs<float, true, true> in(x + r * n, n, wide);       // of a whole block, held
///     const double s = in.inverse_rms(eps);                      // every thread gets it
///     each_pack<float, true, true>(n, [&](int k, long j) { ... in.at(k, j)[i] is element j + i ... });
///
/// Tiling: a warp a row up to 128 packs (512 elements in f32), then a block of as many warps as hold the row in four packs a thread, up to
/// a limit of threads; longer rows are read again in each pass. Sums are made in double; one add an element.
#include <shardproof/backend/cuda/rows.cuh>
namespace shardproof::cuda::detail {

inline constexpr int held_packs = 4;
/// f(k, j): this thread's k-th pack begins at element j; k is 0 where packs are not held.
template <class T, bool Whole, bool Held, class F> __device__ void each_pack(long n, F f) {
  constexpr int N = pack_size<T>();
  using team = row_team<Whole>;
  if constexpr (Held) {
#pragma unroll
    for (int k = 0; k < held_packs; ++k)
      if (const long j = (team::lane() + k * team::size()) * N; j < n) f(k, j);
  } else {
    for (long j = team::lane() * N; j < n; j += team::size() * N) f(0, j);
  }
}

/// This thread's packs of a row.
template <class T, bool Whole, bool Held> class row_packs {
  static constexpr int N = pack_size<T>();
  const T* row_;
  long n_;
  bool wide_;
  T v_[Held ? held_packs : 1][N];

 public:
  __device__ row_packs(const T* row, long n, bool wide) : row_(row), n_(n), wide_(wide) {
    if constexpr (Held) each_pack<T, Whole, Held>(n, [&](int k, long j) { load_pack(v_[k], row_ + j, n_ - j, wide_); });
  }
  __device__ const auto& at(int k, long j) {
    if constexpr (!Held) load_pack(v_[0], row_ + j, n_ - j, wide_);
    return v_[k];
  }
  /// The sum of f(element) over the whole row; every thread of the team gets it.
  template <class F> __device__ double sum(F f) {
    double s = 0;
    each_pack<T, Whole, Held>(n_, [&](int k, long j) {
      const auto& v = at(k, j);
#pragma unroll
      for (int i = 0; i < N; ++i)
        if (j + i < n_) s += f(double(v[i]));
    });
    return row_team<Whole>::sum(s);
  }
  __device__ double inverse_rms(double eps) { return 1 / std::sqrt(sum([](double u) { return u * u; }) / double(n_) + eps); }
};

/// form(x) has mean 0 and variance 1. Summed about the mean, so that a mean far from zero costs no digits.
template <class T> struct standard_form {
  T centre, scale;
  template <class Row> __device__ standard_form(Row& in, long n, double eps) {
    const double mean = in.sum([](double u) { return u; }) / double(n);
    centre = T(mean);
    scale = T(1 / std::sqrt(in.sum([mean](double u) { return (u - mean) * (u - mean); }) / double(n) + eps));
  }
  __device__ T operator()(T x) const { return (x - centre) * scale; }
};

/// offset + w beside the pack that begins at element j; `none` where there is no w.
template <class T, int N, class W> __device__ void load_gains(T (&gain)[N], const W* w, long j, long n, bool wide, T offset, T none) {
  if (w) load_pack(gain, w + j, n - j, wide);
#pragma unroll
  for (int i = 0; i < N; ++i) gain[i] = w ? gain[i] + offset : none;
}

/// What a norm's kernel for rows like these is told. W is the type of the weights, T that of the rows and of the arithmetic.
template <class T, class W, bool Whole, bool Held> struct norm_job {
  const T* x;
  const W *w, *b;
  long rows, n;
  unsigned threads;                                      ///< for a row
  geometry over(unsigned limit = most_blocks) const { return row_team<Whole>::over(rows, threads, limit); }
};
/// f(job) for a block of at most so many threads.
template <class T, class W, class F> void with_row_plan(const T* x, const W* w, const W* b, long rows, long n, unsigned most_threads, F f) {
  constexpr long of_thread = pack_size<T>() * held_packs;
  if (n <= 32 * of_thread) f(norm_job<T, W, false, true>{x, w, b, rows, n, 32});
  else if (n <= long(most_threads) * of_thread) f(norm_job<T, W, true, true>{x, w, b, rows, n, 32 * unsigned(parts_of(n, 32 * of_thread))});
  else f(norm_job<T, W, true, false>{x, w, b, rows, n, most_threads});
}
/// f(w, b) with pointers of one type, null for a null view: as stored where 16-bit weights meet f32, else as T.
template <class T, class F> void with_weights(const view& w, const view& b, F f) {
  if constexpr (std::is_same_v<T, float>)
    if (!w || !b || w.type == b.type) {
      const dtype t = w ? w.type : b.type;
      if (t == dtype::bf16) return f(w.as<const bf16>(), b.as<const bf16>());
      if (t == dtype::f16) return f(w.as<const f16>(), b.as<const f16>());
    }
  const converted<T> as_w(w), as_b(b);
  f(as_w.p, as_b.p);
}
/// f(job) for the rows of x, in the arithmetic of type t; nothing where there are none.
template <class F> void with_norm_job(dtype t, const view& x, const view& w, const view& b, unsigned most_threads, F f) {
  const long n = x.s.rank ? x.s[-1] : 0, rows = n ? x.count() / n : 0;
  if (rows == 0) return;
  visit_float(t, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> in(x);
    with_weights<T>(w, b, [&]<class W>(const W* gain, const W* bias) { with_row_plan(in.p, gain, bias, rows, n, most_threads, f); });
  });
}

}  // namespace shardproof::cuda::detail

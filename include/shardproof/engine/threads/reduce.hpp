#pragma once
/// @file
/// Sums, maxima and minima of the ranks' buffers, always in the order of the ranks, whoever computes them and whenever.
///
///     const void* from[] = {a, b, c};
///     in_process::reduce(sp::dtype::f32, sp::reduction::sum, from, out, 0, n);     // out[i] = (a[i] + b[i]) + c[i]
///
/// bf16 and f16 are widened, combined in f32 and rounded once. Integers wrap around. A NaN stays, in max and min too.
#include <span>
#include <type_traits>
#include <shardproof/runtime/communicator.hpp>
namespace shardproof::in_process {
namespace detail {

template <class T> struct computes_in { using type = T; };
template <> struct computes_in<bf16> { using type = float; };
template <> struct computes_in<f16> { using type = float; };

template <reduction R, class A> inline A combine(A a, A b) {
  if constexpr (R == reduction::sum) {
    if constexpr (std::is_integral_v<A>) {
      using U = std::make_unsigned_t<A>;
      return A(U(U(a) + U(b)));
    } else return a + b;
  } else {
    const bool second = R == reduction::max ? a < b : b < a;
    if constexpr (std::is_integral_v<A>) return second ? b : a;
    else return second || b != b ? b : a;
  }
}

// Inner loops have a constant length, so that g++ vectorises them at -O2 too (its cost model there refuses remainders).
inline constexpr long strip = 32;

// Sums of two and four buffers in place, where the buffers do not overlap: one pass through registers, half the time of the
// general way.
template <class T> void two_in_place(T* __restrict a, T* __restrict b, long first, long last) {
  using A = typename computes_in<T>::type;
  long at = first;
  for (; at + strip <= last; at += strip)
    for (long j = 0; j < strip; ++j) a[at + j] = b[at + j] = T(A(a[at + j]) + A(b[at + j]));
  for (; at < last; ++at) a[at] = b[at] = T(A(a[at]) + A(b[at]));
}
template <class T> void four_in_place(T* __restrict a, T* __restrict b, T* __restrict c, T* __restrict d, long first, long last) {
  using A = typename computes_in<T>::type;
  long at = first;
  for (; at + strip <= last; at += strip)
    for (long j = 0; j < strip; ++j)
      a[at + j] = b[at + j] = c[at + j] = d[at + j] = T(A(a[at + j]) + A(b[at + j]) + A(c[at + j]) + A(d[at + j]));
  for (; at < last; ++at) a[at] = b[at] = c[at] = d[at] = T(A(a[at]) + A(b[at]) + A(c[at]) + A(d[at]));
}

/// Any number of sources and targets. A strip of all sources is read before a target is written, so targets may be sources.
template <class T, reduction R> void many(std::span<const void* const> from, std::span<void* const> to, long first, long last) {
  using A = typename computes_in<T>::type;
  const auto part = [=](long at, auto n) {  // n is a constant but for the remainder
    alignas(64) A sums[strip];
    const T* p = static_cast<const T*>(from[0]) + at;
    for (long j = 0; j < n; ++j) sums[j] = A(p[j]);
    for (const void* source : from.subspan(1)) {
      p = static_cast<const T*>(source) + at;
      for (long j = 0; j < n; ++j) sums[j] = combine<R>(sums[j], A(p[j]));
    }
    for (void* target : to) {
      T* q = static_cast<T*>(target) + at;
      for (long j = 0; j < n; ++j) q[j] = T(sums[j]);
    }
  };
  long at = first;
  for (; at + strip <= last; at += strip) part(at, std::integral_constant<long, strip>{});
  if (at < last) part(at, last - at);
}

template <class F> void with_types(dtype t, reduction how, F&& f) {
  visit(t, [&](auto zero) {
    switch (how) {
      case reduction::sum: f(zero, std::integral_constant<reduction, reduction::sum>{}); break;
      case reduction::max: f(zero, std::integral_constant<reduction, reduction::max>{}); break;
      case reduction::min: f(zero, std::integral_constant<reduction, reduction::min>{}); break;
    }
  });
}

}  // namespace detail

/// Elements [first, last) of `to` become the reduction of those of `from`. `to` may be one of them; no pointer may be null unless
/// the range is empty.
inline void reduce(dtype t, reduction how, std::span<const void* const> from, void* to, long first, long last) {
  if (first >= last) return;
  detail::with_types(t, how, [&](auto zero, auto r) { detail::many<decltype(zero), r()>(from, {&to, 1}, first, last); });
}

/// Elements [first, last) of all buffers become their reduction. The buffers may not overlap.
inline void reduce_in_place(dtype t, reduction how, std::span<void* const> all, long first, long last) {
  if (first >= last) return;
  detail::with_types(t, how, [&](auto zero, auto r) {
    using T = decltype(zero);
    const auto buffer = [&](std::size_t k) { return static_cast<T*>(all[k]); };
    if constexpr (r() == reduction::sum && (std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, bf16>)) {
      if (all.size() == 2) return detail::two_in_place(buffer(0), buffer(1), first, last);
      if (all.size() == 4) return detail::four_in_place(buffer(0), buffer(1), buffer(2), buffer(3), first, last);
    }
    detail::many<T, r()>({all.data(), all.size()}, all, first, last);
  });
}

}  // namespace shardproof::in_process

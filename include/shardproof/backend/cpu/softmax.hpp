#pragma once
/// @file
/// The two passes of a softmax over one row.
///
///     const T top = row_top(x, n);
///     const double sum = exp_sum(x, n, top, x);             // x[j] = exp(x[j] - top), and their sum
#include <limits>
#include <shardproof/backend/cpu/math.hpp>
namespace shardproof::cpu {

/// The largest of n values; -infinity if there is none. A NaN is passed over here and shows in the sum.
template <class T> T row_top(const T* x, long n) {
  constexpr T none = -std::numeric_limits<T>::infinity();
  vec<T> top = broadcast(none);
  long i = 0;
  for (; i + lanes<T> <= n; i += lanes<T>) {
    const vec<T> v = load<T>(x + i);
    top = select(v > top, v, top);
  }
  T best = largest<T>(top);
  for (; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

/// The sum of exp(x[j] - top), in double over blocks of 64 vectors; the terms go to `to` unless that is null.
template <class T> double exp_sum(const T* x, long n, T top, T* to) {
  constexpr long width = lanes<T>, block = 64 * width;
  double total = 0;
  for (long from = 0; from < n; from += block) {
    const long end = from + block < n ? from + block : n;
    vec<T> s{};
    long i = from;
    for (; i + width <= end; i += width) {
      const vec<T> e = exp(vec<T>(load<T>(x + i) - top));
      if (to) store<T>(to + i, e);
      s += e;
    }
    total += double(sum<T>(s));
    if (i < end) {
      const vec<T> e = exp(vec<T>(load_part<T>(x + i, end - i) - top));
      if (to) store_part<T>(to + i, e, end - i);
      for (long j = 0; j < end - i; ++j) total += double(e[j]);
    }
  }
  return total;
}

}  // namespace shardproof::cpu

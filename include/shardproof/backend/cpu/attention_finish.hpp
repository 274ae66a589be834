#pragma once
/// @file
/// What follows the scores of a block of rows: softmax without its division, and the rows of y.
///
///     make_chances<T>(block, shape, args, sinks, scores, share);          // exp(score - top); share: 1 / sum of each row
///     write_block<T>(block, shape, result, share, y);                     // y = share * (chances v)
#include <limits>
#include <shardproof/backend/cpu/attention_rows.hpp>
#include <shardproof/backend/cpu/softmax.hpp>
namespace shardproof::cpu {

/// scores[rows, keys] become exp(score - the row's top), zero where a key is not seen. The log of each denominator is saved.
template <class T> void make_chances(const query_block& b, const attention_shape& s, const attention_args& a, const T* sinks, T* scores, T* share) {
  const long n = b.keys.to - b.keys.from;
  for_each_row<T>(b, s, a, scores, [&](long row, long h, long i, const key_range& seen, T* x) {
    const long count = seen.to - seen.from;
    T top = row_top(x, count);
    if (sinks) top = std::max(top, sinks[h]);
    const bool any = count > 0 || sinks;               // not by the top: of scores that are all NaN it is -infinity
    double sum = any ? exp_sum(x, count, top, x) : 0;
    if (!any) std::fill(x, x + count, T(0));
    if (sinks && any) sum += std::exp(double(sinks[h]) - double(top));
    clear_outside<T>(b, seen, scores + row * n);
    share[row] = any ? T(1 / sum) : T(0);
    if (a.log_sum) {
      const double value = any ? double(top) + std::log(sum) : -std::numeric_limits<double>::infinity();
      const long at = (b.batch * s.heads + h) * s.seq + i;
      if (a.log_sum.type == dtype::f64) a.log_sum.as<double>()[at] = value;
      else a.log_sum.as<float>()[at] = float(value);
    }
  });
}

/// The rows of y that are this block's.
template <class T> void write_block(const query_block& b, const attention_shape& s, const T* result, const T* share, T* y) {
  for (long i = b.first; i < b.last; ++i)
    for (long h = 0; h < b.heads; ++h) {
      const long row = (i - b.first) * b.heads + h;
      map<T>(y + ((b.batch * s.seq + i) * s.heads + b.head + h) * s.value_dim, s.value_dim,
             [part = broadcast(share[row])](const vec<T>& x) -> vec<T> { return x * part; }, result + row * s.value_dim);
    }
}

}  // namespace shardproof::cpu

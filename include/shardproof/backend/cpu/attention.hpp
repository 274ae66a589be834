#pragma once
/// @file
/// Attention forward: scores of a block of rows, softmax, product with the values. No more than a block's scores exist at once.
///
///     cpu::attention(args);                                 // one query (decoding) takes the same path: rows are a KV head's heads
#include <limits>
#include <shardproof/backend/cpu/attention_rows.hpp>
#include <shardproof/backend/cpu/softmax.hpp>
namespace shardproof::cpu {

namespace detail {
template <class T> void attention_as(const attention_args& a) {
  const attention_shape s(a);
  const operand<T> q(a.q), k(a.k), v(a.v), sinks(a.sinks);
  T* const y = a.y.as<T>();
  for_each_block(a, s, [&](const query_block& b) {
    const long n = b.keys.to - b.keys.from, rows = b.rows();
    scratch<T> queries(rows * s.dim), scores(rows * n), result(rows * s.value_dim), share(rows);
    gather_block<T>(b, s, q.p, s.dim, T(s.scale), queries.get());
    block_scores<T>(b, s, a, queries.get(), k.p, scores.get());
    for_each_row<T>(b, s, a, scores.get(), [&](long row, long h, long i, const key_range& seen, T* x) {
      const long count = seen.to - seen.from;
      T top = row_top(x, count);
      if (sinks.p) top = std::max(top, sinks.p[h]);
      const bool any = top > -std::numeric_limits<T>::infinity();
      double sum = any ? exp_sum(x, count, top, x) : 0;
      if (!any) std::fill(x, x + count, T(0));
      if (sinks.p && any) sum += std::exp(double(sinks.p[h]) - double(top));
      clear_outside<T>(b, seen, scores.get() + row * n);
      share[row] = any ? T(1 / sum) : T(0);
      if (a.log_sum) {
        const double value = any ? double(top) + std::log(sum) : -std::numeric_limits<double>::infinity();
        const long at = (b.batch * s.heads + h) * s.seq + i;
        if (a.log_sum.type == dtype::f64) a.log_sum.as<double>()[at] = value;
        else a.log_sum.as<float>()[at] = float(value);
      }
    });
    product<T>(rows, s.value_dim, n, {scores.get(), n, 1}, kv_of(b, s, v.p, s.value_dim), {result.get(), s.value_dim, 1}, false);
    for (long i = b.first; i < b.last; ++i)
      for (long h = 0; h < b.heads; ++h) {
        const long row = (i - b.first) * b.heads + h;
        const vec<T> part = broadcast(share[row]);
        map<T>(y + ((b.batch * s.seq + i) * s.heads + b.head + h) * s.value_dim, s.value_dim, [&](const vec<T>& x) -> vec<T> { return x * part; },
               result.get() + row * s.value_dim);
      }
  });
}
}  // namespace detail

inline void attention(const attention_args& a) {
  if (!a.y.count()) return;
  visit_float(a.y.type, [&](auto zero) { detail::attention_as<decltype(zero)>(a); });
}

}  // namespace shardproof::cpu

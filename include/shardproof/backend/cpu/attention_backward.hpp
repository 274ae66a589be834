#pragma once
/// @file
/// Attention backward: the probabilities of a block of rows are computed again from q, k and the saved log of the denominator.
///
///     cpu::attention_backward(args);                        // adds to dq, dk, dv and dsinks, each of which may be null
///
/// With P the probabilities and G = dy v^T: dv += P^T dy, dscores = P (G - sum_j P G), and the cap's slope before the scale.
#include <limits>
#include <shardproof/backend/cpu/attention_rows.hpp>
#include <shardproof/backend/cpu/norm.hpp>
#include <shardproof/backend/cpu/softmax.hpp>
namespace shardproof::cpu {

namespace detail {
// log of the softmax denominator of a row: saved by forward, or from its scores.
template <class T> double row_log_sum(const attention_args& a, const T* sinks, long h, long at, const T* x, long n) {
  if (a.log_sum) return a.log_sum.type == dtype::f64 ? a.log_sum.as<double>()[at] : double(a.log_sum.as<float>()[at]);
  T top = row_top(x, n);
  if (sinks) top = std::max(top, sinks[h]);
  if (n == 0 && !sinks) return double(top);
  return double(top) + std::log(exp_sum(x, n, top, static_cast<T*>(nullptr)) + (sinks ? std::exp(double(sinks[h]) - double(top)) : 0));
}

template <class T> void attention_backward_as(const attention_args& a) {
  using V = vec<T>;
  const attention_shape s(a);
  const operand<T> q(a.q), k(a.k), v(a.v), sinks(a.sinks), dy(a.dy);
  for_each_block(a, s, [&](const query_block& b) {
    const long n = b.keys.to - b.keys.from, rows = b.rows();
    scratch<T> queries(rows * s.dim), out_gradient(rows * s.value_dim), scores(rows * n), chances(rows * n), slopes(rows * n);
    gather_block<T>(b, s, q.p, s.dim, T(s.scale), queries.get());
    gather_block<T>(b, s, dy.p, s.value_dim, T(1), out_gradient.get());
    block_scores<T>(b, s, a, queries.get(), k.p, scores.get());
    product<T>(rows, n, s.value_dim, {out_gradient.get(), s.value_dim, 1}, kv_of(b, s, v.p, s.value_dim).transposed(), {slopes.get(), n, 1}, false);
    for_each_row<T>(b, s, a, scores.get(), [&](long row, long h, long i, const key_range& seen, T* x) {
      const long count = seen.to - seen.from, offset = x - scores.get();
      T *const p = chances.get() + offset, *const g = slopes.get() + offset;
      const double log_sum = row_log_sum(a, sinks.p, h, (b.batch * s.heads + h) * s.seq + i, x, count);
      const bool any = log_sum != -std::numeric_limits<double>::infinity();              // NaN stays NaN
      if (any) map<T>(p, count, [of = T(log_sum)](const V& u) -> V { return exp(V(u - of)); }, x);
      else std::fill(p, p + count, T(0));
      const double mean = sum_of_products(static_cast<const T*>(p), static_cast<const T*>(g), count);
      if (a.dsinks && sinks.p && any) a.dsinks.as<T>()[h] -= T(std::exp(double(sinks.p[h]) - log_sum) * mean);
      map<T>(g, count, [of = T(mean)](const V& u, const V& w) -> V { return u * (w - of); }, p, g);
      if (a.softcap != 0) {
        // A hidden score is -infinity; its probability is zero, and so is its slope.
        const T c = T(a.softcap);
        map<T>(g, count, [c](const V& w, const V& u, const V& chance) -> V { return select(chance > T(0), V(w * (1 - (u / c) * (u / c))), V{}); }, g, x, p);
      }
      clear_outside<T>(b, seen, chances.get() + row * n);
      clear_outside<T>(b, seen, slopes.get() + row * n);
    });
    const matrix<const T> ds{slopes.get(), n, 1}, p{chances.get(), n, 1};
    if (a.dv) product<T>(n, s.value_dim, rows, p.transposed(), {out_gradient.get(), s.value_dim, 1}, kv_of(b, s, a.dv.as<T>(), s.value_dim), true);
    if (a.dk) product<T>(n, s.dim, rows, ds.transposed(), {queries.get(), s.dim, 1}, kv_of(b, s, a.dk.as<T>(), s.dim), true);
    if (!a.dq) return;
    product<T>(rows, s.dim, n, ds, kv_of(b, s, k.p, s.dim), {queries.get(), s.dim, 1}, false);
    for (long i = b.first; i < b.last; ++i) {
      T* const to = a.dq.as<T>() + ((b.batch * s.seq + i) * s.heads + b.head) * s.dim;
      map<T>(to, b.heads * s.dim, [by = T(s.scale)](const V& old, const V& u) -> V { return old + by * u; }, to, queries.get() + (i - b.first) * b.heads * s.dim);
    }
  });
}
}  // namespace detail

inline void attention_backward(const attention_args& a) {
  if (!a.dy.count()) return;
  visit_float(a.dy.type, [&](auto zero) { detail::attention_backward_as<decltype(zero)>(a); });
}

}  // namespace shardproof::cpu

#pragma once
/// @file
/// Rows times a number each, and products of rows: the weights of routed tokens, and norms whose features lie on several ranks.
///
///     cpu::scale_rows(y, x, s, false);                      // y[r, :] = x[r, :] * s[r]
///     cpu::row_dot(s, x, x, 1.0);                           // s[r] += sum of squares of row r, summed in double
#include <shardproof/backend/cpu/operand.hpp>
namespace shardproof::cpu {

inline void scale_rows(const view& y, const view& x, const view& s, bool accumulate) {
  const long rows = s.count(), n = rows ? x.count() / rows : 0;
  visit_float(y.type, [&](auto zero) {
    using T = decltype(zero);
    using V = vec<T>;
    const operand<T> in(x), by(s);
    for (long r = 0; r < rows; ++r) {
      const T k = by.p[r];
      T* const to = y.as<T>() + r * n;
      if (accumulate) map<T>(to, n, [k](const V& old, const V& v) -> V { return old + v * k; }, to, in.p + r * n);
      else map<T>(to, n, [k](const V& v) -> V { return v * k; }, in.p + r * n);
    }
  });
}

inline void row_dot(const view& s, const view& a, const view& b, double by) {
  const long rows = s.count(), n = rows ? a.count() / rows : 0;
  visit_float(s.type, [&](auto zero) {
    using T = decltype(zero);
    const operand<T> u(a), v(b);
    for (long r = 0; r < rows; ++r)
      s.as<T>()[r] += T(by * sum_wide(n, [](const vec<double>& x, const vec<double>& y) -> vec<double> { return x * y; }, u.p + r * n, v.p + r * n));
  });
}

}  // namespace shardproof::cpu

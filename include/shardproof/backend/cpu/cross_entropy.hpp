#pragma once
/// @file
/// Softmax cross-entropy in steps: what a rank that holds some columns of the logits contributes.
///
///     cpu::row_max(top, logits);                            // then all-reduce(max)
///     cpu::row_exp_sum(sum, hit, logits, top, labels, first);    // then all-reduce(sum)
///     cpu::loss_sum(total, sum, hit, labels); cpu::loss_mean(loss, factor, total, 1, 0);
#include <cmath>
#include <shardproof/backend/cpu/operand.hpp>
#include <shardproof/backend/cpu/softmax.hpp>
namespace shardproof::cpu {

namespace detail {
struct row_shape { long rows, n; };
// [..., n] as rows of n; `like` has one element a row, for tensors whose rows are empty.
inline row_shape rows_of(const view& x, const view& like) { return {like.count(), x.s.rank ? x.s[-1] : 0}; }
}  // namespace detail

inline void row_max(const view& top, const view& logits) {
  const detail::row_shape s = detail::rows_of(logits, top);
  visit_float(top.type, [&](auto zero) {
    using T = decltype(zero);
    const operand<T> x(logits);
    for (long r = 0; r < s.rows; ++r) top.as<T>()[r] = row_top(x.p + r * s.n, s.n);
  });
}

inline void row_exp_sum(const view& sum, const view& hit, const view& logits, const view& top, const view& labels, long first) {
  const detail::row_shape s = detail::rows_of(logits, top);
  const auto* const label = labels.as<const std::int64_t>();
  visit_float(sum.type, [&](auto zero) {
    using T = decltype(zero);
    const operand<T> x(logits), largest(top);
    for (long r = 0; r < s.rows; ++r) {
      const T* const row = x.p + r * s.n;
      sum.as<T>()[r] = T(exp_sum(row, s.n, largest.p[r], static_cast<T*>(nullptr)));
      const long j = long(label[r]) - first;
      hit.as<T>()[r] = label[r] >= 0 && j >= 0 && j < s.n ? row[j] - largest.p[r] : T(0);
    }
  });
}

inline void loss_sum(const view& total, const view& sum, const view& hit, const view& labels) {
  const auto* const label = labels.as<const std::int64_t>();
  double loss = 0;
  long counted = 0;
  visit_float(sum.type, [&](auto zero) {
    using T = decltype(zero);
    for (long r = 0; r < labels.count(); ++r)
      if (label[r] >= 0) {
        loss += std::log(double(sum.as<const T>()[r])) - double(hit.as<const T>()[r]);
        ++counted;
      }
  });
  total.as<double>()[0] = loss;
  total.as<double>()[1] = double(counted);
}
inline void loss_mean(const view& loss, const view& factor, const view& total, double scale, double tokens) {
  const double n = tokens > 0 ? tokens : total.as<double>()[1];
  *factor.as<double>() = n > 0 ? scale / n : 0;
  visit_float(loss.type, [&](auto zero) { *loss.as<decltype(zero)>() = decltype(zero)(total.as<double>()[0] * *factor.as<double>()); });
}

inline void cross_entropy_backward(const view& dlogits, const view& logits, const view& top, const view& sum, const view& labels, long first,
                                   const view& factor, const view& dloss) {
  const detail::row_shape s = detail::rows_of(logits, top);
  const auto* const label = labels.as<const std::int64_t>();
  visit_float(dlogits.type, [&](auto zero) {
    using T = decltype(zero);
    using V = vec<T>;
    const operand<T> x(logits), largest(top), sums(sum);
    const double scale = double(*dloss.as<const T>()) * *factor.as<const double>();
    for (long r = 0; r < s.rows; ++r) {
      if (label[r] < 0) continue;
      T* const to = dlogits.as<T>() + r * s.n;
      const T highest = largest.p[r], by = T(scale / double(sums.p[r]));
      map<T>(to, s.n, [=](const V& old, const V& v) -> V { return old + by * exp(V(v - highest)); }, to, x.p + r * s.n);
      const long j = long(label[r]) - first;
      if (j >= 0 && j < s.n) to[j] -= T(scale);
    }
  });
}

/// An empty row, and one of nothing but NaN and -infinity, yields index `first` and value -infinity.
inline void row_argmax(const view& index, const view& value, const view& x, long first) {
  const detail::row_shape s = detail::rows_of(x, value);
  visit_float(value.type, [&](auto zero) {
    using T = decltype(zero);
    const operand<T> from(x);
    for (long r = 0; r < s.rows; ++r) {
      const T* const row = from.p + r * s.n;
      const T top = row_top(row, s.n);
      long j = 0;
      while (j < s.n && !(row[j] == top)) ++j;
      value.as<T>()[r] = top;
      index.as<std::int64_t>()[r] = first + (j < s.n ? j : 0);
    }
  });
}

}  // namespace shardproof::cpu

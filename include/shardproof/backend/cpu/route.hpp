#pragma once
/// @file
/// The choice of experts for each row of a router's logits, and its gradient. Arithmetic of a row is in double.
///
///     cpu::route(a);                         // a.ids[r, i] = the i-th best expert, a.weights[r, i] = its weight
///     cpu::route_backward(a);                // a.dlogits += what a.dweights asks for; the choice itself has no gradient
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>
#include <shardproof/backend/cpu/operand.hpp>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cpu {

namespace detail {
template <class T> void router_scores(const T* logits, long n, router_score how, double* scores) {
  if (how == router_score::sigmoid) {
    for (long j = 0; j < n; ++j) scores[j] = 1 / (1 + std::exp(-double(logits[j])));
    return;
  }
  const double top = n ? double(*std::max_element(logits, logits + n)) : 0;
  double sum = 0;
  for (long j = 0; j < n; ++j) sum += scores[j] = std::exp(double(logits[j]) - top);
  for (long j = 0; j < n; ++j) scores[j] /= sum;
}
/// The best one that is left, the first of equals; it is struck out. Something is found even where all are NaN.
inline long take_best(double* by, unsigned char* taken, long n) {
  long best = -1;
  for (long j = 0; j < n; ++j) if (!taken[j] && (best < 0 || by[j] > by[best])) best = j;
  if (best >= 0) taken[best] = 1;
  return best;
}
/// Strikes out the experts of all but the best groups.
inline void keep_groups(const double* by, unsigned char* taken, long n, const router_rule& r) {
  if (r.groups < 2 || r.kept_groups >= r.groups) return;
  const long size = n / r.groups;
  std::vector<double> worth(std::size_t(r.groups), 0.0);
  for (long g = 0; g < r.groups; ++g) {
    double first = -std::numeric_limits<double>::infinity(), second = first;
    for (long j = g * size; j < (g + 1) * size; ++j) {
      if (by[j] > first) second = first, first = by[j];
      else if (by[j] > second) second = by[j];
    }
    worth[std::size_t(g)] = r.group_by_two && size > 1 ? first + second : first;
  }
  std::vector<unsigned char> kept(std::size_t(r.groups), 0);
  for (long i = 0; i < r.kept_groups; ++i) take_best(worth.data(), kept.data(), r.groups);
  for (long j = 0; j < n; ++j) taken[j] = j >= r.groups * size || !kept[std::size_t(j / size)];
}
}  // namespace detail

inline void route(const route_args& a) {
  const long n = a.logits.s[-1], k = a.how.chosen, rows = n ? a.logits.count() / n : 0;
  std::vector<double> scores(std::size_t(n), 0.0), by(std::size_t(n), 0.0);
  std::vector<unsigned char> taken(std::size_t(n), 0);
  visit_float(a.weights.type, [&](auto zero) {
    using T = decltype(zero);
    const operand<T> logits(a.logits), bias(a.bias);
    for (long r = 0; r < rows; ++r) {
      const T* const row = logits.p + r * n;
      detail::router_scores(row, n, a.how.score, scores.data());
      for (long j = 0; j < n; ++j) by[std::size_t(j)] = (a.how.by_logit ? double(row[j]) : scores[std::size_t(j)]) + (bias.p ? double(bias.p[j]) : 0);
      std::fill(taken.begin(), taken.end(), static_cast<unsigned char>(0));
      detail::keep_groups(by.data(), taken.data(), n, a.how);
      double sum = 0;
      for (long i = 0; i < k; ++i) {
        const long best = std::max(detail::take_best(by.data(), taken.data(), n), 0L);
        a.ids.as<std::int64_t>()[r * k + i] = best;
        sum += scores[std::size_t(best)];
      }
      const double factor = a.how.scale / (a.how.renormalised ? sum + a.how.sum_eps : 1);
      for (long i = 0; i < k; ++i) a.weights.as<T>()[r * k + i] = T(factor * scores[std::size_t(a.ids.as<std::int64_t>()[r * k + i])]);
    }
  });
}

inline void route_backward(const route_args& a) {
  const long n = a.logits.s[-1], k = a.how.chosen, rows = n ? a.logits.count() / n : 0;
  std::vector<double> scores(std::size_t(n), 0.0), slope(std::size_t(n), 0.0);
  visit_float(a.dlogits.type, [&](auto zero) {
    using T = decltype(zero);
    const operand<T> logits(a.logits), dweights(a.dweights);
    for (long r = 0; r < rows; ++r) {
      detail::router_scores(logits.p + r * n, n, a.how.score, scores.data());
      const std::int64_t* const id = a.ids.as<const std::int64_t>() + r * k;
      const T* const dw = dweights.p + r * k;
      double sum = 0, along = 0;                             // of the chosen scores, and of dw times them
      for (long i = 0; i < k; ++i) sum += scores[std::size_t(id[i])], along += double(dw[i]) * scores[std::size_t(id[i])];
      const double whole = a.how.renormalised ? sum + a.how.sum_eps : 1, shared = a.how.renormalised ? along / whole : 0;
      std::fill(slope.begin(), slope.end(), 0.0);
      for (long i = 0; i < k; ++i) slope[std::size_t(id[i])] += a.how.scale / whole * (double(dw[i]) - shared);
      double mean = 0;
      if (a.how.score == router_score::softmax) for (long j = 0; j < n; ++j) mean += slope[std::size_t(j)] * scores[std::size_t(j)];
      for (long j = 0; j < n; ++j) {
        const double s = scores[std::size_t(j)];
        a.dlogits.as<T>()[r * n + j] += T(a.how.score == router_score::softmax ? s * (slope[std::size_t(j)] - mean) : s * (1 - s) * slope[std::size_t(j)]);
      }
    }
  });
}

}  // namespace shardproof::cpu

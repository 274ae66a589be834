#pragma once
/// @file
/// Dropout by global index; the gradient draws the same numbers again, so that nothing is kept.
///
///     cpu::dropout({.y = y, .x = x, .row = rows, .column = columns, .rate = 0.1, .seed = 1, .stream = 7});
#include <shardproof/backend/cpu/operand.hpp>
#include <shardproof/runtime/backend.hpp>
#include <shardproof/runtime/rng.hpp>
namespace shardproof::cpu {

inline void dropout(const dropout_args& a) {
  const long rows = a.row.count(), n = a.column.count();
  visit_float(a.y.type, [&](auto zero) {
    using T = decltype(zero);
    const operand<T> in(a.x);
    const T keep = T(1 / (1 - a.rate));
    for (long r = 0; r < rows; ++r) {
      const std::int64_t first = a.row.as<std::int64_t>()[r];
      for (long j = 0; j < n; ++j) {
        const double u = uniform_at(a.seed, a.stream, std::uint64_t(first + a.column.as<std::int64_t>()[j]));
        const T v = u < a.rate ? T(0) : in.p[r * n + j] * keep;
        T& y = a.y.as<T>()[r * n + j];
        y = a.accumulate ? y + v : v;
      }
    }
  });
}

}  // namespace shardproof::cpu

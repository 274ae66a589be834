#pragma once
/// @file
/// Dropout by global index; the gradient draws the same numbers again, so that nothing is kept.
///
///     cuda::dropout({.y = y, .x = x, .row = rows, .column = columns, .rate = 0.1, .seed = 1, .stream = 7});
///
/// The numbers are the host's, by the same code (runtime/rng.hpp): a thread an element, whose ten rounds of Philox cost more than
/// the element's way through memory. Tiling: threads over a matrix (matrix_tile.cuh). Bytes moved: x and y once, y twice where it is
/// added to. About 100 integer operations an element. Philox 4x32-10: Salmon et al., SC 2011.
#include <shardproof/backend/cuda/elementwise.cuh>
#include <shardproof/runtime/backend.hpp>
#include <shardproof/runtime/rng.hpp>
namespace shardproof::cuda {

namespace detail {
struct dropout_rule { double rate; std::uint64_t seed, stream; bool accumulate; };
// The product is rounded before it is added, as on the host: these intrinsics are never fused.
__device__ inline float rounded_product(float a, float b) { return __fmul_rn(a, b); }
__device__ inline double rounded_product(double a, double b) { return __dmul_rn(a, b); }

template <class T>
__global__ void dropout_kernel(T* y, const T* x, const std::int64_t* row, const std::int64_t* column, long rows, long columns, matrix_tile t, T keep,
                               dropout_rule rule) {
  for (long j = t.first_column(); j < columns; j += t.column_stride()) {
    const std::int64_t in_row = column[j];
    for (long r = t.first_row(); r < rows; r += t.row_stride()) {
      const long i = r * columns + j;
      const double u = uniform_at(rule.seed, rule.stream, std::uint64_t(row[r] + in_row));
      const T v = u < rule.rate ? T(0) : rounded_product(x[i], keep);
      y[i] = rule.accumulate ? y[i] + v : v;
    }
  }
}
}  // namespace detail

inline void dropout(const dropout_args& a) {
  const long rows = a.row.count(), n = a.column.count();
  if (rows == 0 || n == 0) return;
  visit_float(a.y.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> in(a.x);
    const matrix_tile t = tile_for(n);
    launch("dropout", detail::dropout_kernel<T>, over_tiles(t, rows, n), a.y.as<T>(), in.p, a.row.as<const std::int64_t>(), a.column.as<const std::int64_t>(),
           rows, n, t, T(1 / (1 - a.rate)), detail::dropout_rule{a.rate, a.seed, a.stream, a.accumulate});
  });
}

}  // namespace shardproof::cuda

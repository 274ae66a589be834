#pragma once
/// @file
/// The same products by Eigen: the oracle of the kernels' tests, and all products of a build that asks for it.
///
///     eigen_product<float>(m, n, k, {x, k, 1}, matrix<const float>{w, 1, k}, {y, n, 1}, false);      // y = x w^T
///
/// One thread, whatever EIGEN says: ranks are threads already. 16-bit operands are widened a few rows at a time.
#ifndef EIGEN_DONT_PARALLELIZE
# define EIGEN_DONT_PARALLELIZE
#endif
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wuninitialized"
#ifndef __clang__
# pragma GCC diagnostic ignored "-Wmaybe-uninitialized"     // g++ 12 on the AVX-512 intrinsics that Eigen uses
#endif
#include <Eigen/Core>
#pragma GCC diagnostic pop
#include <shardproof/backend/cpu/operand.hpp>
#include <shardproof/backend/cpu/tile.hpp>
namespace shardproof::cpu {

namespace detail {
/// f(map of x) with the storage order that makes x's inner stride one.
template <class T, class F> void with_map(long rows, long columns, const matrix<const T>& x, F&& f) {
  using namespace Eigen;
  if (x.column == 1) f(Map<const Matrix<T, Dynamic, Dynamic, RowMajor>, 0, OuterStride<>>(x.p, rows, columns, OuterStride<>(std::max(x.row, columns))));
  else f(Map<const Matrix<T, Dynamic, Dynamic, ColMajor>, 0, OuterStride<>>(x.p, rows, columns, OuterStride<>(std::max(x.column, rows))));
}
template <class T> void eigen_of_one_type(long m, long n, long k, const matrix<const T>& a, const matrix<const T>& b, const matrix<T>& c, bool add) {
  using namespace Eigen;
  Map<Matrix<T, Dynamic, Dynamic, RowMajor>, 0, OuterStride<>> to(c.p, m, n, OuterStride<>(std::max(c.row, n)));
  with_map<T>(m, k, a, [&](const auto& x) {
    with_map<T>(k, n, b, [&](const auto& y) {
      // One row is a matrix times a vector to Eigen only if it is said so, and then three times as fast.
      if (m == 1) {
        auto row = to.row(0).transpose();
        if (add) row.noalias() += y.transpose() * x.row(0).transpose();
        else row.noalias() = y.transpose() * x.row(0).transpose();
      } else if (add) to.noalias() += x * y;
      else to.noalias() = x * y;
    });
  });
}
}  // namespace detail

/// c[m, n] (+)= a[m, k] b[k, n]; in each of them one stride is 1. b may be bf16 or f16.
template <class T, class B = T>
void eigen_product(long m, long n, long k, const matrix<const T>& a, const matrix<const B>& b, const matrix<T>& c, bool add) {
  if (m <= 0 || n <= 0) return;
  if constexpr (!std::is_same_v<T, B>) {
    constexpr long some = 64;
    const bool by_columns = b.row == 1;                      // stored [n, k]
    const long outer = by_columns ? n : k, inner = by_columns ? k : n;
    scratch<T> wide(std::min(some, outer) * inner + 1);
    if (outer == 0 || inner == 0) return eigen_product<T, T>(m, n, 0, a, {wide.get(), inner, 1}, c, add);
    for (long at = 0; at < outer; at += some) {
      const long here = std::min(some, outer - at);
      for (long r = 0; r < here; ++r) convert<T, B>(wide.get() + r * inner, (by_columns ? b.at(0, at + r) : b.at(at + r, 0)).p, inner);
      if (by_columns) eigen_product<T, T>(m, here, k, a, {wide.get(), 1, inner}, c.at(0, at), add);
      else eigen_product<T, T>(m, n, here, a.at(0, at), {wide.get(), inner, 1}, c, add || at > 0);
    }
  } else if (c.column != 1) {                                // c^T = b^T a^T
    eigen_product<T, T>(n, m, k, b.transposed(), a.transposed(), c.transposed(), add);
  } else if (k <= 0) {
    if (!add)
      for (long i = 0; i < m; ++i) std::fill_n(c.p + i * c.row, n, T(0));
  } else {
    detail::eigen_of_one_type<T>(m, n, k, a, b, c, add);
  }
}

}  // namespace shardproof::cpu

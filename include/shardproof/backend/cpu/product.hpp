#pragma once
/// @file
/// c (+)= a b for any strides: chooses the kernel.
///
///     product<float>(m, n, k, {x, k, 1}, matrix<const float>{w, 1, k}, {y, n, 1}, false);      // y = x w^T, w stored [n, k]
///
/// The kernels beside this file were measured against Eigen class by class (bench/kernels.cpp): one row, a few rows and many, each
/// with the matrix as stored, transposed and summed over tokens, f32 and f64; docs/performance.md has the ratios. Eigen remains
/// their oracle in the tests, and takes over all products with SHARDPROOF_EIGEN_PRODUCTS (CMake: SHARDPROOF_CPU_PRODUCTS=eigen),
/// for processors on which nobody has measured. Only then is it included. With Eigen a result may depend on how many columns are
/// computed beside it, so that a shard's differs from the whole's by rounding; with the kernels here it does not.
#include <shardproof/backend/cpu/row.hpp>
#include <shardproof/backend/cpu/stream.hpp>
#include <shardproof/backend/cpu/tile.hpp>
#if defined(SHARDPROOF_EIGEN_PRODUCTS)
# include <shardproof/backend/cpu/eigen_product.hpp>
#endif
namespace shardproof::cpu {

/// c[m, n] (+)= a[m, k] b[k, n]; in each of them one stride is 1. b may be bf16 or f16.
template <class T, class B = T>
void product(long m, long n, long k, const matrix<const T>& a, const matrix<const B>& b, const matrix<T>& c, bool add) {
  if (m <= 0 || n <= 0) return;
  if (k <= 0) {
    if (!add)
      for (long i = 0; i < m; ++i)
        for (long j = 0; j < n; ++j) c.p[i * c.row + j * c.column] = T(0);
    return;
  }
#if defined(SHARDPROOF_EIGEN_PRODUCTS)
  return eigen_product<T, B>(m, n, k, a, b, c, add);
#else
  if (b.row == 1) {                                        // stored [n, k]
    if (a.column == 1 && m <= stream_rows) return stream_product<T, B>(m, n, k, a, b.transposed(), c, add);
    if constexpr (std::is_same_v<T, B>)
      if (a.column == 1 && n <= stream_rows) return stream_product<T, T>(n, m, k, b.transposed(), a, c.transposed(), add);
    return lane_product<T, B, T>(n, m, k, b.transposed(), a.transposed(), c.transposed(), add);
  }
  if (m == 1 && c.column == 1) return row_product<T, B>(n, k, a.p, a.column, b, c.p, add);
  lane_product<T, T, B>(m, n, k, a, b, c, add);
#endif
}

}  // namespace shardproof::cpu

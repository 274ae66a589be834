#pragma once
/// @file
/// The kernel `matmul`: chooses the types, and which operand is read which way.
///
///     cpu::matmul({x, w, y, m, n, k, false, true});      // y = x w^T
#include <shardproof/backend/cpu/operand.hpp>
#include <shardproof/backend/cpu/product.hpp>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cpu {

namespace detail {
template <class T, class B> void matmul_as(const matmul_args& x, const T* a, const B* b) {
  const matrix<const T> left = x.ta ? matrix<const T>{a, 1, x.m} : matrix<const T>{a, x.k, 1};
  const matrix<const B> right = x.tb ? matrix<const B>{b, 1, x.k} : matrix<const B>{b, x.n, 1};
  product<T, B>(x.m, x.n, x.k, left, right, {x.c.as<T>(), x.n, 1}, x.accumulate);
}
}  // namespace detail

inline void matmul(const matmul_args& x) {
  if (x.c.type == dtype::f64) {
    const operand<double> a(x.a), b(x.b);
    return detail::matmul_as<double, double>(x, a.p, b.p);
  }
  const operand<float> a(x.a);
  if (x.b.type == dtype::bf16) return detail::matmul_as<float, bf16>(x, a.p, x.b.as<const bf16>());
  if (x.b.type == dtype::f16) return detail::matmul_as<float, f16>(x, a.p, x.b.as<const f16>());
  const operand<float> b(x.b);
  detail::matmul_as<float, float>(x, a.p, b.p);
}

}  // namespace shardproof::cpu

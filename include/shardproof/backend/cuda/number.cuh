#pragma once
/// @file
/// Elements in memory and the numbers they are computed as: 16-bit types are widened to f32, everything else is itself.
///
///     float w = cuda::load<float>(weights, i);             // from bf16, rounded nowhere
///     cuda::store(y, i, 0.5f);                             // to bf16: to nearest, ties to even
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <shardproof/runtime/dtype.hpp>
namespace shardproof::cuda {

__device__ inline float widen(bf16 x) { return __uint_as_float(unsigned(x.bits) << 16); }
__device__ inline float widen(f16 x) { return __half2float(__ushort_as_half(x.bits)); }
__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }
__device__ inline std::int64_t widen(std::int64_t x) { return x; }
__device__ inline std::int32_t widen(std::int32_t x) { return x; }
__device__ inline std::int32_t widen(std::int8_t x) { return x; }
__device__ inline std::int32_t widen(std::uint8_t x) { return x; }

/// p[i] as a C.
template <class C, class T> __device__ C load(const T* p, long i) { return C(widen(p[i])); }

namespace detail {
__device__ inline std::uint16_t bits_of_bf16(float f) {
  const unsigned u = __float_as_uint(f);
  return std::uint16_t(f != f ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16);
}
}  // namespace detail
/// p[i] = x, rounded once where the type is narrower (f64 to a 16-bit type by way of f32, as on the host).
template <class T, class C> __device__ void store(T* p, long i, C x) { p[i] = T(x); }
template <class C> __device__ void store(bf16* p, long i, C x) { p[i].bits = detail::bits_of_bf16(float(x)); }
template <class C> __device__ void store(f16* p, long i, C x) { p[i].bits = __half_as_ushort(__float2half_rn(float(x))); }

}  // namespace shardproof::cuda

#pragma once
/// @file
/// Half numbers of the emulated CUDA, by the library's own conversion.
#include <shardproof/runtime/dtype.hpp>
struct __half { std::uint16_t bits; };
inline __half __ushort_as_half(unsigned short u) { return {u}; }
inline unsigned short __half_as_ushort(__half h) { return h.bits; }
inline float __half2float(__half h) { shardproof::f16 x; x.bits = h.bits; return x; }
inline __half __float2half_rn(float f) { return {shardproof::f16(f).bits}; }

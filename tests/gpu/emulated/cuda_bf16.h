#pragma once
/// @file
/// bfloat16 numbers of the emulated CUDA, by the library's own conversion.
#include <shardproof/runtime/dtype.hpp>
struct alignas(2) __nv_bfloat16 { std::uint16_t bits; };
struct alignas(4) __nv_bfloat162 { __nv_bfloat16 x, y; };
inline __nv_bfloat16 __float2bfloat16_rn(float f) { return {shardproof::bf16(f).bits}; }
inline float __bfloat162float(__nv_bfloat16 h) { shardproof::bf16 x; x.bits = h.bits; return x; }
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {__float2bfloat16_rn(a), __float2bfloat16_rn(b)}; }

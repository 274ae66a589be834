#pragma once
/// @file
/// Scalar types are values of a node, not template parameters of a model's forward.
///
///     static_assert(sp::bytes_of(sp::dtype::bf16) == 2);
///     sp::visit_float(sp::dtype::f64, [](auto zero) { using T = decltype(zero); /* T = double */ });
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
namespace shardproof {

/// bf16, f16: storage only, arithmetic is f32. i64: token ids. f64: for tests to 1e-10 and for gradient checks.
enum class dtype : unsigned char { f32, f64, bf16, f16, i64, i32, i8, u8 };

constexpr std::size_t bytes_of(dtype t) {
  constexpr std::size_t bytes[] = {4, 8, 2, 2, 8, 4, 1, 1};
  return bytes[int(t)];
}
/// As safetensors writes it.
constexpr const char* name_of(dtype t) {
  constexpr const char* names[] = {"F32", "F64", "BF16", "F16", "I64", "I32", "I8", "U8"};
  return names[int(t)];
}
constexpr bool is_float(dtype t) { return t <= dtype::f16; }
/// The type in which values stored as `t` are computed, and of their gradients.
constexpr dtype compute_type(dtype t) { return t == dtype::f64 ? dtype::f64 : is_float(t) ? dtype::f32 : t; }
constexpr dtype compute_type(dtype a, dtype b) { return a == dtype::f64 || b == dtype::f64 ? dtype::f64 : dtype::f32; }

/// The upper half of a float; rounds to nearest, ties to even; NaN stays NaN.
struct bf16 {
  std::uint16_t bits = 0;
  bf16() = default;
  explicit bf16(float f) {
    std::uint32_t u;
    std::memcpy(&u, &f, 4);
    bits = f != f ? std::uint16_t(u >> 16 | 0x40) : std::uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
  operator float() const {
    const std::uint32_t u = std::uint32_t(bits) << 16;
    float f;
    std::memcpy(&f, &u, 4);
    return f;
  }
};

/// IEEE half; converted in software, since not every supported compiler has a native type.
struct f16 {
  std::uint16_t bits = 0;
  f16() = default;
  explicit f16(float f) {
    std::uint32_t u;
    std::memcpy(&u, &f, 4);
    const std::uint32_t sign = u >> 16 & 0x8000u;
    const std::uint32_t a = u & 0x7fffffffu;
    if (a >= 0x47800000u) bits = std::uint16_t(sign | (a > 0x7f800000u ? 0x7e00u : 0x7c00u));        // too large, inf or NaN
    else if (a < 0x38800000u) {                                                                      // subnormal or zero
      const int shift = 126 - int(a >> 23);
      const std::uint32_t m = (a & 0x7fffffu) | 0x800000u;
      const std::uint32_t r = shift > 24 ? 0 : m >> shift;
      const std::uint32_t rest = shift > 24 ? 0 : m & ((1u << shift) - 1), half = shift > 24 ? 1 : 1u << (shift - 1);
      bits = std::uint16_t(sign | (r + (rest > half || (rest == half && (r & 1)))));
    } else bits = std::uint16_t(sign | (((a - 0x38000000u) + 0xfff + (a >> 13 & 1)) >> 13));
  }
  operator float() const {
    const std::uint32_t sign = std::uint32_t(bits & 0x8000u) << 16;
    std::uint32_t e = bits >> 10 & 31, m = bits & 0x3ffu, u;
    if (e == 31) u = sign | 0x7f800000u | m << 13;
    else if (e) u = sign | (e + 112) << 23 | m << 13;
    else if (!m) u = sign;
    else {
      int shift = 0;
      while (!(m & 0x400u)) { m <<= 1; ++shift; }
      u = sign | std::uint32_t(113 - shift) << 23 | (m & 0x3ffu) << 13;
    }
    float f;
    std::memcpy(&f, &u, 4);
    return f;
  }
};

/// f(T{}) with the C++ type that stores `t`.
template <class F> constexpr decltype(auto) visit(dtype t, F&& f) {
  switch (t) {
    case dtype::f64: return f(double{});
    case dtype::bf16: return f(bf16{});
    case dtype::f16: return f(f16{});
    case dtype::i64: return f(std::int64_t{});
    case dtype::i32: return f(std::int32_t{});
    case dtype::i8: return f(std::int8_t{});
    case dtype::u8: return f(std::uint8_t{});
    default: return f(float{});
  }
}
/// The element of type t at `at`, which need not be aligned, as a double. Host copies are read with one loop for all types, since
/// a loop for each would be paid by every program that includes the library.
inline double read_element(dtype t, const void* at) {
  return visit(t, [at](auto x) { std::memcpy(&x, at, sizeof x); return double(x); });
}
/// `value` rounded once to t and written to `at`, which need not be aligned.
inline void write_element(dtype t, void* at, double value) {
  visit(t, [=](auto x) {
    using T = decltype(x);
    if constexpr (sizeof(T) == 2) x = T(float(value));                       // the 16-bit types are made from float
    else x = T(value);
    std::memcpy(at, &x, sizeof x);
  });
}
/// f(T{}) with the C++ type that stores `t`, where that is a floating one.
template <class F> constexpr void visit_real(dtype t, F&& f) {
  visit(t, [&](auto zero) { if constexpr (std::is_floating_point_v<decltype(zero)> || sizeof zero == 2) f(zero); });
}
/// f(T{}) with the one of the two types of arithmetic.
template <class F> constexpr decltype(auto) visit_float(dtype t, F&& f) { return t == dtype::f64 ? f(double{}) : f(float{}); }

}  // namespace shardproof

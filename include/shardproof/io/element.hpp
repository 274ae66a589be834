#pragma once
/// @file
/// The scalar types a safetensors file may name, and which of them the library computes with.
///
///     sp::io::name_of(sp::io::element::f8_e4m3);               // "F8_E4M3"
///     sp::io::element_named("BF16");                           // element::bf16; empty for an unknown name
///     sp::io::stored_as(sp::dtype::f32);                       // element::f32
#include <cstddef>
#include <iterator>
#include <optional>
#include <string_view>
#include <shardproof/runtime/dtype.hpp>
namespace shardproof::io {

/// Every dtype of the format (https://github.com/huggingface/safetensors, 0.7), whether the library computes with it or not.
enum class element : unsigned char {
  boolean, u8, i8, f8_e5m2, f8_e4m3, f8_e8m0, i16, u16, f16, bf16, i32, u32, f32, c64, f64, i64, u64, f6_e2m3, f6_e3m2, f4
};

namespace detail {
struct element_row { const char* name; int bits; int type; };             // type: the dtype, or -1
inline constexpr element_row elements[] = {
    {"BOOL", 8, -1},        {"U8", 8, int(dtype::u8)},      {"I8", 8, int(dtype::i8)},    {"F8_E5M2", 8, -1},
    {"F8_E4M3", 8, -1},     {"F8_E8M0", 8, -1},             {"I16", 16, -1},              {"U16", 16, -1},
    {"F16", 16, int(dtype::f16)}, {"BF16", 16, int(dtype::bf16)}, {"I32", 32, int(dtype::i32)}, {"U32", 32, -1},
    {"F32", 32, int(dtype::f32)}, {"C64", 64, -1},          {"F64", 64, int(dtype::f64)}, {"I64", 64, int(dtype::i64)},
    {"U64", 64, -1},        {"F6_E2M3", 6, -1},             {"F6_E3M2", 6, -1},           {"F4", 4, -1}};
}  // namespace detail

/// As the file writes it.
constexpr const char* name_of(element e) { return detail::elements[int(e)].name; }
/// Bits of one element; fewer than 8 for the packed types.
constexpr int bits_of(element e) { return detail::elements[int(e)].bits; }
/// The type of the library that reads these bytes as they are; empty for one that it does not compute with.
constexpr std::optional<dtype> dtype_of(element e) {
  const int type = detail::elements[int(e)].type;
  if (type < 0) return std::nullopt;
  return dtype(type);
}
constexpr element stored_as(dtype t) {
  for (std::size_t k = 0; k < std::size(detail::elements); ++k)
    if (detail::elements[k].type == int(t)) return element(k);
  return element::u8;
}
constexpr std::optional<element> element_named(std::string_view name) {
  for (std::size_t k = 0; k < std::size(detail::elements); ++k)
    if (name == detail::elements[k].name) return element(k);
  return std::nullopt;
}

}  // namespace shardproof::io

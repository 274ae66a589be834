#pragma once
/// @file
/// A row-major product as cuBLASLt's column-major problem, in numbers: no CUDA is needed to plan it, so it is tested anywhere.
///
///     const cuda::product p = cuda::product_of({.m = 5, .n = 40, .k = 83, .tb = true});      // c[5, 40] = a[5, 83] b[40, 83]^T
///     const cuda::column_major w = cuda::first_of(p);      // b: 83 x 40, leading dimension 83, transposed
///     const cuda::product_key key = cuda::key_of(p, {256, 4, 256}, device);
///
/// A row-major matrix is the column-major transpose of itself, so that c^T = op(b)^T op(a)^T is computed: the operands change
/// places, and their transposes are what they were. The rest is what cuBLASLt leaves to its caller: which type both operands have,
/// how a weight of another type is converted a slice at a time, where extents are too long, and what an algorithm is remembered by.
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <shardproof/backend/cuda/products.hpp>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cuda {

enum class arithmetic : unsigned char { f32, tf32, f64 };
/// What happens to a product before it is written; gelu is the tanh approximation, a bias is [n] f32.
enum class epilogue : unsigned char { none, bias, gelu, gelu_bias };
constexpr bool has_bias(epilogue e) { return e == epilogue::bias || e == epilogue::gelu_bias; }

/// c[m,n] (+)= op(a) op(b), row-major; leading dimensions are elements from one stored row to the next.
struct product {
  long m = 0, n = 0, k = 0;
  bool ta = false, tb = false, accumulate = false;
  long lda = 0, ldb = 0, ldc = 0;
  dtype operands = dtype::f32, result = dtype::f32;
  arithmetic how = arithmetic::f32;
  epilogue after = epilogue::none;
  constexpr bool operator==(const product&) const = default;
};
/// Of contiguous operands; types are still those of c.
inline product product_of(const matmul_args& x) {
  const arithmetic how = x.c.type == dtype::f64 ? arithmetic::f64 : arithmetic::f32;
  return {x.m, x.n, x.k, x.ta, x.tb, x.accumulate, x.ta ? x.m : x.k, x.tb ? x.k : x.n, x.n, x.c.type, x.c.type, how};
}

// ---- as cuBLASLt sees it
struct column_major {
  long rows = 0, columns = 0, ld = 0;
  bool transposed = false;
  constexpr bool operator==(const column_major&) const = default;
};
constexpr column_major first_of(const product& p) { return p.tb ? column_major{p.k, p.n, p.ldb, true} : column_major{p.n, p.k, p.ldb, false}; }
constexpr column_major second_of(const product& p) { return p.ta ? column_major{p.m, p.k, p.lda, true} : column_major{p.k, p.m, p.lda, false}; }
constexpr column_major result_of(const product& p) { return {p.n, p.m, p.ldc, false}; }

// ---- types
struct product_types {
  dtype operands;
  arithmetic how;
  constexpr bool operator==(const product_types&) const = default;
};
/// The type both operands are brought to; see products.hpp for what that rounds.
constexpr product_types types_of(products asked, dtype b, dtype c) {
  if (c == dtype::f64) return {dtype::f64, arithmetic::f64};
  if (asked == products::bf16 || (asked == products::tf32 && b == dtype::bf16)) return {dtype::bf16, arithmetic::f32};
  return {dtype::f32, asked == products::tf32 ? arithmetic::tf32 : arithmetic::f32};
}

// ---- a few rows: kernels of our own (few_rows.cuh) read the weights as they are stored, once for eight rows
inline constexpr long rows_at_once = 8;
/// Up to how many rows that moves fewer bytes than a product behind a conversion of the weights, which reads, writes and reads them.
constexpr long most_few_rows(dtype b, dtype operands) {
  const long stored = long(bytes_of(b)), passes = b == operands ? 1 : (stored + 2 * long(bytes_of(operands))) / stored;
  return rows_at_once * (passes < 1 ? 1 : passes > 4 ? 4 : passes);
}
/// Rows of a must lie one behind the other.
constexpr bool has_few_rows(const product& p, dtype b, dtype operands) { return (!p.ta || p.m == 1) && p.m <= most_few_rows(b, operands); }

// ---- parts of a product
struct span_of { long first = 0, count = 0; };
/// Rows [m), columns [n), terms [k) of a product; where their operands begin, in elements. Later terms are added to the earlier
/// ones, and the last ones bring the epilogue.
struct product_part {
  product p;
  long a = 0, b = 0, c = 0;
};
constexpr product_part part_of(const product& p, span_of m, span_of n, span_of k) {
  product_part x{p, p.ta ? k.first * p.lda + m.first : m.first * p.lda + k.first, p.tb ? n.first * p.ldb + k.first : k.first * p.ldb + n.first,
                 m.first * p.ldc + n.first};
  x.p.m = m.count, x.p.n = n.count, x.p.k = k.count;
  x.p.accumulate = p.accumulate || k.first > 0;
  if (k.first + k.count < p.k) x.p.after = epilogue::none;
  return x;
}
/// cuBLASLt's kernels count in int; a multiple of every alignment.
inline constexpr long longest_extent = 1l << 30;
/// f(span) for n in pieces of at most `most`.
template <class F> constexpr void in_pieces(long n, long most, F&& f) {
  for (long first = 0; first < n; first += most) f(span_of{first, n - first < most ? n - first : most});
}
/// Weights of another type are converted this much at a time.
inline constexpr std::size_t scratch_bytes = std::size_t(64) << 20;
/// How many of `rows` stored rows of `width` elements are converted at a time: alike slices, in eights where there are several.
constexpr long rows_of_slice(long rows, long width, dtype to, std::size_t limit = scratch_bytes) {
  const long bytes = width * long(bytes_of(to)), fit = bytes > 0 ? long(limit) / bytes : rows;
  if (fit >= rows) return rows;
  if (fit < 8) return fit < 1 ? 1 : fit;
  const long most = fit / 8 * 8, slices = (rows + most - 1) / most;
  return ((rows + slices - 1) / slices + 7) / 8 * 8;
}

// ---- what an algorithm is remembered by
/// The greatest power of two that divides an address, 256 at most. Kernels distinguish 16 bytes, so what lies between is 16.
constexpr unsigned alignment_of(std::uintptr_t at) {
  const unsigned low = unsigned(at & (~at + 1) & 0xff);
  return low == 0 ? 256 : low > 16 ? 16 : low;
}
inline unsigned alignment_of(const void* p) { return alignment_of(reinterpret_cast<std::uintptr_t>(p)); }
struct alignments { unsigned a = 256, b = 256, c = 256, bias = 256; };

struct product_key {
  std::array<std::uint64_t, 8> words{};
  constexpr bool operator==(const product_key&) const = default;
};
/// Whether c is added to is no part of it: the same algorithms do both. `device`: equal on devices of one kind.
constexpr product_key key_of(const product& p, alignments at, std::uint64_t device) {
  std::uint64_t how = 0;
  for (const unsigned v : {unsigned(p.ta), unsigned(p.tb), unsigned(p.operands), unsigned(p.result), unsigned(p.how), unsigned(p.after)}) how = how << 4 | v;
  for (const unsigned v : {at.a, at.b, at.c, at.bias}) how = how << 4 | unsigned(std::countr_zero(v));
  return {{std::uint64_t(p.m), std::uint64_t(p.n), std::uint64_t(p.k), std::uint64_t(p.lda), std::uint64_t(p.ldb), std::uint64_t(p.ldc), how, device}};
}
struct hash_of_key {
  constexpr std::size_t operator()(const product_key& k) const {
    std::uint64_t h = 0;
    for (const std::uint64_t w : k.words) {
      h = (h ^ w) * 0x9e3779b97f4a7c15ull;
      h ^= h >> 32;
    }
    return std::size_t(h);
  }
};

/// "c[5,40] F32 = a[5,83] b[40,83]^T, operands BF16, f32 arithmetic", for messages.
inline std::string describe(const product& p) {
  const auto matrix = [](const char* name, long r, long c, bool t) {
    return std::string(name) + "[" + std::to_string(r) + "," + std::to_string(c) + "]" + (t ? "^T" : "");
  };
  constexpr const char* how[] = {"f32", "tf32", "f64"};
  constexpr const char* after[] = {"", ", then a bias", ", then gelu", ", then a bias and gelu"};
  return matrix("c", p.m, p.n, false) + " " + shardproof::name_of(p.result) + (p.accumulate ? " += " : " = ") +
         matrix("a", p.ta ? p.k : p.m, p.ta ? p.m : p.k, p.ta) + " " + matrix("b", p.tb ? p.n : p.k, p.tb ? p.k : p.n, p.tb) + ", operands " +
         shardproof::name_of(p.operands) + ", " + how[int(p.how)] + " arithmetic" + after[int(p.after)] +
         (p.lda != (p.ta ? p.m : p.k) || p.ldb != (p.tb ? p.k : p.n) || p.ldc != p.n
              ? ", leading dimensions " + std::to_string(p.lda) + ", " + std::to_string(p.ldb) + " and " + std::to_string(p.ldc)
              : "");
}

}  // namespace shardproof::cuda

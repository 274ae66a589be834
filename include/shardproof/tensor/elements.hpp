#pragma once
/// @file
/// What the kernel of a user's operation sees of a tensor: this rank's elements, and which part of the whole they are.
///
///     static void compute(auto y, auto x) { for (long i = 0; i < y.count(); ++i) y[i] = x[i] > 0 ? x[i] : 0; }
///     static void compute(auto y, auto table, sp::indices ids);            // ids are i64, y and table are f32 or f64
#include <cstdint>
#include <type_traits>
#include <shardproof/core/partition.hpp>
#include <shardproof/runtime/shape.hpp>
namespace shardproof {

/// Contiguous and row-major; does not own. T is float or double, const where it may only be read.
template <class T> struct elements {
  using value_type = std::remove_const_t<T>;
  T* p = nullptr;
  shape s;                                             ///< this rank's extents
  slice held{};                                        ///< the items of the sharded dimension held here; {0, 0} if none is
  placement place;                                     ///< on tp
  constexpr T& operator[](long i) const { return p[i]; }
  constexpr T* begin() const { return p; }
  constexpr T* end() const { return p + count(); }
  constexpr long count() const { return s.count(); }
  /// Extent of the last dimension, 1 for a scalar.
  constexpr long last() const { return s.rank ? s[-1] : 1; }
};
/// An operand of whole numbers: token ids, positions. It has no gradient.
using indices = elements<const std::int64_t>;

}  // namespace shardproof

#pragma once
/// @file
/// Extents without names, and a view of a contiguous block: what kernels see.
///
///     sp::shape s{2, 5, 16};                              // s.count() == 160, s.tail(1) == 16, s.lead(1) == 10
///     sp::view v{pointer, sp::dtype::f32, s};             // v.as<float>()[i]
#include <initializer_list>
#include <shardproof/runtime/dtype.hpp>
namespace shardproof {

inline constexpr int max_rank = 6;

/// Row-major extents of one rank's part of a tensor.
struct shape {
  long n[max_rank]{};
  int rank = 0;
  constexpr shape() = default;
  constexpr shape(std::initializer_list<long> list) { for (long k : list) n[rank++] = k; }
  constexpr long operator[](int i) const { return n[i < 0 ? rank + i : i]; }
  constexpr long count() const { return tail(rank); }
  constexpr long tail(int k) const { long c = 1; for (int i = rank - k; i < rank; ++i) c *= n[i]; return c; }   ///< product of the last k
  constexpr long lead(int k) const { long c = 1; for (int i = 0; i < rank - k; ++i) c *= n[i]; return c; }      ///< product of all but the last k
  constexpr void push(long k) { n[rank++] = k; }
  constexpr shape with(int i, long k) const { shape s = *this; s.n[i < 0 ? rank + i : i] = k; return s; }
  constexpr bool operator==(const shape& o) const {
    if (rank != o.rank) return false;
    for (int i = 0; i < rank; ++i) if (n[i] != o.n[i]) return false;
    return true;
  }
};

/// A contiguous block of one dtype; does not own. A null pointer means "absent" to a kernel.
struct view {
  void* p = nullptr;
  dtype type = dtype::f32;
  shape s;
  explicit operator bool() const { return p != nullptr; }
  long count() const { return s.count(); }
  std::size_t bytes() const { return std::size_t(count()) * bytes_of(type); }
  template <class T> T* as() const { return static_cast<T*>(p); }
};

}  // namespace shardproof

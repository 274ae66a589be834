#pragma once
/// @file
/// Numbers of one type as those of another: a copy in memory, and what a kernel reads that has one type of arithmetic.
///
///     cuda::cast(y, x);                                    // y = x, converting the dtype
///     const cuda::converted<float> q(args.q);              // the view's own memory if it is f32, else a copy for this scope
///     launch("kernel", kernel<float>, g, q.p);             // the copy goes back to the pool behind the kernel
///
/// Tiling: map.cuh. Bytes moved: both once. Models widen where they read, so that copies are rare.
#include <type_traits>
#include <shardproof/backend/cuda/map.cuh>
#include <shardproof/backend/cuda/memory.cuh>
#include <shardproof/runtime/shape.hpp>
namespace shardproof::cuda {

namespace detail {
template <class T> inline constexpr bool is_16_bit = std::is_same_v<T, bf16> || std::is_same_v<T, f16>;
template <class T> struct unchanged { __device__ T operator()(T x) const { return x; } };
/// From 16 bits by way of f32, exactly; i64 to 16 bits by way of f64, as on the host.
template <class T, class U> inline constexpr bool is_long_to_16_bit = std::is_same_v<U, std::int64_t> && is_16_bit<T>;
template <class T, class U> using cast_by = std::conditional_t<is_16_bit<U>, float, std::conditional_t<is_long_to_16_bit<T, U>, double, U>>;
}  // namespace detail

inline void cast(const view& y, const view& x) {
  const long n = y.count();
  if (n == 0 || (y.type == x.type && y.p == x.p)) return;
  if (y.type == x.type) return check(cudaMemcpyAsync(y.p, x.p, y.bytes(), cudaMemcpyDefault, own_queue().stream), "a copy");
  visit(y.type, [&](auto to) {
    visit(x.type, [&](auto from) {
      using T = decltype(to);
      using U = decltype(from);
      using C = detail::cast_by<T, U>;
      map<C>("cast", y.as<T>(), n, detail::unchanged<C>{}, x.as<const U>());
    });
  });
}

/// The values of a floating view as T. Null stays null.
template <class T> class converted {
  scratch<T> copy_;

 public:
  const T* const p;
  explicit converted(const view& v) : copy_(v && sizeof(T) != bytes_of(v.type) ? v.count() : 0), p(copy_.p ? copy_.p : v.as<const T>()) {
    if (copy_.p) cast({copy_.p, sizeof(T) == 8 ? dtype::f64 : dtype::f32, v.s}, v);
  }
};

}  // namespace shardproof::cuda

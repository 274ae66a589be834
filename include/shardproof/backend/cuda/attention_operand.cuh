#pragma once
/// @file
/// Reads a view in the type of the arithmetic, whatever it is stored in, as cpu/operand.hpp does.
///
///     const operand<float> q(args.q);                      // the view's own memory if it is f32, else a converted copy for this scope
///     launch("kernel", kernel<float>, g, q.p);             // the copy goes back to the pool behind the kernel
///
/// A thread an element: a copy reads each once and writes it once. Models widen before attention, so that copies are rare.
#include <shardproof/backend/cuda/launch.cuh>
#include <shardproof/backend/cuda/memory.cuh>
#include <shardproof/backend/cuda/number.cuh>
#include <shardproof/runtime/shape.hpp>
namespace shardproof::cuda::detail {

template <class T, class U> __global__ void widen_operand(T* y, const U* x, long n) {
  for (long i = first_index(); i < n; i += index_stride()) y[i] = load<T>(x, i);
}

/// Memory of the device for a scope, in the order of the queue.
template <class T> class scratch {
  std::size_t bytes_ = 0;

 public:
  T* p = nullptr;
  scratch() = default;
  explicit scratch(long n) : bytes_(std::size_t(n) * sizeof(T)), p(static_cast<T*>(take(bytes_))) {}
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() { give(p, bytes_); }
  void reserve(long n) {
    give(p, bytes_);
    bytes_ = 0;
    p = nullptr;
    p = static_cast<T*>(take(std::size_t(n) * sizeof(T)));
    bytes_ = std::size_t(n) * sizeof(T);
  }
};

/// The values of a floating view as T. Null stays null.
template <class T> class operand {
  scratch<T> copy_;

 public:
  const T* p = nullptr;
  explicit operand(const view& v) {
    if (!v) return;
    if (sizeof(T) == bytes_of(v.type)) {
      p = v.as<const T>();
      return;
    }
    const long n = v.count();
    copy_.reserve(n);
    visit(v.type, [&](auto zero) {
      using U = decltype(zero);
      if constexpr (std::is_same_v<U, float> || std::is_same_v<U, double> || std::is_same_v<U, bf16> || std::is_same_v<U, f16>)
        launch("an operand's conversion", widen_operand<T, U>, over(n), copy_.p, v.as<const U>(), n);
    });
    p = copy_.p;
  }
};

}  // namespace shardproof::cuda::detail

#pragma once
/// @file
/// The functions of one argument, and their gradients.
///
///     cuda::apply(unary::silu, y, x, 0);
///     cuda::apply_backward(unary::silu, dx, dy, x, y, 0);      // dx += dy * silu'(x)
///
/// Tiling: map.cuh. Bytes moved: x and y; dx twice, dy, and x or y. FLOP an element: one to about forty (an exponential, erfc).
/// Of the functions with several formulas those are taken that lose no digits in a tail: x * sigmoid(2 u) for gelu_tanh, erfc for
/// gelu. A NaN stays: bounds are written so that a comparison with it chooses x.
#include <shardproof/backend/cuda/elementwise.cuh>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cuda {

namespace detail {
__device__ inline float exp_of(float x) { return ::expf(x); }
__device__ inline double exp_of(double x) { return ::exp(x); }
__device__ inline float tanh_of(float x) { return ::tanhf(x); }
__device__ inline double tanh_of(double x) { return ::tanh(x); }
__device__ inline float sqrt_of(float x) { return ::sqrtf(x); }
__device__ inline double sqrt_of(double x) { return ::sqrt(x); }
template <class T> __device__ T sigmoid_of(T x) { return 1 / (1 + exp_of(-x)); }
/// P(X <= x) of the normal distribution, and its density.
__device__ inline float normal_below(float x) { return 0.5f * ::erfcf(x * -0.70710678118654752440f); }
__device__ inline double normal_below(double x) { return 0.5 * ::erfc(x * -0.70710678118654752440); }
template <class T> __device__ T normal_density(T x) { return exp_of(x * x * T(-0.5)) * T(0.39894228040143267794); }
/// 2 u, where gelu_tanh is x * (1 + tanh u) / 2: 2 sqrt(2 / pi) (x + 0.044715 x^3).
template <class T> __device__ T gelu_argument(T x) { return x * (T(1.59576912160573071176) + T(0.07135481627260025) * x * x); }

template <unary F, class T> struct function_of {
  T c;
  __device__ T operator()(T x) const {
    if constexpr (F == unary::silu) return x * sigmoid_of(x);
    else if constexpr (F == unary::gelu) return x * normal_below(x);
    else if constexpr (F == unary::gelu_tanh) return x * sigmoid_of(gelu_argument(x));
    else if constexpr (F == unary::relu) return x < 0 ? T(0) : x;
    else if constexpr (F == unary::squared_relu) return x < 0 ? T(0) : x * x;
    else if constexpr (F == unary::sigmoid) return sigmoid_of(x);
    else if constexpr (F == unary::tanh) return tanh_of(x);
    else if constexpr (F == unary::scale) return x * c;
    else if constexpr (F == unary::shift) return x + c;
    else if constexpr (F == unary::softcap) return c * tanh_of(x / c);
    else if constexpr (F == unary::exp) return exp_of(x);
    else if constexpr (F == unary::rsqrt) return 1 / sqrt_of(x + c);
    else if constexpr (F == unary::at_most) return x > c ? c : x;
    else return x > c ? c : x < -c ? -c : x;
  }
};

/// Which of its two operands a gradient reads.
constexpr bool slope_reads_y(unary f) {
  return f == unary::sigmoid || f == unary::tanh || f == unary::softcap || f == unary::exp || f == unary::rsqrt;
}
constexpr bool slope_reads_none(unary f) { return f == unary::scale || f == unary::shift; }

/// The slope at u, which is x, or y where slope_reads_y. At a bound itself it is 1, as torch's.
template <unary F, class T> __device__ T slope_of(T u, T c) {
  if constexpr (F == unary::silu) {
    const T s = sigmoid_of(u);
    return s * (1 + u * (1 - s));
  } else if constexpr (F == unary::gelu) return normal_below(u) + u * normal_density(u);
  else if constexpr (F == unary::gelu_tanh) {
    const T s = sigmoid_of(gelu_argument(u));
    return s + u * s * (1 - s) * (T(1.59576912160573071176) + T(3 * 0.07135481627260025) * u * u);
  } else if constexpr (F == unary::relu) return u > 0 ? T(1) : T(0);
  else if constexpr (F == unary::squared_relu) return u > 0 ? u + u : T(0);
  else if constexpr (F == unary::sigmoid) return u * (1 - u);
  else if constexpr (F == unary::tanh) return 1 - u * u;
  else if constexpr (F == unary::softcap) return 1 - (u / c) * (u / c);
  else if constexpr (F == unary::exp) return u;
  else if constexpr (F == unary::rsqrt) return T(-0.5) * u * u * u;
  else if constexpr (F == unary::at_most) return u > c ? T(0) : T(1);
  else return u > c || u < -c ? T(0) : T(1);
}
template <unary F, class T> struct added_slope {
  T c;
  __device__ T operator()(T old, T g, T u) const { return old + g * slope_of<F>(u, c); }
  __device__ T operator()(T old, T g) const { return old + (F == unary::scale ? g * c : g); }     // where it reads neither
};

/// g(std::integral_constant<unary, f>{})
template <class G> void with_function(unary f, G&& g) {
  const auto is = [&]<unary F>(std::integral_constant<unary, F> known) { if (f == F) g(known); };
  [&]<int... F>(std::integer_sequence<int, F...>) { (is(std::integral_constant<unary, unary(F)>{}), ...); }
  (std::make_integer_sequence<int, int(unary::clamp) + 1>{});
}
}  // namespace detail

inline void apply(unary f, const view& y, const view& x, double p) {
  const long n = y.count();
  if (n == 0) return;
  visit_float(y.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> in(x);
    detail::with_function(f, [&](auto known) { map<T>("apply", y.as<T>(), n, detail::function_of<known(), T>{T(p)}, in.p); });
  });
}

/// Reads y for sigmoid, tanh, softcap, exp and rsqrt, and x for the other functions; scale and shift read neither.
inline void apply_backward(unary f, const view& dx, const view& dy, const view& x, const view& y, double p) {
  const long n = dx.count();
  if (n == 0) return;
  visit_float(dx.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> in(detail::slope_reads_none(f) ? view{} : detail::slope_reads_y(f) ? y : x), g(dy);
    T* const to = dx.as<T>();
    detail::with_function(f, [&](auto known) {
      const detail::added_slope<known(), T> add{T(p)};
      if constexpr (detail::slope_reads_none(known())) map<T>("apply_backward", to, n, add, dx.as<const T>(), g.p);
      else map<T>("apply_backward", to, n, add, dx.as<const T>(), g.p, in.p);
    });
  });
}

}  // namespace shardproof::cuda

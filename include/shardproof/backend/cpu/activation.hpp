#pragma once
/// @file
/// The functions of one argument, and their gradients.
///
///     cpu::apply(unary::silu, y, x, 0);
///     cpu::apply_backward(unary::silu, dx, dy, x, y, 0);      // dx += dy * silu'(x)
#include <cmath>
#include <shardproof/backend/cpu/math.hpp>
#include <shardproof/backend/cpu/operand.hpp>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cpu {

namespace detail {
// The tanh approximation is x * sigmoid(2 u): no cancellation where tanh is near -1.
template <class V> [[gnu::always_inline]] inline V gelu_argument(const V& x) {
  using T = std::remove_cvref_t<decltype(x[0])>;
  return x * (T(1.59576912160573071176) + T(0.07135481627260025) * x * x);             // 2 sqrt(2 / pi) (x + 0.044715 x^3)
}
}  // namespace detail

inline void apply(unary f, const view& y, const view& x, double p) {
  visit_float(y.type, [&](auto zero) {
    using T = decltype(zero);
    using V = vec<T>;
    const operand<T> in(x);
    const T c = T(p);
    const V none{};
    const auto each = [&](auto of) { map<T>(y.as<T>(), y.count(), of, in.p); };
    switch (f) {
      case unary::silu: each([](const V& u) -> V { return u * sigmoid(u); }); break;
      case unary::gelu: each([](const V& u) -> V { return u * normal_below(u); }); break;
      case unary::gelu_tanh: each([](const V& u) -> V { return u * sigmoid(detail::gelu_argument(u)); }); break;
      case unary::relu: each([&](const V& u) -> V { return select(u < none, none, u); }); break;
      case unary::squared_relu: each([&](const V& u) -> V { return select(u < none, none, u * u); }); break;
      case unary::sigmoid: each([](const V& u) -> V { return sigmoid(u); }); break;
      case unary::tanh: each([](const V& u) -> V { return tanh(u); }); break;
      case unary::scale: each([&](const V& u) -> V { return u * c; }); break;
      case unary::shift: each([&](const V& u) -> V { return u + c; }); break;
      case unary::softcap: each([&](const V& u) -> V { return c * tanh(V(u / c)); }); break;
      case unary::exp: each([](const V& u) -> V { return exp(u); }); break;
      case unary::rsqrt: for (long i = 0; i < y.count(); ++i) y.as<T>()[i] = 1 / std::sqrt(in.p[i] + c); break;
      case unary::at_most: each([&](const V& u) -> V { return select(u > c, broadcast(c), u); }); break;
      case unary::clamp: each([&](const V& u) -> V { return select(u > c, broadcast(c), select(u < -c, broadcast(-c), u)); }); break;
    }
  });
}

/// Reads y for sigmoid, tanh, softcap, exp and rsqrt, and x for the other functions; scale and shift read neither.
inline void apply_backward(unary f, const view& dx, const view& dy, const view& x, const view& y, double p) {
  const long n = dx.count();
  if (!n) return;
  visit_float(dx.type, [&](auto zero) {
    using T = decltype(zero);
    using V = vec<T>;
    const bool of_y = f == unary::sigmoid || f == unary::tanh || f == unary::softcap || f == unary::exp || f == unary::rsqrt;
    const bool of_neither = f == unary::scale || f == unary::shift;
    const operand<T> in(of_neither ? dy : of_y ? y : x), out_gradient(dy);
    const T c = T(p);
    const V none{};
    T* const to = dx.as<T>();
    const auto each = [&](auto slope) {
      map<T>(to, n, [&](const V& old, const V& g, const V& u) -> V { return old + g * slope(u); }, to, out_gradient.p, in.p);
    };
    switch (f) {
      case unary::silu:
        each([](const V& u) -> V {
          const V s = sigmoid(u);
          return s * (1 + u * (1 - s));
        });
        break;
      case unary::gelu: each([](const V& u) -> V { return normal_below(u) + u * normal_density(u); }); break;
      case unary::gelu_tanh:
        each([](const V& u) -> V {
          const V s = sigmoid(detail::gelu_argument(u));
          return s + u * s * (1 - s) * (T(1.59576912160573071176) + T(3 * 0.07135481627260025) * u * u);
        });
        break;
      case unary::relu: each([&](const V& u) -> V { return select(u > none, broadcast(T(1)), none); }); break;
      case unary::squared_relu: each([&](const V& u) -> V { return select(u > none, V(u + u), none); }); break;
      case unary::sigmoid: each([](const V& s) -> V { return s * (1 - s); }); break;
      case unary::tanh: each([](const V& t) -> V { return 1 - t * t; }); break;
      case unary::scale: each([&](const V&) -> V { return broadcast(c); }); break;
      case unary::shift: each([](const V&) -> V { return broadcast(T(1)); }); break;
      case unary::softcap: each([&](const V& s) -> V { return 1 - (s / c) * (s / c); }); break;
      case unary::exp: each([](const V& e) -> V { return e; }); break;
      case unary::rsqrt: each([](const V& r) -> V { return T(-0.5) * r * r * r; }); break;
      // At the bound itself the slope is 1, as torch's.
      case unary::at_most: each([&](const V& u) -> V { return select(u > c, none, broadcast(T(1))); }); break;
      case unary::clamp: each([&](const V& u) -> V { return select(u > c, none, select(u < -c, none, broadcast(T(1)))); }); break;
    }
  });
}

}  // namespace shardproof::cpu

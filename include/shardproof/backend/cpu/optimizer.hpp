#pragma once
/// @file
/// The optimizer's step and the norm of a gradient.
///
///     cpu::adamw({.weight = w, .gradient = g, .first = m, .second = v, .schedule = s, ...});
#include <shardproof/backend/cpu/math.hpp>
#include <shardproof/backend/cpu/operand.hpp>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cpu {

/// In double whatever the type: squares of f32 gradients neither overflow nor vanish.
inline void sum_of_squares(const view& into, const view& x, double by) {
  visit_float(compute_type(x.type), [&](auto zero) {
    const operand<decltype(zero)> in(x);
    *into.as<double>() += by * sum_wide(x.count(), [](const vec<double>& v) -> vec<double> { return v * v; }, in.p);
  });
}
/// As torch.nn.utils.clip_grad_norm_.
inline void clip_factor(const view& norm, const view& factor, const view& squares, double limit) {
  const double n = std::sqrt(squares.as<double>()[0] + squares.as<double>()[1]);
  *norm.as<double>() = n;
  *factor.as<double>() = limit > 0 && n > limit ? limit / (n + 1e-6) : 1;
}

/// w -= rate decay w; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w -= rate (m / correction1) / (sqrt(v / correction2) + eps).
/// The schedule holds rate, correction1 and correction2.
inline void adamw(const adamw_args& a) {
  const long n = a.weight.count();
  const double* const schedule = a.schedule.as<const double>();
  const double rate = schedule[0], correction1 = schedule[1], correction2 = schedule[2];
  visit_float(a.weight.type, [&](auto zero) {
    using T = decltype(zero);
    using V = vec<T>;
    const operand<T> gradient(a.gradient);
    T *const w = a.weight.as<T>(), *const m = a.first.as<T>(), *const v = a.second.as<T>();
    const T keep1 = T(a.beta1), take1 = T(1 - a.beta1), keep2 = T(a.beta2), take2 = T(1 - a.beta2), eps = T(a.eps), scale = a.gradient_scale ? T(*a.gradient_scale.as<const double>()) : T(1);
    const T shrink = T(1 - rate * a.decay), step = T(rate / correction1), spread = T(1 / std::sqrt(correction2));
    const auto update = [&](V& weight, V& first, V& second, const V& raw) {
      const V g = raw * scale;
      first = keep1 * first + take1 * g;
      second = keep2 * second + take2 * g * g;
      weight = weight * shrink - step * first / (square_root(second) * spread + eps);
    };
    long i = 0;
    for (; i + lanes<T> <= n; i += lanes<T>) {
      V weight = load<T>(w + i), first = load<T>(m + i), second = load<T>(v + i);
      update(weight, first, second, load<T>(gradient.p + i));
      store<T>(w + i, weight), store<T>(m + i, first), store<T>(v + i, second);
    }
    if (const long rest = n - i; rest > 0) {
      V weight = load_part<T>(w + i, rest), first = load_part<T>(m + i, rest), second = load_part<T>(v + i, rest);
      update(weight, first, second, load_part<T>(gradient.p + i, rest));
      store_part<T>(w + i, weight, rest), store_part<T>(m + i, first, rest), store_part<T>(v + i, second, rest);
    }
    if (!a.stored) return;
    if (a.stored.type == dtype::bf16) {
      if constexpr (std::is_same_v<T, float>) return to_bf16(a.stored.as<bf16>(), w, n);
      for (long j = 0; j < n; ++j) a.stored.as<bf16>()[j] = bf16(float(w[j]));
    } else {
      for (long j = 0; j < n; ++j) a.stored.as<f16>()[j] = f16(float(w[j]));
    }
  });
}

}  // namespace shardproof::cpu

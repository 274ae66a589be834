#pragma once
/// @file
/// Rotary position embedding: pairs of features turned by the angle of their position.  Su et al., arXiv 2104.09864.
///
///     cpu::rotate({y, q, cos, sin, 64, false, false, false});     // pairs (j, j + 32)
#include <shardproof/backend/cpu/operand.hpp>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cpu {

/// y may be x.
inline void rotate(const rotate_args& a) {
  const long batch = a.x.s[0], seq = a.x.s[1], heads = a.x.s[2], dim = a.x.s[3], half = a.rotated / 2;
  const long tables = a.cos.s[0];
  if (!a.x.count()) return;
  visit_float(a.y.type, [&](auto zero) {
    using T = decltype(zero);
    using V = vec<T>;
    const operand<T> in(a.x), cos(a.cos), sin(a.sin);
    const T turn = a.inverse ? T(-1) : T(1);
    for (long b = 0; b < batch; ++b)
      for (long i = 0; i < seq; ++i) {
        const T *const c = cos.p + ((tables == 1 ? 0 : b) * seq + i) * half, *const s = sin.p + ((tables == 1 ? 0 : b) * seq + i) * half;
        for (long h = 0; h < heads; ++h) {
          const long at = ((b * seq + i) * heads + h) * dim;
          const T* const x = in.p + at;
          T* const y = a.y.as<T>() + at;
          const auto put = [&](T& to, T value) { to = a.accumulate ? to + value : value; };
          const auto pair = [&](long j, long k, T co, T si) {
            const T u = x[j], v = x[k];
            put(y[j], u * co - v * si);
            put(y[k], v * co + u * si);
          };
          if (a.interleaved) {
            for (long j = 0; j < half; ++j) pair(2 * j, 2 * j + 1, c[j], turn * s[j]);
          } else {
            long j = 0;
            for (; j + lanes<T> <= half; j += lanes<T>) {
              const V u = load<T>(x + j), v = load<T>(x + half + j), co = load<T>(c + j), si = turn * load<T>(s + j);
              V first = u * co - v * si, second = v * co + u * si;
              if (a.accumulate) first += load<T>(y + j), second += load<T>(y + half + j);
              store<T>(y + j, first);
              store<T>(y + half + j, second);
            }
            for (; j < half; ++j) pair(j, half + j, c[j], turn * s[j]);
          }
          if (a.accumulate) map<T>(y + 2 * half, dim - 2 * half, [](const V& u, const V& v) -> V { return u + v; }, y + 2 * half, x + 2 * half);
          else if (y != x) std::memcpy(y + 2 * half, x + 2 * half, std::size_t(dim - 2 * half) * sizeof(T));
        }
      }
  });
}

}  // namespace shardproof::cpu

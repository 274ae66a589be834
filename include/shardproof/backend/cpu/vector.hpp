#pragma once
/// @file
/// Vectors as wide as the registers the compiler was told of, by the vector extension that g++ and clang share.
///
///     const auto x = load<float>(p);                       // lanes<float> values; p may be float, bf16 or f16, at any alignment
///     store(q, select(x > limit, x * 2.0f, x));
///     const float s = sum(x);
///
/// Nothing here names an instruction, so the same lines serve SSE2, AVX2, AVX-512 and NEON: compile the one file that includes
/// `backend/cpu.hpp` with -march=native (or the like) to get the wide ones.
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <shardproof/runtime/dtype.hpp>
namespace shardproof::cpu {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
inline constexpr int vector_registers = 32;
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
inline constexpr int vector_registers = 16;
#else
inline constexpr int vector_bytes = 16;
inline constexpr int vector_registers = 16;
#endif

namespace detail {
// A width of its own per element type: lanes of T where the whole is `vector_bytes`, and the narrower sources of conversions.
template <class T, int Bytes> struct vector_type { typedef T type __attribute__((vector_size(Bytes))); };
template <class T> using integer_like = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;
}  // namespace detail

template <class T> using vec = typename detail::vector_type<T, vector_bytes>::type;
template <class T> inline constexpr int lanes = vector_bytes / int(sizeof(T));
/// What a comparison of two vec<T> yields: all bits of a lane set, or none.
template <class T> using mask = vec<detail::integer_like<T>>;

template <class T> [[gnu::always_inline]] inline vec<T> broadcast(T x) { return x - vec<T>{}; }       // x - 0 keeps the sign of -0
template <class T, class V> [[gnu::always_inline]] inline V select(const T& where, const V& yes, const V& no) { return where ? yes : no; }

/// Keeps a loaded vector in a register. Without it g++ folds the load into every instruction that uses the value, and a kernel
/// that should be bound by its multiplications becomes bound by its loads (measured: half the speed).
template <class V> [[gnu::always_inline]] inline void keep(V& v) {
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#elif defined(__SSE2__)
  asm("" : "+x"(v));
#else
  (void)v;
#endif
}

/// f(0) ... f(N - 1), each with its index as a constant. Arrays of vectors stay in registers only if they are never indexed by a
/// variable, and whether a compiler unrolls a loop depends on its version and on -O: here it has no choice.
template <int N, class F> [[gnu::always_inline]] inline void unrolled(F f) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) { (f(std::integral_constant<int, I>{}), ...); }(std::make_integer_sequence<int, N>{});
}
#define SHARDPROOF_INLINE __attribute__((always_inline))

// ---- memory; no address needs an alignment
template <class T> [[gnu::always_inline]] inline vec<T> load(const T* p) {
  vec<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T> [[gnu::always_inline]] inline void store(T* p, const vec<T>& v) { std::memcpy(p, &v, sizeof v); }

namespace detail {
using bits16 = typename vector_type<std::uint16_t, vector_bytes / 2>::type;
[[gnu::always_inline]] inline vec<std::uint32_t> widen_bits(const void* p) {
  bits16 h;
  std::memcpy(&h, p, sizeof h);
  return __builtin_convertvector(h, vec<std::uint32_t>);
}
}  // namespace detail

template <class T> [[gnu::always_inline]] inline vec<T> load(const bf16* p) {
  static_assert(std::is_same_v<T, float>);
  return std::bit_cast<vec<float>>(detail::widen_bits(p) << 16);
}
/// Exponent and mantissa shifted into place stand for the value / 2^112, subnormals included; infinities and NaN are mended.
template <class T> [[gnu::always_inline]] inline vec<T> load(const f16* p) {
  static_assert(std::is_same_v<T, float>);
  const vec<std::uint32_t> u = detail::widen_bits(p), magnitude = u & 0x7fffu;
  const vec<float> scaled = std::bit_cast<vec<float>>(magnitude << 13) * 0x1p112f;
  const vec<std::uint32_t> special = std::bit_cast<vec<std::uint32_t>>(magnitude >= 0x7c00u) & 0x7f800000u;
  return std::bit_cast<vec<float>>(std::bit_cast<vec<std::uint32_t>>(scaled) | special | (u & 0x8000u) << 16);
}
/// The first n < lanes values, zeros behind them.
template <class T, class U> [[gnu::always_inline]] inline vec<T> load_part(const U* p, long n) {
  U some[lanes<T>]{};
  std::memcpy(static_cast<void*>(some), p, std::size_t(n) * sizeof(U));
  return load<T>(static_cast<const U*>(some));
}
template <class T> [[gnu::always_inline]] inline void store_part(T* p, const vec<T>& v, long n) {
  std::memcpy(p, &v, std::size_t(n) * sizeof(T));
}

/// Rounds to nearest, ties to even; NaN stays NaN.
[[gnu::always_inline]] inline void store_bf16(bf16* p, const vec<float>& v) {
  const vec<std::uint32_t> u = std::bit_cast<vec<std::uint32_t>>(v), rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const auto narrow = __builtin_convertvector(select(v != v, u >> 16 | 0x40u, rounded), detail::bits16);
  std::memcpy(static_cast<void*>(p), &narrow, sizeof narrow);
}

// ---- across lanes
template <class T> [[gnu::always_inline]] inline T sum(const vec<T>& v) {
  T some[lanes<T>];
  store(some, v);
  for (int half = lanes<T> / 2; half; half /= 2)
    for (int i = 0; i < half; ++i) some[i] += some[i + half];
  return some[0];
}
template <class T> [[gnu::always_inline]] inline T largest(const vec<T>& v) {
  T some[lanes<T>];
  store(some, v);
  for (int half = lanes<T> / 2; half; half /= 2)
    for (int i = 0; i < half; ++i) some[i] = some[i] < some[i + half] ? some[i + half] : some[i];
  return some[0];
}

/// v[0] + ... + v[N - 1] by halves, N a power of two.
template <class T, int N, int Half = N / 2> [[gnu::always_inline]] inline vec<T> add_up(vec<T> (&v)[N]) {
  if constexpr (Half == 0) return v[0];
  else {
    unrolled<Half>([&](auto i) SHARDPROOF_INLINE { v[i] += v[i + Half]; });
    return add_up<T, N, Half / 2>(v);
  }
}

namespace detail {
// One exchange of a butterfly: lanes whose index has bit S change places with those of the partner that have not.
template <int S, bool High, class V, std::size_t... I>
[[gnu::always_inline]] inline V exchange(const V& a, const V& b, std::index_sequence<I...>) {
  constexpr int n = int(sizeof...(I));
  if constexpr (High) return __builtin_shufflevector(a, b, ((int(I) & S) ? n + int(I) : int(I) + S)...);
  else return __builtin_shufflevector(a, b, ((int(I) & S) ? n + int(I) - S : int(I))...);
}
}  // namespace detail

/// v[i][j] <-> v[j][i] for N vectors of N lanes each, in log2(N) rounds.
template <class V, int N, int S = 1> [[gnu::always_inline]] inline void transpose(V (&v)[N]) {
  if constexpr (S < N) {
    constexpr auto all = std::make_index_sequence<std::size_t(N)>{};
    unrolled<N>([&](auto i) SHARDPROOF_INLINE {
      if constexpr (!(i & S)) {
        const V a = v[i], b = v[i + S];
        v[i] = detail::exchange<S, false>(a, b, all);
        v[i + S] = detail::exchange<S, true>(a, b, all);
      }
    });
    transpose<V, N, 2 * S>(v);
  }
}

// ---- floats as doubles, for sums that should not lose digits
[[gnu::always_inline]] inline vec<double> load_wide(const double* p) { return load(p); }
[[gnu::always_inline]] inline vec<double> load_wide(const float* p) {
  typename detail::vector_type<float, vector_bytes / 2>::type half;
  std::memcpy(&half, p, sizeof half);
  return __builtin_convertvector(half, vec<double>);
}

/// sum_i f(x[i]...) in double, f of vectors of double: several partial sums, always in the same order.
template <class F, class... T> [[gnu::always_inline]] inline double sum_wide(long n, F f, const T*... x) {
  constexpr int width = lanes<double>, parts = 4;
  vec<double> s[parts]{};
  long i = 0;
  for (; i + parts * width <= n; i += parts * width)
    unrolled<parts>([&](auto j) SHARDPROOF_INLINE { s[j] += f(load_wide(x + i + j * width)...); });
  double rest = 0;
  for (; i < n; ++i) rest += f(broadcast(double(x[i]))...)[0];
  return sum<double>(add_up<double>(s)) + rest;
}

/// y[i] = f(x[i]...), f of vectors of T; the x may be bf16 or f16, and y may be one of them.
template <class T, class F, class... X> [[gnu::always_inline]] inline void map(T* y, long n, F f, const X*... x) {
  long i = 0;
  for (; i + lanes<T> <= n; i += lanes<T>) store<T>(y + i, f(load<T>(x + i)...));
  if (i < n) store_part<T>(y + i, f(load_part<T>(x + i, n - i)...), n - i);
}

}  // namespace shardproof::cpu

#pragma once
/// @file
/// The frequencies of the rotary variants, as transformers' `rope_type` names them.
///
///     constexpr sp::rotary r{.base = 5e5, .type = sp::rope_type::llama3, .factor = 8, .low_freq = 1, .high_freq = 4, .original_length = 8192};
///     double f[64]; sp::rotary_frequencies(r, 128, 4096, f);         // inverse frequencies of the 64 pairs at sequence length 4096
///
/// Sources: linear (Chen et al., arXiv 2306.15595), dynamic (NTK-aware), yarn (Peng et al., arXiv 2309.00071),
/// longrope (Ding et al., arXiv 2402.13753), llama3 (the released model's scaling).
#include <vector>
#include <shardproof/runtime/backend.hpp>
#include <shardproof/runtime/math.hpp>
namespace shardproof {

enum class rope_type : unsigned char { standard, linear, dynamic_ntk, llama3, yarn, longrope };

/// A rotary embedding as a value; a layer holds one, and layers with equal ones share their tables.
struct rotary {
  double base = 10000;
  rope_type type = rope_type::standard;
  double factor = 1;                                   ///< how far the context is stretched
  double low_freq = 1, high_freq = 4;                  ///< llama3
  long original_length = 0;                            ///< the context that was trained: llama3, yarn, longrope, dynamic
  double beta_fast = 32, beta_slow = 1;                ///< yarn
  bool truncate = true;                                ///< yarn: whole correction dimensions
  double mscale = 0, mscale_all_dim = 0;               ///< yarn: 0 where the configuration has none
  double attention_factor = 0;                         ///< of cos and sin; 0: the variant's own
  const double* short_factor = nullptr;                ///< longrope: one per pair, kept alive by the configuration
  const double* long_factor = nullptr;
  double partial = 1;                                  ///< the share of a head's features that turns
  bool interleaved = false;                            ///< pairs (2j, 2j + 1) instead of (j, j + half)
  constexpr bool operator==(const rotary&) const = default;
};

/// The share of a head's features that turns, rounded down: what frequencies are spread over.
constexpr long rotary_extent(const rotary& r, long head_dim) { return long(double(head_dim) * r.partial); }
/// How many features of a head turn: whole pairs, so one more where the share is odd, as in transformers.
constexpr long rotated_features(const rotary& r, long head_dim) { return (rotary_extent(r, head_dim) + 1) / 2 * 2; }

namespace detail {
inline double yarn_scale(double factor, double m) { return factor <= 1 ? 1 : 0.1 * m * math::log(factor) + 1; }
}  // namespace detail

/// What cos and sin are multiplied by.
inline double rotary_attention_factor(const rotary& r) {
  if (r.attention_factor > 0) return r.attention_factor;
  if (r.type == rope_type::yarn)
    return r.mscale != 0 && r.mscale_all_dim != 0 ? detail::yarn_scale(r.factor, r.mscale) / detail::yarn_scale(r.factor, r.mscale_all_dim) : detail::yarn_scale(r.factor, 1);
  if (r.type == rope_type::longrope && r.factor > 1) return math::sqrt(1 + math::log(r.factor) / math::log(double(r.original_length)));
  return 1;
}

/// Inverse frequencies of the rotated / 2 pairs when the longest position in use is length - 1.
inline void rotary_frequencies(const rotary& r, long head_dim, long length, double* out) {
  const long d = rotary_extent(r, head_dim), half = rotated_features(r, head_dim) / 2;
  double base = r.base;
  if (r.type == rope_type::dynamic_ntk) {
    const double n = double(length > r.original_length ? length : r.original_length), m = double(r.original_length);
    base *= math::pow(r.factor * n / m - (r.factor - 1), double(d) / double(d - 2));
  }
  const double pi = 3.14159265358979323846;
  double low = 0, high = 0;
  if (r.type == rope_type::yarn) {
    const auto dimension_of = [&](double turns) { return double(d) * math::log(double(r.original_length) / (turns * 2 * pi)) / (2 * math::log(r.base)); };
    low = dimension_of(r.beta_fast);
    high = dimension_of(r.beta_slow);
    if (r.truncate) { low = math::floor(low); high = math::ceil(high); }
    low = low < 0 ? 0 : low;
    high = high > double(d - 1) ? double(d - 1) : high;
    if (low == high) high += 0.001;
  }
  const double* stretch = length > r.original_length ? r.long_factor : r.short_factor;
  for (long j = 0; j < half; ++j) {
    const double f = 1 / math::pow(base, 2 * double(j) / double(d));
    switch (r.type) {
      case rope_type::linear: out[j] = f / r.factor; break;
      case rope_type::llama3: {
        const double wave = 2 * pi / f, n = double(r.original_length);
        if (wave < n / r.high_freq) out[j] = f;
        else if (wave > n / r.low_freq) out[j] = f / r.factor;
        else {
          const double s = (n / wave - r.low_freq) / (r.high_freq - r.low_freq);
          out[j] = (1 - s) * f / r.factor + s * f;
        }
        break;
      }
      case rope_type::yarn: {
        double ramp = (double(j) - low) / (high - low);
        ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
        out[j] = f * (1 - ramp) + f / r.factor * ramp;
        break;
      }
      case rope_type::longrope: out[j] = stretch ? f / stretch[j] : f; break;
      case rope_type::standard:
      case rope_type::dynamic_ntk: out[j] = f; break;
    }
  }
}

/// cos and sin [1, count, rotated / 2] of positions first, first + 1, ... In f32 the angle is a product of two floats, as in
/// transformers: at position 100,000 the rounding of that product is larger than what logits are compared to.
inline void fill_rotary_tables(const rotary& r, long head_dim, long first, long count, dtype t, backend& on, const view& cos, const view& sin) {
  const long half = rotated_features(r, head_dim) / 2;
  const std::size_t n = std::size_t(count * half);
  std::vector<double> f(static_cast<std::size_t>(half));
  rotary_frequencies(r, head_dim, first + count, f.data());
  const double scale = rotary_attention_factor(r);
  visit_float(t, [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> c(n), s(n);
    for (long i = 0; i < count; ++i)
      for (long j = 0; j < half; ++j) {
        const T angle = T(first + i) * T(f[std::size_t(j)]);
        c[std::size_t(i * half + j)] = T(math::cos(angle)) * T(scale);
        s[std::size_t(i * half + j)] = T(math::sin(angle)) * T(scale);
      }
    on.from_host(cos, c.data());
    on.from_host(sin, s.data());
  });
}

}  // namespace shardproof

#pragma once
/// @file
/// Random numbers by global index: the same element has the same number for every world size, on every rank.
///
///     float x = sp::normal_at(seed, sp::stream_of("layers.0.mlp.up_proj.weight"), 17);
///
/// Philox 4x32-10 (Salmon et al., SC 2011): a counter-based generator, so that no state travels.
#include <cstdint>
#include <string_view>
#include <shardproof/runtime/math.hpp>
namespace shardproof {

struct random_block { std::uint32_t at[4]; };
constexpr random_block philox(std::uint64_t counter_low, std::uint64_t counter_high, std::uint64_t key) {
  std::uint32_t c[4] = {std::uint32_t(counter_low), std::uint32_t(counter_low >> 32), std::uint32_t(counter_high), std::uint32_t(counter_high >> 32)};
  std::uint32_t k[2] = {std::uint32_t(key), std::uint32_t(key >> 32)};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t(c[0]) * 0xD2511F53u, b = std::uint64_t(c[2]) * 0xCD9E8D57u;
    const std::uint32_t n0 = std::uint32_t(b >> 32) ^ c[1] ^ k[0], n2 = std::uint32_t(a >> 32) ^ c[3] ^ k[1];
    c[1] = std::uint32_t(b);
    c[3] = std::uint32_t(a);
    c[0] = n0;
    c[2] = n2;
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return {{c[0], c[1], c[2], c[3]}};
}
/// A stream per name (FNV-1a).
constexpr std::uint64_t stream_of(std::string_view name) {
  std::uint64_t h = 14695981039346656037ull;
  for (char c : name) h = (h ^ std::uint64_t(static_cast<unsigned char>(c))) * 1099511628211ull;
  return h;
}
/// In [0, 1), 53 bits.
constexpr double uniform_at(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const random_block b = philox(index, stream, seed);
  return double((std::uint64_t(b.at[0]) << 32 | b.at[1]) >> 11) * 0x1p-53;
}
/// Standard normal, by Box and Muller.
inline double normal_at(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const random_block b = philox(index, stream, seed);
  const double u = (double((std::uint64_t(b.at[0]) << 32 | b.at[1]) >> 11) + 0.5) * 0x1p-53;
  const double v = double((std::uint64_t(b.at[2]) << 32 | b.at[3]) >> 11) * 0x1p-53;
  return math::sqrt(-2 * math::log(u)) * math::cos(6.283185307179586476925 * v);
}

}  // namespace shardproof

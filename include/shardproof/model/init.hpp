#pragma once
/// @file
/// Fills parameters by global index: bit-equal for every world size, whatever the ranks' process seeds.
///
///     sp::initialise(model, 42);                             // normal(0, 0.02), norm weights one, biases zero
///     sp::fill(model, [](std::string_view name, long element) { return 0.01 * double(element % 7); });
#include <shardproof/model/parameters.hpp>
#include <shardproof/runtime/rng.hpp>
namespace shardproof {

namespace detail {
/// Allocates a parameter and fills it from value(global element index).
template <class F> void fill_parameter(const parameter_view& v, dtype t, F value) {
  ref r = materialise(v, t);
  const std::size_t n = std::size_t(r->s.count());
  std::vector<std::byte> host(n * bytes_of(t));
  each_local_run(v, self.where, [&](long global, long local, long count) {
    for (long i = 0; i < count; ++i) write_element(t, &host[std::size_t(local + i) * bytes_of(t)], value(global + i));
  });
  if (n) device().from_host(r->v(), host.data());
}
}  // namespace detail

/// value(name, global element index) for every parameter and buffer.
template <class M, class F> void fill(M& m, F value, dtype t = dtype::f32) {
  for (const auto& v : parameters(m)) detail::fill_parameter(v, t, [&](long i) { return value(std::string_view(v.name), i); });
}
/// As transformers initialises a decoder: matrices normal(0, deviation), gains one, biases and buffers zero.
inline void initialise(const std::vector<parameter_view>& all, std::uint64_t seed, double deviation = 0.02, dtype t = dtype::f32) {
  for (const auto& v : all) {
    const std::uint64_t stream = stream_of(v.name);
    const bool is_bias = v.is_bias() || v.buffer, is_vector = v.is_vector();
    detail::fill_parameter(v, t, [&](long i) { return is_bias ? 0.0 : is_vector ? 1.0 : deviation * normal_at(seed, stream, std::uint64_t(i)); });
  }
}
template <class M> requires (!std::is_same_v<M, std::vector<parameter_view>>)                // nvcc 13 cannot ask whether each_layer(m) compiles
void initialise(M& m, std::uint64_t seed, double deviation = 0.02, dtype t = dtype::f32) { initialise(parameters(m), seed, deviation, t); }

}  // namespace shardproof

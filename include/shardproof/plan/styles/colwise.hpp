#pragma once
/// @file
/// Sharded along the output features: Megatron's column-parallel linear (Shoeybi et al., arXiv 1909.08053, section 3).
///
///     sp::plan p{sp::colwise{"layers.*.mlp.up_proj"}, sp::packed_colwise{"layers.*.mlp.gate_up_proj"}};
#include <shardproof/plan/style.hpp>
namespace shardproof {

/// I -> S(out), f before, which under sequence parallelism is an all_gather. Accepts R too and then needs no f.
struct colwise : style_defaults {
  static constexpr auto name = "colwise";
  static constexpr role shards = role::out;
  template <class Site> using fed = typename Site::boundary;
  template <class Site> using also = either_of<replicate, invariant>;
  static constexpr auto before(const auto& x) { return to_replicate(x); }
  static constexpr auto use(const auto& w) { return whole_to_replicate(w); }
};

/// I -> I: colwise, then all_gather (its adjoint is the split).
struct colwise_gather_output : colwise {
  static constexpr auto name = "colwise_gather_output";
  static constexpr auto after(const auto& y, const auto& bias) { return all_gather(y + bias); }
};

/// I -> PS(out, parts...): every part of a fused output (gate | up, q | k | v) is sharded by itself, weight and bias alike.
struct packed_colwise : colwise {
  static constexpr auto name = "packed_colwise";
  template <class D> using cut = packed<D>;
};

}  // namespace shardproof

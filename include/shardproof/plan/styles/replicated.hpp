#pragma once
/// @file
/// Whole parameters on every rank.
///
///     sp::plan p{sp::replicated{"norm"}, sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm"}};
#include <shardproof/plan/style.hpp>
namespace shardproof {

/// A whole parameter at one use beside x: through f where x is the boundary stream and that stream is sharded.
template <class Site> constexpr auto at_boundary(Site, const auto& w, const auto& x) {
  if constexpr (std::is_same_v<typename Site::boundary, invariant>) return w;
  else return replicate_beside(w, x, typename Site::boundary{});
}

/// I -> I; the default. Under sequence parallelism its parameters are synchronised.
struct replicated : style_defaults {
  static constexpr auto name = "replicated";
  static constexpr auto use(auto site, const auto& w, const auto& x) { return at_boundary(site, w, x); }
  static constexpr auto after(auto site, const auto& y, const auto& bias) { return y + at_boundary(site, bias, y); }
};

/// S -> S for a layer whose whole parameters meet a sharded activation (q_norm on sharded heads): f on the parameter at each use,
/// so the fresh gradient is reduced and then accumulated.
struct replicated_with_grad_allreduce : style_defaults {
  static constexpr auto name = "replicated_with_grad_allreduce";
  static constexpr auto use(const auto& w) { return to_replicate(w); }
  static constexpr auto after(const auto& y, const auto& bias) { return y + to_replicate(bias); }
};

}  // namespace shardproof

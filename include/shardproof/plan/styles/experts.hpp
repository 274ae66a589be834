#pragma once
/// @file
/// Mixtures of experts: which rank has which expert, and how tokens meet it.
///
///     sp::plan inside{sp::packed_colwise{"layers.*.mlp.experts.gate_up_proj"}, sp::rowwise{"layers.*.mlp.experts.down_proj"},
///                     sp::moe_tp_experts{"layers.*.mlp.experts"}};                              // every expert cut among all ranks
///     sp::plan dealt{sp::grouped_gemm{"layers.*.mlp.experts.gate_up_proj", "layers.*.mlp.experts.down_proj"},
///                    sp::ep_dispatch_experts{"layers.*.mlp.experts"}};                          // whole experts, tokens travel
///
/// Lepikhin et al., GShard, arXiv 2006.16668; Rajbhandari et al., DeepSpeed-MoE, arXiv 2201.05596.
#include <shardproof/plan/styles/replicated.hpp>
namespace shardproof {

/// Whole experts, dealt to the ranks: every parameter of theirs is cut along the experts.
struct grouped_gemm : style_defaults {
  static constexpr auto name = "grouped_gemm";
  static constexpr role shards = role::experts;
};

/// A router whose weights pass f before they reach dealt experts: each rank uses the weights of its own experts, and adds up the gradients.
struct ep_router : replicated {
  static constexpr auto name = "ep_router";
  static constexpr bool layers = false, regions = false;
  static constexpr auto after(auto site, const auto& y, const auto& bias) {
    if constexpr (stream_is_whole<decltype(site)>) return to_replicate(y + bias);
    else {
      if constexpr (stream_may_be_whole<decltype(site)>) if (!site.cut) return to_replicate(y + bias);
      return y + bias;
    }
  }
};

/// What the styles of regions share: they take the boundary's placement, or what is Replicate already.
struct region_style : style_defaults {
  static constexpr bool layers = false, regions = true;
  template <class Site> using fed = typename Site::boundary;
  template <class Site> using also = either_of<replicate, invariant>;
  static constexpr auto before(const auto& x) { return to_replicate(x); }
};
/// I -> I: f on tokens and weights, then g on what the experts leave pending, cut inside or dealt.
struct moe_tp_experts : region_style {
  static constexpr auto name = "moe_tp_experts";
  static constexpr auto after(auto site, const auto& y, nothing) { return to_boundary(site, y); }
};
/// I -> P: the same without g, so that routed and shared experts share one reduction (sp::reduced).
struct moe_tp_experts_partial : region_style {
  static constexpr auto name = "moe_tp_experts_partial";
  static constexpr auto after(const auto& y, nothing) { return y; }
};
/// I -> I: each rank takes its share of the tokens, sends them to their experts and gets them back; then all_gather.
struct ep_dispatch_experts : region_style {
  static constexpr auto name = "ep_dispatch_experts";
  template <class> using also = void;
  static constexpr auto before(const auto& x) { return own_tokens(x); }
  static constexpr auto after(auto site, const auto& y, nothing) {
    if constexpr (stream_is_whole<decltype(site)>) return all_gather(y);
    else {
      if constexpr (stream_may_be_whole<decltype(site)>) if (!site.cut) return all_gather(y);
      return y;
    }
  }
};
/// I -> I for any module that leaves its sum pending: f on every input, g on the result.
struct all_reduce_region : moe_tp_experts {
  static constexpr auto name = "all_reduce";
};
/// R -> P for a module that returns its own tokens: one rank keeps the value, exactly. Where tokens are dealt there is nothing to do.
struct moe_identity_expert : style_defaults {
  static constexpr auto name = "moe_identity_expert";
  static constexpr bool layers = false, regions = true;
  static constexpr auto after(const auto& y, nothing) { return kept_by_one(y); }
};

}  // namespace shardproof

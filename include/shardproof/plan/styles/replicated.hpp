#pragma once
/// @file
/// Whole parameters on every rank.
///
///     sp::plan p{sp::replicated{"norm"}, sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm"}};
#include <shardproof/plan/style.hpp>
namespace shardproof {

/// A whole parameter at one use beside x: through f where x is the boundary stream and that stream is sharded.
template <class Site> constexpr auto at_boundary(Site site, const auto& w, const auto& x) {
  if constexpr (stream_is_whole<Site>) return w;
  else {
    if constexpr (stream_may_be_whole<Site>) if (!site.cut) return w;
    return replicate_beside(w, x, typename Site::boundary{});
  }
}

/// I -> I; the default. Under sequence parallelism its parameters are synchronised, and of a table's rows each rank keeps its part.
struct replicated : style_defaults {
  static constexpr auto name = "replicated";
  static constexpr bool routers = true, regions = true;
  static constexpr auto use(auto site, const auto& w, const auto& x) { return at_boundary(site, w, x); }
  static constexpr auto after(auto site, const auto& y, const auto& bias) {
    if constexpr (requires { requires decltype(site)::begins_stream; }) return part_of_stream(site, y) + bias;
    else return y + at_boundary(site, bias, y);
  }
};

/// I -> R: the layer is whole, and its result enters a region: f after it. For a gate beside a pending sum.
struct replicate_output : replicated {
  static constexpr auto name = "replicate_output";
  static constexpr bool routers = false, regions = false;
  static constexpr auto after(auto site, const auto& y, const auto& bias) { return to_replicate(replicated::after(site, y, bias)); }
};

/// A whole free parameter that is added to a pending sum: one rank adds it, the others add zero. For experts' biases where experts are cut
/// inside.
struct replicated_as_partial : style_defaults {
  static constexpr auto name = "replicated_as_partial";
  template <class Kind> static constexpr bool applies = requires { requires Kind::is_free; };
  static constexpr auto use(const auto& w) { return to_partial(w); }
};

/// S -> S for a layer whose whole parameters meet a sharded activation (q_norm on sharded heads): f on the parameter at each use,
/// so the fresh gradient is reduced and then accumulated.
struct replicated_with_grad_allreduce : style_defaults {
  static constexpr auto name = "replicated_with_grad_allreduce";
  static constexpr auto use(const auto& w) { return to_replicate(w); }
  static constexpr auto after(const auto& y, const auto& bias) { return y + to_replicate(bias); }
};

/// S(seq) -> S(seq) where the plan's boundary is a sequence shard: a norm whose parameters are synchronised (Korthikanti et al., arXiv
/// 2205.05198). `replicated` does it too; the name is the field's.
struct sequence_parallel : replicated_with_grad_allreduce {
  static constexpr auto name = "sequence_parallel";
  template <class Site> using fed = typename Site::boundary;
};

}  // namespace shardproof

#pragma once
/// @file
/// Sharded along the input features: Megatron's row-parallel linear. The bias is whole and is added after the reduction.
///
///     sp::plan p{sp::rowwise{"layers.*.mlp.down_proj", "layers.*.self_attn.o_proj"}};
#include <shardproof/plan/styles/replicated.hpp>
namespace shardproof {

/// S(in) -> I, g after.
struct rowwise : style_defaults {
  static constexpr auto name = "rowwise";
  static constexpr role shards = role::in;
  template <class Site> using fed = shard<first_of<typename Site::in>>;
  static constexpr auto use(const auto& w) { return whole_to_replicate(w); }
  static constexpr auto after(auto site, const auto& y, const auto& bias) {
    auto sum = to_boundary(site, y);
    return sum + at_boundary(site, bias, sum);
  }
};

/// PS(in, parts...) -> I: rowwise behind a fused result that is used whole, part beside part.
struct packed_rowwise : rowwise {
  static constexpr auto name = "packed_rowwise";
  template <class D> using cut = packed<D>;
  template <class Site> using fed = packed<first_of<typename Site::in>>;
};

/// I -> I: splits a whole input first.
struct rowwise_split_input : rowwise {
  static constexpr auto name = "rowwise_split_input";
  template <class Site> using fed = invariant;
  template <class Site> static constexpr auto before(Site, const auto& x) { return to_shard(x, along<first_of<typename Site::in>>{}); }
};

/// S(in) -> P: leaves the sum pending, so that several rowwise layers share one reduction (sp::reduced). One rank adds the bias.
struct rowwise_partial : rowwise {
  static constexpr auto name = "rowwise_partial";
  static constexpr auto after(const auto& y, const auto& bias) { return y + to_partial(bias); }
};

}  // namespace shardproof

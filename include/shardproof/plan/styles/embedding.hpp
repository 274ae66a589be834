#pragma once
/// @file
/// Tables sharded along their rows: the vocab-parallel embedding; the vocabulary may be uneven.
///
///     sp::plan p{sp::embedding_rowwise{"embed_tokens"}, sp::colwise{"lm_head"}};        // a tied pair is placed alike
#include <shardproof/plan/style.hpp>
namespace shardproof {

/// ids I -> I: rows outside the own range are zero, then g.
struct embedding_rowwise : style_defaults {
  static constexpr auto name = "embedding_rowwise";
  static constexpr role shards = role::rows;
  template <class Site> using fed = invariant;
  static constexpr bool allows_bias = false;
  static constexpr auto after(auto site, const auto& y, const auto& bias) { return to_boundary(site, y) + bias; }
};

}  // namespace shardproof

#pragma once
/// @file
/// Tables sharded along their rows (the vocab-parallel embedding; the vocabulary may be uneven) or along their columns.
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

/// ids I -> I: every rank looks up its own columns of each row, then all_gather; of a stream that is cut each keeps its part.
struct embedding_colwise : style_defaults {
  static constexpr auto name = "embedding_colwise";
  static constexpr role shards = role::width;
  template <class Site> using fed = invariant;
  static constexpr bool allows_bias = false;
  static constexpr auto after(auto site, const auto& y, const auto& bias) { return part_of_stream(site, all_gather(y)) + bias; }
};

}  // namespace shardproof

#pragma once
/// @file
/// A norm over dimensions that are shared among the ranks: each rank sums its squares, one number a row is reduced.
///
///     sp::plan p{sp::colwise{"layers.*.self_attn.q_proj"}, sp::sharded_norm{"layers.*.self_attn.q_norm"}};
#include <shardproof/plan/style.hpp>
namespace shardproof {

/// S(out) -> S(out) for a norm over a list of dimensions, the first of which is cut: its weight is cut alike, and the sum of squares
/// of each row is made by all_reduce, as is the gradient of that sum.
struct sharded_norm : style_defaults {
  static constexpr auto name = "sharded_norm";
  static constexpr role shards = role::out;
  static constexpr bool cuts_norms = true;
  template <class Site> using fed = shard<first_of<typename Site::out>>;
  template <class Kind> static constexpr bool applies = requires { requires Kind::is_norm; };
};

}  // namespace shardproof

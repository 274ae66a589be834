#pragma once
/// @file
/// The dimensions that the families share. Their extents are known when a configuration is read.
///
///     SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
///     sp::extent_table t; t.set<families::hidden>(4096);                   // families::extents_of(configuration) makes one
///
/// The vocabulary is `sp::vocab`, batch and sequence are `sp::batch` and `sp::seq`.
#include <shardproof/core/extents.hpp>
namespace shardproof::families {

struct hidden : dim<> {};
struct ffn : dim<> {};                                             ///< features inside the mlp; may be uneven
struct kv_heads : dim<dynamic, groups> {};
struct q_heads : dim<dynamic, grouped_by<kv_heads>> {};
struct head_dim : dim<> {};

}  // namespace shardproof::families

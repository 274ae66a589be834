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
struct position : dim<> {};                                        ///< rows of a table of learned positions
struct q_rank : dim<> {};                                          ///< of latent attention: features of the queries' latent,
struct kv_rank : dim<> {};                                         ///< of the keys' and values',
struct nope_dim : dim<> {};                                        ///< of a query without positions,
struct rope_dim : dim<> {};                                        ///< of its part that turns,
struct value_dim : dim<> {};                                       ///< and of a value
struct n_experts : dim<dynamic, units, uneven> {};                 ///< dealt out whole, to some ranks perhaps none
struct n_identities : dim<> {};                                    ///< experts that return what they are given,
struct router_scores : dim<> {};                                   ///< and one score for each expert of both kinds
struct expert_ffn : dim<> {};                                      ///< features inside one expert
struct shared_ffn : dim<> {};                                      ///< inside the expert that every token passes

}  // namespace shardproof::families

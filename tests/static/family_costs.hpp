#pragma once
// What a training step of a family costs under its own plan, before a model exists: extents are values of a configuration.
#include <shardproof/families/configuration.hpp>
#include <shardproof/model/dry_run.hpp>
namespace families = sp::families;
namespace family_costs {

constexpr families::configuration small(bool tied = false, bool biased = false) {
  families::configuration c;
  c.vocab_size = 37;
  c.hidden_size = 32;
  c.intermediate_size = 25;
  c.num_hidden_layers = 3;
  c.num_attention_heads = 8;
  c.num_key_value_heads = 4;
  c.head_dim = 4;
  c.tie_word_embeddings = tied;
  c.attention_bias = c.mlp_bias = c.qk_norm = biased;
  return c;
}
inline constexpr sp::extent_table extents = families::extents_of(small());

template <template <class> class Model, const auto& Plan> constexpr sp::ledger step(int ranks, bool tied = false, bool biased = false) {
  return sp::dry_step<Model, Plan>(sp::ranks{ranks}, sp::tokens{2, 5}, small(tied, biased), extents);
}
constexpr bool costs(const sp::ledger& l, int forward, int backward) {
  return l.forward.all_reduces == forward && l.backward.all_reduces == backward && l.forward.collectives() == forward && l.backward.collectives() == backward;
}

}  // namespace family_costs

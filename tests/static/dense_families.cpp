// What the dense families' own plans cost, before a model exists: 2 all-reduces a layer forward and 2 backward, 2 more backward where
// norms stand on sharded heads; 1 for the table, 2 for the loss, 1 at the head's input.
#include <shardproof/families/cohere2.hpp>
#include <shardproof/families/gemma2.hpp>
#include <shardproof/families/gemma3_text.hpp>
#include <shardproof/families/glm4.hpp>
#include <shardproof/families/gpt_neox.hpp>
#include <shardproof/families/granite.hpp>
#include <shardproof/families/phi.hpp>
#include <shardproof/families/starcoder2.hpp>
#include <shardproof/model/dry_run.hpp>

namespace families = sp::families;

namespace {

constexpr families::configuration small(bool biased = false) {
  families::configuration c;
  c.vocab_size = 37;
  c.hidden_size = 32;
  c.intermediate_size = 25;
  c.num_hidden_layers = 3;
  c.num_attention_heads = 8;
  c.num_key_value_heads = 4;
  c.head_dim = 4;
  c.attention_bias = c.mlp_bias = c.qk_norm = biased;
  return c;
}
constexpr sp::extent_table extents = families::extents_of(small());

template <template <class> class Model, const auto& Plan> constexpr sp::ledger step(int ranks, bool biased = false) {
  return sp::dry_step<Model, Plan>(sp::ranks{ranks}, sp::tokens{2, 5}, small(biased), extents);
}
constexpr bool costs(const sp::ledger& l, int forward, int backward) {
  return l.forward.all_reduces == forward && l.backward.all_reduces == backward && l.forward.collectives() == forward && l.backward.collectives() == backward;
}

static_assert(costs(step<families::granite, families::granite_plan>(4), 9, 7));
static_assert(costs(step<families::granite, families::granite_plan>(4, true), 9, 7));
static_assert(costs(step<families::starcoder2, families::starcoder2_plan>(4, true), 9, 7));
static_assert(costs(step<families::cohere2, families::cohere2_plan>(4), 9, 4));                // q, k, v, gate and up share one f
static_assert(costs(step<families::gemma2, families::gemma2_plan>(2), 9, 7));
static_assert(costs(step<families::gemma3_text, families::gemma3_text_plan>(4), 9, 13));
static_assert(costs(step<families::glm4, families::glm4_plan>(4), 9, 7));                      // the fused gate and up send nothing
static_assert(costs(step<families::phi, families::phi_plan>(4), 9, 4));
static_assert(costs(step<families::phi, families::phi_plan>(4, true), 9, 4 + 12));            // weight and bias of two norms a layer
static_assert(costs(step<families::gpt_neox_lm, families::gpt_neox_plan>(4), 9, 7));
static_assert(costs(step<families::gpt_neox_lm, families::gpt_neox_plan>(1), 0, 0));

}  // namespace

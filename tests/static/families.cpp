// The families' own plans cost what the theory says, before a model exists: 2 all-reduces a layer forward and 2 backward, 2 more where
// norms stand on sharded heads, 1 for the table, 2 for the loss, 1 at the head's input. Extents are values of a configuration.
#include <shardproof/families/llama.hpp>
#include <shardproof/families/mistral.hpp>
#include <shardproof/families/qwen2.hpp>
#include <shardproof/families/qwen3.hpp>
#include <shardproof/model/dry_run.hpp>

namespace families = sp::families;

namespace {

constexpr families::configuration small(bool tied = false, bool biased = false) {
  families::configuration c;
  c.vocab_size = 37;
  c.hidden_size = 16;
  c.intermediate_size = 24;
  c.num_hidden_layers = 3;
  c.num_attention_heads = 8;
  c.num_key_value_heads = 4;
  c.head_dim = 4;
  c.tie_word_embeddings = tied;
  c.attention_bias = c.mlp_bias = biased;
  return c;
}
constexpr sp::extent_table extents = families::extents_of(small());

template <template <class> class Model, const auto& Plan> constexpr sp::ledger step(int ranks, bool tied = false, bool biased = false) {
  return sp::dry_step<Model, Plan>(sp::ranks{ranks}, sp::tokens{2, 5}, small(tied, biased), extents);
}
constexpr bool costs(const sp::ledger& l, int forward, int backward) {
  return l.forward.all_reduces == forward && l.backward.all_reduces == backward && l.forward.collectives() == forward && l.backward.collectives() == backward;
}

static_assert(costs(step<families::llama, families::llama_plan>(4), 9, 7));
static_assert(costs(step<families::llama, families::llama_plan>(2, true, true), 9, 7));        // tied head, biases everywhere
static_assert(costs(step<families::llama, families::llama_plan>(1), 0, 0));
static_assert(costs(step<families::qwen2, families::qwen2_plan>(4), 9, 7));
static_assert(costs(step<families::qwen3, families::qwen3_plan>(8), 9, 13));                   // KV heads in copies
static_assert(costs(step<families::mistral, families::mistral_plan>(4), 9, 7));

}  // namespace

// The families' own plans cost what the theory says, before a model exists: 2 all-reduces a layer forward and 2 backward, 2 more where
// norms stand on sharded heads, 1 for the table, 2 for the loss, 1 at the head's input. Extents are values of a configuration.
#include <shardproof/families/llama.hpp>
#include <shardproof/families/mistral.hpp>
#include <shardproof/families/qwen2.hpp>
#include <shardproof/families/qwen3.hpp>
#include "family_costs.hpp"
using family_costs::costs, family_costs::step;

static_assert(costs(step<families::llama, families::llama_plan>(4), 9, 7));
static_assert(costs(step<families::llama, families::llama_plan>(2, true, true), 9, 7));        // tied head, biases everywhere
static_assert(costs(step<families::llama, families::llama_plan>(1), 0, 0));
static_assert(costs(step<families::qwen2, families::qwen2_plan>(4), 9, 7));
static_assert(costs(step<families::qwen3, families::qwen3_plan>(8), 9, 13));                   // KV heads in copies
static_assert(costs(step<families::mistral, families::mistral_plan>(4), 9, 7));

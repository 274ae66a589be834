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
#include "family_costs.hpp"
using family_costs::costs, family_costs::step;

static_assert(costs(step<families::granite, families::granite_plan>(4), 9, 7));
static_assert(costs(step<families::granite, families::granite_plan>(4, false, true), 9, 7));
static_assert(costs(step<families::starcoder2, families::starcoder2_plan>(4, false, true), 9, 7));
static_assert(costs(step<families::cohere2, families::cohere2_plan>(4), 9, 4));                // q, k, v, gate and up share one f
static_assert(costs(step<families::gemma2, families::gemma2_plan>(2), 9, 7));
static_assert(costs(step<families::gemma3_text, families::gemma3_text_plan>(4), 9, 13));
static_assert(costs(step<families::glm4, families::glm4_plan>(4), 9, 7));                      // the fused gate and up send nothing
static_assert(costs(step<families::phi, families::phi_plan>(4), 9, 4));
static_assert(costs(step<families::phi, families::phi_plan>(4, false, true), 9, 4 + 12));            // weight and bias of two norms a layer
static_assert(costs(step<families::gpt_neox_lm, families::gpt_neox_plan>(4), 9, 7));
static_assert(costs(step<families::gpt_neox_lm, families::gpt_neox_plan>(1), 0, 0));

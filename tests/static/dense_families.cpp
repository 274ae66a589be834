// What the dense families' own plans cost, before a model exists: 2 all-reduces a layer forward and 2 backward, 2 more backward where
// norms stand on sharded heads; 1 for the table, 2 for the loss, 1 at the head's input.
#include <shardproof/families/cohere2.hpp>
#include <shardproof/families/gemma2.hpp>
#include <shardproof/families/gemma3_text.hpp>
#include <shardproof/families/glm4.hpp>
#include <shardproof/families/gpt_neox.hpp>
#include <shardproof/families/granite.hpp>
#include <shardproof/families/llama.hpp>
#include <shardproof/families/olmo2.hpp>
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

// olmo2: llama's collectives, and for each of the two norms over sharded heads in a layer one all-reduce forward and one backward, of one
// number a token: the sum of squares, and its gradient. 10 tokens, 3 layers, 4 bytes.
constexpr auto normed = step<families::olmo2, families::olmo2_plan>(4), plain = step<families::llama, families::llama_plan>(4);
static_assert(costs(plain, 9, 7) && costs(normed, 9 + 6, 7 + 6));
static_assert(normed.forward.bytes == plain.forward.bytes + 6 * 10 * 4);
static_assert(normed.backward.bytes == plain.backward.bytes + 6 * 10 * 4);
static_assert(costs(step<families::olmo2, families::olmo2_plan>(8), 15, 13));                  // 8 ranks share 4 KV heads
static_assert(costs(step<families::olmo2, families::olmo2_plan>(1), 0, 0));

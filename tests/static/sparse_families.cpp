// What the plans of families with experts cost, before a model exists: 2 all-reduces a layer forward; backward 1 for attention (3 where it is
// latent: queries, keys and values, the shared rotary key), 1 for the tokens of a mixture, 1 for the weights of its router, 1 for the gate of a
// shared expert. Outside the layers as everywhere: 1 for the table, 2 for the loss, 1 at the head's input.
#include <shardproof/families/deepseek_v2.hpp>
#include <shardproof/families/deepseek_v3.hpp>
#include <shardproof/families/glm4_moe.hpp>
#include <shardproof/families/gpt2.hpp>
#include <shardproof/families/gpt_oss.hpp>
#include <shardproof/families/llama4_text.hpp>
#include <shardproof/families/longcat_flash.hpp>
#include <shardproof/families/mixtral.hpp>
#include <shardproof/families/phi3.hpp>
#include <shardproof/families/qwen2_moe.hpp>
#include <shardproof/families/qwen3_moe.hpp>
#include "family_costs.hpp"
using family_costs::costs;

constexpr families::configuration mixed(int sparse_layers = 3, long q_rank = 0) {
  families::configuration c = family_costs::small();
  c.moe.experts = 5;
  c.moe.features = 11;
  c.moe.shared_features = 13;
  c.moe.how.chosen = 2;
  c.moe.identities = 2;
  for (int i = 0; i < 3; ++i) c.moe.sparse.push_back(i >= 3 - sparse_layers);
  c.latent.kv_rank = 9;
  c.latent.q_rank = q_rank;
  c.latent.nope = 6;
  c.latent.rotary = 4;
  c.latent.value = 7;
  return c;
}
inline constexpr sp::extent_table extents = families::extents_of(mixed(3, 10));
template <template <class> class Model, const auto& Plan> constexpr sp::ledger step(int ranks, int sparse_layers = 3, long q_rank = 0) {
  return sp::dry_step<Model, Plan>(sp::ranks{ranks}, sp::tokens{2, 5}, mixed(sparse_layers, q_rank), extents);
}

static_assert(costs(step<families::mixtral, families::mixtral_plan>(4), 9, 3 * 3 + 1));
static_assert(costs(step<families::mixtral, families::mixtral_plan>(1), 0, 0));
static_assert(costs(step<families::qwen2_moe, families::qwen2_moe_plan>(4), 9, 3 * 4 + 1));            // routed and shared experts share f and g
static_assert(costs(step<families::qwen2_moe, families::qwen2_moe_plan>(4, 2), 9, 2 * 4 + 2 + 1));    // a dense layer
static_assert(costs(step<families::qwen3_moe, families::qwen3_moe_plan>(4), 9, 3 * 5 + 1));           // norms on query and key heads
static_assert(costs(step<families::glm4_moe, families::glm4_moe_plan>(4), 9, 3 * 3 + 1));
static_assert(costs(step<families::gpt_oss, families::gpt_oss_plan>(4), 9, 3 * 3 + 1));
static_assert(costs(step<families::llama4_text, families::llama4_text_plan>(4), 9, 3 * 3 + 1));
static_assert(costs(step<families::deepseek_v2, families::deepseek_v2_plan>(4), 9, 3 * 5 + 1));       // queries straight from the stream, which keys do not share
static_assert(costs(step<families::deepseek_v3, families::deepseek_v3_plan>(4, 3, 10), 9, 3 * 5 + 1));
static_assert(costs(step<families::phi3, families::phi3_plan>(4), 9, 7));                             // transformers' plan: 2 all-gathers a layer more
static_assert(costs(step<families::gpt2, families::gpt2_plan>(4), 9, 7));
// Two attentions, two mlps and one mixture a layer; the first mlp shares its f with the experts.
static_assert(costs(step<families::longcat_flash, families::longcat_flash_plan>(4, 3, 10), 3 + 3 * 5, 1 + 3 * (2 * 3 + 1 + 1 + 1)));

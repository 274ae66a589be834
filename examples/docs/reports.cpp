/// @file
/// A plan linted and a model explained from C++, for docs/plans.md.
#include "pages.hpp"
#include <cstdio>
#include <shardproof/report/explanation.hpp>
#include <shardproof/report/findings.hpp>
#include <shardproof/shardproof.hpp>

namespace {

const char* const config_text = R"({"model_type": "toy", "vocab_size": 29, "hidden_size": 16, "intermediate_size": 24,
    "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_act": "relu"})";

//! [lint]
std::size_t faults(const sp::io::json_tree& plan) {
  sp::plan_findings lint = sp::lint_plan(plan, "plan.json");             // the text alone: SP205, SP206
  sp::lint_against(lint, sp::read_configuration(config_text), 2);        // and on two ranks: SP101 ... SP204, SP404
  std::size_t n = 0;
  for (const sp::finding& f : lint.found) {
    std::printf("  %s\n", f.message.c_str());
    n += !f.note();
  }
  return n;
}
//! [lint]

//! [explain]
double weights_of_rank_0(int tp) {
  const auto lm = sp::make_causal_lm(sp::read_configuration(config_text), sp::plan_choice::automatic, {}, tp);
  const sp::explanation e = sp::explain(*lm, sp::ranks{tp}, sp::tokens{2, 8}, sp::dtype::bf16);
  for (const sp::explained_collective& c : e.collectives)
    std::printf("  %s: %d x %s, %.0f bytes\n", c.layer.c_str(), c.calls, sp::name_of(c.what), c.bytes);
  return e.memory.weights;
}
//! [explain]

}  // namespace

bool reports() {
  auto plan = sp::io::json_tree::object();
  plan.set("layers.*.mlp.up_proj", "colwise");
  plan.set("layers.*.mlp.down_proj", "rowise");                          // a slip, and because of it a shard meets a whole weight
  return faults(plan) == 2 && weights_of_rank_0(2) < weights_of_rank_0(1) && weights_of_rank_0(2) > 0.4 * weights_of_rank_0(1);
}

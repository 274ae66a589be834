#pragma once
/// @file
/// Makes a model of any linked family, under one of four plans; whatever is wrong with the plan is said before any data is touched.
///
///     std::unique_ptr<sp::causal_lm> lm = sp::make_causal_lm(c, sp::plan_choice::automatic);
///     auto other = sp::make_causal_lm(c, sp::plan_choice::run_time, plan_text, 4);     // four ranks: SP101 ... SP206
///     for (const std::string& n : other->notes()) std::fprintf(stderr, "note: %s\n", n.c_str());
#include <shardproof/families/import.hpp>
#include <shardproof/families/registry.hpp>
#include <shardproof/model/dry_check.hpp>
namespace shardproof {

enum class plan_choice {
  automatic,                                           ///< the family's own, proved by the compiler
  published,                                           ///< the one transformers ships, imported
  none,                                                ///< everything whole on every rank
  run_time                                             ///< a text given by the user
};

namespace families {
/// The text to bind, and what is to be said about it. @error SP205, SP206 of a user's text.
inline imported_plan chosen_plan(family_model& m, const entry& family, plan_choice choice, std::string_view text, const configuration& c, expert_parallel ep) {
  const bool travels = ep == expert_parallel::all_to_all, tied = c.tie_word_embeddings;
  if (choice == plan_choice::automatic) {
    const auto rules = family.make(c, false)->plan();
    return ep == expert_parallel::none ? imported_plan{text_of(rules), {}} : dealt_plan(rules, travels);
  }
  if (choice == plan_choice::none) return {"{}", {}};
  if (choice == plan_choice::published) {
    imported_plan p = import_plan(*family.published, m.layer_paths(), tied, ep != expert_parallel::none);
    if (ep == expert_parallel::masked) p.text = dealt_plan(rules_of(p.text), false).text;
    return p;
  }
  (void)parse_plan(text);                              // faults are shown in the text as it was given
  std::vector<std::string> paths = m.layer_paths();
  for (auto& p : m.possible_paths()) paths.push_back(std::move(p));
  return framed_plan(text, family.published->prefix, paths);
}
}  // namespace families

/// A model whose parameters have no values yet: load or initialise them next. `text`: of the plan, for `run_time`. Where the stream is
/// cut, experts or sequences are dealt, the chosen plan is bound at start-up.
/// @error SP605 no such family; SP606 `ep` of a family without experts, or beside a text, which is a plan by itself; SP105 the ranks cannot share it; under a plan that is read now also SP202 ... SP206 and, by a dry run of a
/// training step, SP101 ... SP104, SP106, SP301, SP404.
inline std::unique_ptr<causal_lm> make_causal_lm(const configuration& c, plan_choice choice, std::string_view text, const sharing& how) {
  const expert_parallel ep = how.experts;
  const families::entry& family = families::at_least(c.model_type);
  if (ep != expert_parallel::none) {
    if (!c.moe.experts) throw error(code::unsupported_value, "--ep is for families with experts, and this one has none.", "leave --ep out.");
    if (choice == plan_choice::run_time) throw error(code::unsupported_value, "--ep makes a plan of auto or hf, and a file is a plan by itself.", "leave --ep out, or give the file grouped_gemm and ep_dispatch_experts.");
    if (choice == plan_choice::none) throw error(code::unsupported_value, "--ep deals experts to ranks, and --plan none keeps everything whole.", "leave one of the two out.");
  }
  if (how.sequence_parallel && choice == plan_choice::none)
    throw error(code::unsupported_value, "--sequence-parallel cuts the stream between layers, and --plan none keeps everything whole.", "leave one of the two out.");
  if (choice == plan_choice::automatic && how.automatic()) {
    auto m = family.make(c, false);
    for (const auto& v : m->parameters()) require_dealable(v, how.tp);
    return m;
  }
  auto m = family.make(c, true);
  families::imported_plan p = families::chosen_plan(*m, family, choice, text, c, ep);
  m->bind_plan(p.text, std::move(p.notes), how);
  (void)dry_check(*m, ranks{how.tp}, tokens{1, 2});
  return m;
}
inline std::unique_ptr<causal_lm> make_causal_lm(const configuration& c, plan_choice choice = plan_choice::automatic, std::string_view text = {}, int tp = ranks_on(),
                                                 expert_parallel ep = expert_parallel::none) {
  return make_causal_lm(c, choice, text, sharing{.tp = tp, .experts = ep});
}

}  // namespace shardproof

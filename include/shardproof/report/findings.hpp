#pragma once
/// @file
/// Everything that is wrong with a plan, in one go: of its text alone, and against a configuration by binding it and a dry run.
///
///     sp::plan_findings f = sp::lint_plan(sp::io::read_json("plan.json", sp::code::malformed_plan), "plan.json");
///     sp::lint_against(f, config, 4);                                                 // four ranks; reads no weights
///     for (const sp::finding& one : f.found) std::puts(one.message.c_str());
///
/// Host only; needs range-v3.
#include <range/v3/algorithm/find_if.hpp>
#include <range/v3/view/iota.hpp>
#include <shardproof/families/make.hpp>
#include <shardproof/io/json_tree.hpp>
namespace shardproof {

/// One line: a refusal as the model would have thrown it, or a note.
struct finding {
  code is = code::ok;                                  ///< ok: a note
  std::string message;
  bool note() const { return is == code::ok; }
};
/// A plan as it can be bound, and what was found wrong with it.
struct plan_findings {
  std::vector<std::pair<std::string, std::string>> rules;        ///< pattern and style of every rule that can be bound
  std::vector<finding> found;
};

namespace detail {
inline std::string as_plan_text(const std::vector<std::pair<std::string, std::string>>& rules) {
  auto tree = io::json_tree::object();
  for (const auto& [pattern, style] : rules) tree.set(pattern, style);
  return tree.pretty();
}
/// What binding this rule alone would throw; a note if nothing.
inline finding judged_rule(const std::string& pattern, const std::optional<std::string_view>& name) {
  try {
    if (!name) throw error(code::malformed_plan, "Pattern=\"" + pattern + "\" has no style name");
    (void)parse_plan(as_plan_text({{pattern, std::string(*name)}}));
  } catch (const error& e) {
    return {e.which(), e.what()};
  }
  return {};
}
/// The rule that a refusal speaks of: it quotes the pattern, or names a layer that the pattern matches; -1 if none.
inline long rule_in(const std::string& message, const std::vector<std::pair<std::string, std::string>>& rules) {
  const auto place = [&](const auto& hit) {
    const auto at = ::ranges::find_if(rules, [&](const auto& rule) { return hit(rule.first); });
    return at == rules.end() ? -1L : long(at - rules.begin());
  };
  if (const long i = place([&](const std::string& pattern) { return message.find("\"" + pattern + "\"") != message.npos; }); i >= 0) return i;
  for (const std::string word : {"[at ", "Layer="}) {
    std::size_t at = message.find(word);
    if (at == message.npos) continue;
    at += word.size();
    std::string layer = message.substr(at, message.find_first_of(",]", at) - at);
    for (int cut = 0; cut < 2; ++cut) {
      if (const long i = place([&](const std::string& pattern) { return names_layer(pattern, layer) || names_layer("model." + pattern, layer); }); i >= 0)
        return i;
      layer = layer.substr(0, layer.rfind('.'));       // a message may name the parameter
    }
  }
  return -1;
}
}  // namespace detail

/// Reads a plan and judges its text alone. `name`: of the file, for messages. A document of `explain --json` holds its plan under "plan".
/// @error SP206 the text is no object. What is wrong with single rules is found, not thrown.
inline plan_findings lint_plan(const io::json_tree& text, const std::string& name) {
  if (!text.is_object())
    throw error(code::malformed_plan, name + " is not a JSON object of \"pattern\": \"style\" pairs.",
                "write {\"layers.*.mlp.up_proj\": \"colwise\", ...}.");
  const io::json_tree* plan = &text;
  if (const auto* inner = text.find("plan"); inner && inner->is_object()) plan = inner;
  plan_findings out;
  for (const std::size_t i : ::ranges::views::iota(std::size_t(0), plan->size())) {
    const std::string pattern(plan->names()[i]);
    const auto* style = &(*plan)[i];
    if (style->is_object() && style->find("style")) style = style->find("style");
    const auto given = style->as_string();
    if (finding f = detail::judged_rule(pattern, given); !f.note()) {
      out.found.push_back(std::move(f));
      continue;
    }
    const std::string current(current_name(*given));
    if (current != *given)
      out.found.push_back({code::ok, "note: rule \"" + pattern + "\" uses the older name " + std::string(*given) + " for " + current});
    out.rules.emplace_back(pattern, current);
  }
  return out;
}

/// Binds the rules to the configured model on `tp` ranks and walks it; a rule that is refused is left out and the rest tried again,
/// so that one call finds all. A refusal of no single rule ends it.
inline void lint_against(plan_findings& f, const configuration& config, int tp) {
  auto rules = f.rules;
  const spot before = self.where;
  self.where.ranks[0] = tp;                            // imagined: a dry run communicates nothing
  while (true) {
    try {
      const auto lm = make_causal_lm(config, plan_choice::run_time, detail::as_plan_text(rules), tp);
      for (const auto& n : lm->notes()) f.found.push_back({code::ok, "note: " + n});
      break;
    } catch (const error& e) {
      f.found.push_back({e.which(), e.what()});
      const int n = number(e.which());
      const bool of_a_rule = n == 202 || n == 203 || n == 204 || n == 105;
      const long i = of_a_rule ? detail::rule_in(e.what(), rules) : -1;
      if (i < 0) break;
      rules.erase(rules.begin() + i);
    }
  }
  self.where = before;
}

}  // namespace shardproof

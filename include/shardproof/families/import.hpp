#pragma once
/// @file
/// Plans written for transformers, made plans of a family: its own ones are imported, a user's are only read in the right frame.
///
///     auto p = sp::families::import_plan(llama_family::published, layers, tied);       // p.text for sp::parse_plan; p.notes are printed
///     auto q = sp::families::framed_plan(text, "model.", layers);                      // "layers.*.mlp.up_proj" is read as "model.layers..."
///
/// transformers keeps the base model's plan and the head's apart, names layers relative to the base model, and leaves a tied table
/// whole beside a sharded head. Each of these is mended once, and said once. A user's plan is never mended.
#include <string>
#include <utility>
#include <vector>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/plan/parse.hpp>
namespace shardproof::families {

/// A plan's text, and what is to be said about it.
struct imported_plan {
  std::string text;
  std::vector<std::string> notes;
};
/// Pattern and style, as written.
using plan_rules = std::vector<std::pair<std::string, std::string>>;

/// The rules of a text that parse_plan accepts.
inline plan_rules rules_of(std::string_view text) {
  plan_rules out;
  json::each_member(json::root(text), [&](const json::string& pattern, json::value v) {
    const json::value style = v.is(json::kind::object) ? v.find("style") : v;
    out.emplace_back(pattern.raw(), style.as_string().raw());
  });
  return out;
}
inline std::string text_of(const plan_rules& rules) {
  std::string out = "{";
  for (const auto& [pattern, style] : rules) out += std::string(out.size() > 1 ? ",\n" : "\n") + "  \"" + pattern + "\": \"" + style + "\"";
  return out + "\n}\n";
}

namespace detail {
inline bool names_any(std::string_view pattern, const std::vector<std::string>& layers) {
  for (const auto& l : layers) if (names_layer(pattern, l)) return true;
  return false;
}
inline std::string with_prefix(std::string_view pattern, std::string_view prefix) {
  return std::string(is_optional(pattern) ? "?" : "") + std::string(prefix) + std::string(required_part(pattern));
}
}  // namespace detail

/// A plan whose experts are dealt to the ranks instead of being cut. `travels`: tokens go to their experts by all-to-all; else every rank
/// picks its own experts' share of the tokens that all have.
inline imported_plan dealt_plan(plan_rules rules, bool travels) {
  for (auto& [pattern, style] : rules) {
    const std::string_view p = required_part(pattern);
    if (p.ends_with(".experts")) style = travels ? "ep_dispatch_experts" : style == "moe_tp_experts_partial" ? style : "moe_tp_experts";
    else if (p.find(".experts.") != p.npos && p.find(".identity_expert") == p.npos && style != "replicated") style = "grouped_gemm";
    else if (travels && style == "rowwise_partial" && p.find(".shared_expert") != p.npos) style = "rowwise";        // the routed sum comes back finished
    else if (travels && style == "replicate_output") style = "replicated";
  }
  return {text_of(rules), {std::string("experts are dealt to the ranks, ") + (travels ? "and tokens travel to them." : "and each rank picks the tokens of its own.")}};
}

/// `layers`: paths of the model's layers, with their numbers. `tied`: the head has no table of its own. `dealt`: with experts on different
/// ranks, as transformers' enable_expert_parallel. @error SP606 no such plan is shipped.
inline imported_plan import_plan(const published_plan& p, const std::vector<std::string>& layers, bool tied, bool dealt = false) {
  imported_plan out;
  if (dealt && p.experts.empty())
    throw error(code::unsupported_value, "transformers ships no expert-parallel plan for this family.", "use --plan auto with --ep, or leave --ep out.");
  if (!dealt && !p.said.empty()) out.notes.emplace_back(p.said);
  plan_rules rules;
  for (const auto& [pattern, style] : rules_of(dealt ? p.experts : p.base)) rules.emplace_back(detail::with_prefix(pattern, p.prefix), style);
  const std::size_t from_base = rules.size();
  for (auto& rule : rules_of(p.head)) {
    if (rule.first == "lm_head" && p.head_layer != "lm_head") {
      out.notes.push_back("the head, lm_head in transformers, is " + std::string(p.head_layer) + " in checkpoints.");
      rule.first = p.head_layer;
    }
    rules.push_back(std::move(rule));
  }
  if (from_base < rules.size()) out.notes.push_back("the plan of the head (" + rules[from_base].first + ": " + rules[from_base].second + ") is joined to the base model's.");
  if (from_base && !p.prefix.empty()) out.notes.push_back("the names of the base model's plan are read as " + std::string(p.prefix) + "...");
  bool head_is_cut = false, table_has_rule = false;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    auto& [pattern, style] = rules[i];
    head_is_cut = head_is_cut || (i >= from_base && current_name(style).starts_with("colwise"));
    table_has_rule = table_has_rule || names_layer(pattern, p.table);
    if (is_optional(pattern) || detail::names_any(pattern, layers)) continue;
    out.notes.push_back("the rule " + pattern + " (" + style + ") matches no layer of this model and is marked optional.");
    pattern = "?" + pattern;
  }
  if (tied && head_is_cut && !table_has_rule) {
    rules.emplace_back(p.table, "embedding_rowwise");
    out.notes.push_back(std::string(p.table) + " is tied to the head, which is sharded, and gets the style embedding_rowwise.");
  }
  out.text = text_of(rules);
  return out;
}

/// A text that parse_plan accepts, with the prefix put before each pattern that names no layer without it and one with it.
/// @error SP203 two patterns are one pattern then.
inline imported_plan framed_plan(std::string_view text, std::string_view prefix, const std::vector<std::string>& layers) {
  imported_plan out;
  plan_rules rules = rules_of(text);
  int framed = 0;
  for (auto& [pattern, style] : rules) {
    if (const std::string_view now = current_name(style); now != style)
      out.notes.push_back("the style " + style + " of the rule " + pattern + " is an older name of " + std::string(now) + ".");
    if (prefix.empty() || detail::names_any(pattern, layers)) continue;
    std::string inside = detail::with_prefix(pattern, prefix);
    if (!detail::names_any(inside, layers)) continue;
    for (const auto& [other, of_other] : rules)
      if (required_part(other) == required_part(inside)) throw error(code::two_rules, "First=\"" + other + "\", Second=\"" + pattern + "\", read as " + inside);
    pattern = std::move(inside);
    ++framed;
  }
  if (framed) out.notes.push_back(std::to_string(framed) + " of the plan's " + std::to_string(rules.size()) + " rules name layers of the base model and are read as " + std::string(prefix) + "...");
  out.text = text_of(rules);
  return out;
}

}  // namespace shardproof::families

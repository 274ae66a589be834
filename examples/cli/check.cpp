/// @file
/// Lints a plan: by itself, and with --model against a configuration, placements of the whole forward included; reads no weights.
#include <cstdio>
#include "session.hpp"

namespace cli {
namespace {

struct finding { std::string line; bool note = false; };
using rules = std::vector<std::pair<std::string, std::string>>;

std::string as_text(const rules& all) {
  auto tree = sp::io::json_tree::object();
  for (const auto& [pattern, style] : all) tree.set(pattern, style);
  return tree.pretty();
}
/// The rule that a message speaks of: it quotes the pattern, or names a layer that the pattern matches.
long rule_in(const std::string& message, const rules& all) {
  for (std::size_t i = 0; i < all.size(); ++i) if (message.find("\"" + all[i].first + "\"") != std::string::npos) return long(i);
  for (const std::string word : {"[at ", "Layer="}) {
    std::size_t at = message.find(word);
    if (at == std::string::npos) continue;
    at += word.size();
    std::string layer = message.substr(at, message.find_first_of(",]", at) - at);
    for (int cut = 0; cut < 2; ++cut) {
      for (std::size_t i = 0; i < all.size(); ++i)
        if (sp::names_layer(all[i].first, layer) || sp::names_layer("model." + all[i].first, layer)) return long(i);
      layer = layer.substr(0, layer.rfind('.'));           // a message may name the parameter
    }
  }
  return -1;
}

/// Everything that is wrong with the text itself; what remains can be bound.
rules lint_text(const std::string& path, std::vector<finding>& found) {
  const auto tree = sp::io::read_json(path, sp::code::malformed_plan);
  if (!tree.is_object()) throw sp::error(sp::code::malformed_plan, path + " is not a JSON object of \"pattern\": \"style\" pairs.", "write {\"layers.*.mlp.up_proj\": \"colwise\", ...}.");
  const sp::io::json_tree* plan = &tree;
  if (const auto* inner = tree.find("plan"); inner && inner->is_object()) plan = inner;      // a document of `explain --json`
  rules good;
  for (std::size_t i = 0; i < plan->size(); ++i) {
    const std::string pattern(plan->names()[i]);
    const auto* style = &(*plan)[i];
    if (style->is_object() && style->find("style")) style = style->find("style");
    const auto name = style->as_string();
    if (!name) { found.push_back({sp::error(sp::code::malformed_plan, "Pattern=\"" + pattern + "\" has no style name").what()}); continue; }
    if (const int at = sp::fault_in(pattern); at >= 0) {
      found.push_back({sp::error(sp::code::malformed_pattern, "Pattern=\"" + pattern + "\", Position=" + std::to_string(at)).what()});
      continue;
    }
    const std::string current(sp::current_name(*name));
    if (sp::style_number(sp::standard_styles{}, current) < 0) {
      std::string known;
      sp::each_style(sp::standard_styles{}, [&]<class S>(int, S*) { (known += known.empty() ? "" : ", ") += S::name; });
      found.push_back({sp::error(sp::code::unknown_style, "unknown parallel style \"" + std::string(*name) + "\" (rule \"" + pattern + "\").", "did you mean \"" + std::string(sp::nearest_style(sp::standard_styles{}, *name)) + "\"? Known styles: " + known + ".").what()});
      continue;
    }
    if (current != *name) found.push_back({"note: rule \"" + pattern + "\" uses the older name " + std::string(*name) + " for " + current, true});
    good.emplace_back(pattern, current);
  }
  return good;
}

/// Binds the plan to the model again and again, without the rule that was refused last, so that one run lists all.
void lint_model(const common_options& common, const std::string& folder, rules plan, std::vector<finding>& found) {
  const auto config = sp::read_configuration(sp::io::read_text(folder + "/config.json"), common.allowed_keys, folder + "/config.json");
  sp::self.where.ranks[0] = common.tp;                     // imagined: a dry run communicates nothing
  while (true) {
    const std::string text = as_text(plan);
    try {
      const auto lm = sp::make_causal_lm(config, sp::plan_choice::run_time, text, common.tp);
      for (const auto& n : lm->notes()) found.push_back({"note: " + n, true});
      break;
    } catch (const sp::error& e) {
      const std::string message = e.what();
      found.push_back({message});
      const int n = sp::number(e.which());
      const bool of_a_rule = n == 202 || n == 203 || n == 204 || n == 105;
      const long i = of_a_rule ? rule_in(message, plan) : -1;
      if (i < 0) break;
      plan.erase(plan.begin() + i);
    }
  }
  sp::self.where.ranks[0] = 1;
}

}  // namespace

answer check(const common_options& common, const check_options& o) {
  if (common.tp < 1) throw sp::error(sp::code::usage, "--tp " + std::to_string(common.tp) + " is no number of ranks.", "pass --tp of at least 1.");
  if (o.has_tp && o.model.empty()) throw sp::error(sp::code::usage, "--tp is checked against a model.", "pass --model DIR too.");
  std::vector<finding> found;
  rules plan = lint_text(o.plan, found);
  const std::size_t count = plan.size();
  if (!o.model.empty()) lint_model(common, o.model, std::move(plan), found);
  long findings = 0, notes = 0;
  for (const auto& f : found) (f.note && !o.strict ? notes : findings) += 1;
  if (common.json) {
    auto doc = sp::io::json_tree::object();
    doc.set("rules", long(count));
    doc.set("clean", findings == 0);
    auto list = sp::io::json_tree::array();
    for (const auto& f : found) {
      auto one = sp::io::json_tree::object();
      const std::size_t at = f.line.find("[SP");
      one.set("code", at == std::string::npos ? std::string() : f.line.substr(at + 1, f.line.find(']', at) - at - 1));
      one.set("kind", f.note ? "note" : "finding");
      one.set("message", f.line);
      list.push(std::move(one));
    }
    doc.set("findings", std::move(list));
    std::printf("%s\n", doc.pretty().c_str());
  } else {
    for (const auto& f : found) std::printf("%s\n", f.line.c_str());
    std::printf("%s: %ld finding%s, %ld note%s, %zu rules\n", o.plan.c_str(), findings, findings == 1 ? "" : "s", notes, notes == 1 ? "" : "s", count);
  }
  return findings ? answer::no : answer::done;
}

}  // namespace cli

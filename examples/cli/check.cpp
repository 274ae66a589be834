/// @file
/// Lints a plan: by itself, and with --model against a configuration, placements of the whole forward included; reads no weights.
#include <cstdio>
#include <shardproof/report/findings.hpp>
#include "session.hpp"

namespace cli {
namespace {

std::string code_of(const sp::finding& f) {
  if (f.note()) return "";
  const std::string digits = std::to_string(sp::number(f.is));
  return "SP" + std::string(3 - std::min<std::size_t>(3, digits.size()), '0') + digits;
}
void print_json(const sp::plan_findings& lint, bool clean) {
  auto doc = sp::io::json_tree::object();
  doc.set("rules", long(lint.rules.size()));
  doc.set("clean", clean);
  auto list = sp::io::json_tree::array();
  for (const auto& f : lint.found) {
    auto one = sp::io::json_tree::object();
    one.set("code", code_of(f));
    one.set("kind", f.note() ? "note" : "finding");
    one.set("message", f.message);
    list.push(std::move(one));
  }
  doc.set("findings", std::move(list));
  std::printf("%s\n", doc.pretty().c_str());
}

}  // namespace

answer check(const common_options& common, const check_options& o) {
  if (common.tp < 1)
    throw sp::error(sp::code::usage, "--tp " + std::to_string(common.tp) + " is no number of ranks.", "pass --tp of at least 1.");
  if (o.has_tp && o.model.empty()) throw sp::error(sp::code::usage, "--tp is checked against a model.", "pass --model DIR too.");
  sp::plan_findings lint = sp::lint_plan(sp::io::read_json(o.plan, sp::code::malformed_plan), o.plan);
  if (!o.model.empty()) {
    const std::string file = o.model + "/config.json";
    sp::lint_against(lint, sp::read_configuration(sp::io::read_text(file), common.allowed_keys, file), common.tp);
  }
  long findings = 0, notes = 0;
  for (const auto& f : lint.found) (f.note() && !o.strict ? notes : findings) += 1;
  if (common.json) print_json(lint, findings == 0);
  else {
    for (const auto& f : lint.found) std::printf("%s\n", f.message.c_str());
    std::printf("%s: %ld finding%s, %ld note%s, %zu rules\n", o.plan.c_str(), findings, findings == 1 ? "" : "s", notes,
                notes == 1 ? "" : "s", lint.rules.size());
  }
  return findings ? answer::no : answer::done;
}

}  // namespace cli

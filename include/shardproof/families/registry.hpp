#pragma once
/// @file
/// The families that a program has linked, by the `model_type` of config.json.
///
///     sp::configuration c = sp::read_configuration(text);                              // SP605 lists the families there are
///     std::unique_ptr<sp::causal_lm> lm = sp::make_causal_lm(c, sp::plan_choice::automatic);
///     auto other = sp::make_causal_lm(c, sp::plan_choice::run_time, plan_text);        // refused before any data: SP101 ... SP206
///
/// A family joins by families/erased.hpp, in a .cpp of its own; what a program does not link it does not compile.
#include <memory>
#include <shardproof/families/configuration.hpp>
#include <shardproof/families/transformers_plans.hpp>
namespace shardproof {

using families::configuration;

enum class plan_choice {
  automatic,                                           ///< the family's own, proved by the compiler
  published,                                           ///< the one transformers ships, imported
  none,                                                ///< everything whole on every rank
  run_time                                             ///< a text given by the user
};

namespace families {
/// One family without its types.
struct entry {
  std::string_view model_type;
  configuration (*read)(fields&, std::span<const std::string> allowed);
  std::unique_ptr<causal_lm> (*make)(const configuration&, plan_choice, std::string_view text, int tp);
  const published_plan* published;
  const entry* next = nullptr;
};
namespace detail {
inline const entry* first_entry = nullptr;
}
/// Null if no such family is linked.
inline const entry* find(std::string_view model_type) {
  for (const entry* e = detail::first_entry; e; e = e->next) if (e->model_type == model_type) return e;
  return nullptr;
}
/// In alphabetical order.
inline std::vector<std::string> known() {
  std::vector<std::string> out;
  for (const entry* e = detail::first_entry; e; e = e->next) {
    auto at = out.begin();
    while (at != out.end() && *at < e->model_type) ++at;
    out.emplace(at, e->model_type);
  }
  return out;
}
/// While static objects are made; a second registration of one type changes nothing.
inline bool add(entry& e) {
  if (find(e.model_type)) return false;
  e.next = detail::first_entry;
  detail::first_entry = &e;
  return true;
}
/// @error SP605.
inline const entry& at_least(std::string_view model_type) {
  if (const entry* e = find(model_type)) return *e;
  std::string all;
  for (const auto& k : known()) (all += all.empty() ? "" : ", ") += k;
  throw error(code::unknown_family, "unknown model family \"" + std::string(model_type) + "\".", all.empty() ? "link one: this program has none." : "use one of the known ones: " + all + ".");
}
}  // namespace families

/// `text`: of config.json. `allowed`: keys that may be ignored although nothing is known of them ("rope_parameters.key" inside).
/// @error SP604 a field is missing, of another type, out of range or contradicts another; SP605 an unknown family; SP606 a value
/// that is not supported; SP607 a key that nobody knows.
inline configuration read_configuration(std::string_view text, std::span<const std::string> allowed = {}, std::string_view file = "config.json") {
  families::fields in(file, text);
  const families::entry& f = families::at_least(in.text("model_type"));
  configuration c = f.read(in, allowed);
  in.finish(families::harmless_keys, allowed);
  return c;
}

/// A model without parameters' values: load or initialise them next. `plan`: the text for `run_time`. `tp`: ranks that will share it.
/// @error SP605; SP105 they cannot; for other plans than `automatic`, whatever the plan breaks.
inline std::unique_ptr<causal_lm> make_causal_lm(const configuration& c, plan_choice choice = plan_choice::automatic, std::string_view plan = {}, int tp = ranks_on()) {
  return families::at_least(c.model_type).make(c, choice, plan, tp);
}

}  // namespace shardproof

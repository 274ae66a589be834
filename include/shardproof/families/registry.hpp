#pragma once
/// @file
/// The families that a program has linked, by the `model_type` of config.json.
///
///     sp::configuration c = sp::read_configuration(text);                              // SP605 lists the families there are
///     for (const std::string& name : sp::families::known()) std::puts(name.c_str());
///
/// A family joins by families/erased.hpp, in a .cpp of its own; what a program does not link it does not compile. Models are made by
/// families/make.hpp.
#include <memory>
#include <shardproof/families/configuration.hpp>
#include <shardproof/families/transformers_plans.hpp>
namespace shardproof {

using families::configuration;

/// Whether experts are cut among all ranks, as plans have it by default, or dealt to them whole.
enum class expert_parallel {
  none,
  masked,                                              ///< every rank has every token and picks those of its own experts
  all_to_all                                           ///< tokens travel to their experts and back
};
/// How the ranks share a model, beside what each layer's style says.
struct sharing {
  int tp = ranks_on();
  expert_parallel experts = expert_parallel::none;
  bool sequence_parallel = false;                      ///< the stream between layers is cut along the sequence (Korthikanti et al., arXiv 2205.05198)
  bool data_parallel = false;                          ///< sequences are dealt to the ranks of dp, see sp::input
  bool automatic() const { return experts == expert_parallel::none && !sequence_parallel && !data_parallel; }
};

namespace families {
/// A model that has been made, and may still have to be bound to a plan.
class family_model : public causal_lm {
 public:
  /// Paths of the layers that are present, with their numbers.
  virtual std::vector<std::string> layer_paths() = 0;
  /// Paths of all layers that some configuration has, with "*" for numbers.
  virtual std::vector<std::string> possible_paths() const = 0;
  /// Gives every layer its style; of a model that was made for a text only. `said`: notes that belong to the text.
  virtual void bind_plan(const std::string& text, std::vector<std::string> said, const sharing&) = 0;
};
/// One family without its types.
struct entry {
  std::string_view model_type;
  configuration (*read)(fields&, std::span<const std::string> allowed);
  /// Under the family's constexpr plan, or for a text.
  std::unique_ptr<family_model> (*make)(const configuration&, bool for_text);
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

}  // namespace shardproof

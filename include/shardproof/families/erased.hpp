#pragma once
/// @file
/// Puts a family behind the interface `causal_lm`, under its own constexpr plan and under plans that are read at start-up.
///
///     // family_llama.cpp, the whole of it:
///     #include <shardproof/families/erased.hpp>
///     #include <shardproof/families/llama.hpp>
///     static const bool registered = sp::register_family<sp::families::llama_family>();
///
/// forward is instantiated twice: with placements as types, and with placements as values. `published`, `none` and a user's plan share
/// the second.
#include <shardproof/families/import.hpp>
#include <shardproof/families/registry.hpp>
#include <shardproof/model/bind.hpp>
#include <shardproof/model/dry_check.hpp>
namespace shardproof {
namespace families {

/// The plan of every model that is bound at start-up.
inline constexpr run_time_plan<> plan_from_text;

/// Paths with their layer numbers, of what is present.
template <class M> std::vector<std::string> layer_names(M& m) {
  std::vector<std::string> out;
  each_layer(m, [&](auto& l, const layer_numbers& n) { out.push_back(shardproof::detail::numbered(std::remove_reference_t<decltype(l)>::where::path(), n)); });
  return out;
}
/// Pattern and style name of every rule; what names no layer of this configuration is marked optional, so that the list is a plan.
template <class Plan> plan_rules rules_in_force(const Plan& p, const std::vector<std::string>& layers) {
  plan_rules out;
  p.each_pattern([&](int i, std::string_view pattern) {
    std::string_view style;
    each_style(typename Plan::styles{}, [&]<class S>(int k, S*) { if (k == p.style_of_rule(i)) style = S::name; });
    out.emplace_back((is_optional(pattern) || detail::names_any(pattern, layers) ? "" : "?") + std::string(pattern), style);
  });
  return out;
}

/// A family under one plan.
template <class Family, const auto& Plan> class family_lm : public causal_lm {
 public:
  using model_type = typename Family::template model<at<Plan>>;
  explicit family_lm(const configuration& c) : config_(c) {
    configure(model_, config_);
    set_extents(model_, kept(extents_of(config_)));
  }
  token_logits forward(const token_ids& ids, cache& kv) override {
    if constexpr (!shardproof::detail::plan_in<model_type>::type::typed) return model_.forward(ids, kv);
    else {
      if (!(ids.place() == input_place<model_type>)) throw error(code::usage, "token ids lie on the mesh otherwise than the plan says.", "make them whole on tp (sp::erased_ids(sp::whole(...))).");
      return model_.forward(ids.as<input_layout<model_type>>(), kv).template as<any>();
    }
  }
  std::vector<parameter_view> parameters() override { return shardproof::parameters(model_); }
  plan_rules plan() const override { return rules_; }
  std::vector<std::string> notes() const override { return notes_; }
  long vocabulary() const override { return config_.vocab_size; }
  long layers() const override { return config_.num_hidden_layers; }

 protected:
  configuration config_;
  model_type model_;
  plan_rules rules_;
  std::vector<std::string> notes_;
};

/// Under the family's own plan. @error SP105 the ranks cannot share it.
template <class Family> struct automatic_lm final : family_lm<Family, Family::plan> {
  automatic_lm(const configuration& c, int tp) : family_lm<Family, Family::plan>(c) {
    this->rules_ = rules_in_force(Family::plan, layer_names(this->model_));
    for (const auto& v : this->parameters()) require_dealable(v, tp);
  }
};

/// Under a plan that is read now. @error SP205, SP206 the text; SP202 ... SP204, SP105 it and the model; SP1xx, SP301, SP404 its placements.
template <class Family> struct run_time_lm final : family_lm<Family, plan_from_text> {
  run_time_lm(const configuration& c, plan_choice choice, std::string_view text, int tp) : family_lm<Family, plan_from_text>(c) {
    const std::vector<std::string> layers = layer_names(this->model_);
    imported_plan p;
    if (choice == plan_choice::published) p = import_plan(Family::published, layers, c.tie_word_embeddings);
    else if (choice == plan_choice::none) p.text = "{}";
    else {
      (void)parse_plan(text);                          // faults are shown in the text as it was given
      std::vector<std::string> possible = layers;
      each_path<typename family_lm<Family, plan_from_text>::model_type>([&](std::string_view path) { possible.emplace_back(path); });
      p = framed_plan(text, Family::published.prefix, possible);
    }
    const auto plan = parse_plan(p.text);
    bind_report r = bind(this->model_, plan, tp);
    this->rules_ = rules_in_force(plan, layers);
    this->notes_ = std::move(p.notes);
    if (choice != plan_choice::none) for (auto& n : r.notes) this->notes_.push_back(std::move(n));
    (void)dry_check(*this, ranks{tp}, tokens{1, 2});
  }
};

template <class Family> std::unique_ptr<causal_lm> make(const configuration& c, plan_choice choice, std::string_view text, int tp) {
  if (choice == plan_choice::automatic) return std::make_unique<automatic_lm<Family>>(c, tp);
  return std::make_unique<run_time_lm<Family>>(c, choice, text, tp);
}

}  // namespace families

/// Makes a family known to read_configuration and make_causal_lm. False if its type is taken.
template <class Family> bool register_family() {
  static families::entry e{Family::model_type, &Family::read, &families::make<Family>, &Family::published};
  return families::add(e);
}

}  // namespace shardproof

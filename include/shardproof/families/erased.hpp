#pragma once
/// @file
/// Puts a family behind the interface `causal_lm`, under its own constexpr plan and under plans that are read at start-up.
///
///     // family_llama.cpp, the whole of it:
///     #include <shardproof/families/erased.hpp>
///     #include <shardproof/families/llama.hpp>
///     static const bool registered = sp::register_family<sp::families::llama_family>();
///
/// forward is instantiated twice: with placements as types, and with placements as values. The published plan, no plan and a user's
/// plan share the second.
#include <algorithm>
#include <shardproof/families/registry.hpp>
#include <shardproof/model/bind.hpp>
namespace shardproof {
namespace families {

/// The plan of every model that is bound at start-up.
inline constexpr auto plan_from_text = run_time_plan<>{}.with_boundary<shard<seq>>();

/// A family under one plan.
template <class Family, const auto& Plan> class lm_under final : public family_model {
  using model_type = typename Family::template model<at<Plan>>;
  using plan_type = std::remove_cvref_t<decltype(Plan)>;
  configuration config_;
  model_type model_;
  std::vector<std::pair<std::string, std::string>> rules_;
  std::vector<std::string> notes_;

  /// Pattern and style of every rule; what names no layer of this configuration is marked optional, so that the list is a plan.
  template <class P> void remember(const P& p) {
    const std::vector<std::string> layers = layer_paths();
    p.each_pattern([&](int i, std::string_view pattern) {
      std::string_view style;
      each_style(typename P::styles{}, [&]<class S>(int k, S*) { if (k == p.style_of_rule(i)) style = S::name; });
      bool used = is_optional(pattern);
      for (const auto& l : layers) used = used || names_layer(pattern, l);
      rules_.emplace_back((used ? "" : "?") + std::string(pattern), style);
    });
  }

 public:
  explicit lm_under(const configuration& c) : config_(c) {
    configure(model_, config_);
    set_extents(model_, kept(extents_of(config_)));
    if constexpr (plan_type::typed) remember(Plan);
  }
  layout_value input_place() const override { return shardproof::input_place(model_); }
  token_logits forward(const token_ids& ids, cache& kv) override {
    if constexpr (!plan_type::typed) return model_.forward(ids, kv);
    else {
      if (!(ids.place() == input_place())) throw error(code::usage, "token ids lie on the mesh otherwise than the plan says.", "make them whole on tp: sp::erased_ids(sp::whole(...)).");
      return model_.forward(ids.as<input_layout<model_type>>(), kv).template as<any>();
    }
  }
  std::vector<parameter_view> parameters() override {
    auto all = shardproof::parameters(model_);
    // Nothing at all: longcat_flash's without identity experts.
    std::erase_if(all, [](const parameter_view& v) { return std::any_of(v.global.n, v.global.n + v.global.rank, [](long n) { return n == 0; }); });
    if constexpr (requires { Family::stored_as(std::string_view(), config_); })
      for (auto& v : all) v.stored = Family::stored_as(v.name, config_);
    return all;
  }
  std::vector<std::pair<std::string, std::string>> plan() const override { return rules_; }
  std::vector<std::string> notes() const override { return notes_; }
  long vocabulary() const override { return config_.vocab_size; }
  long layers() const override { return config_.num_hidden_layers; }

  std::vector<std::string> layer_paths() override {
    std::vector<std::string> out;
    each_layer(model_, [&](auto& l, const layer_numbers& n) { out.push_back(shardproof::detail::numbered(std::remove_reference_t<decltype(l)>::where::path(), n)); });
    return out;
  }
  std::vector<std::string> possible_paths() const override {
    std::vector<std::string> out;
    each_path<model_type>([&](std::string_view path) { out.emplace_back(path); });
    return out;
  }
  void bind_plan(const std::string& text, std::vector<std::string> said, const sharing& how) override {
    if constexpr (!plan_type::typed) {
      using whole = settings<invariant>;
      using cut = settings<shard<seq>>;
      static constexpr const settings_value* sets[2][2] = {{&settings_as_value<whole>, &settings_as_value<whole::with_axis<dp, shard<batch>>>},
                                                           {&settings_as_value<cut>, &settings_as_value<cut::with_axis<dp, shard<batch>>>}};
      const auto plan = parse_plan(text);
      bind_report r = shardproof::detail::bind_under(model_, plan, *sets[how.sequence_parallel][how.data_parallel], how.tp);
      notes_ = std::move(said);
      if (plan.rule_count()) for (auto& n : r.notes) notes_.push_back(std::move(n));       // "no rule names this layer" is no news without rules
      remember(plan);
    }
  }
};

template <class Family> std::unique_ptr<family_model> make(const configuration& c, bool for_text) {
  if (for_text) return std::make_unique<lm_under<Family, plan_from_text>>(c);
  return std::make_unique<lm_under<Family, Family::plan>>(c);
}

}  // namespace families

/// Makes a family known to read_configuration and make_causal_lm. False if its type is taken.
template <class Family> bool register_family() {
  static families::entry e{Family::model_type, &Family::read, &families::make<Family>, &Family::published};
  return families::add(e);
}

}  // namespace shardproof

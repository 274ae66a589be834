#pragma once
/// @file
/// Gives every layer of a model its style from a plan that was read at start-up; refuses what does not fit, before any data.
///
///     llama<sp::at<from_json>> model;
///     sp::bind_report r = sp::bind(model, sp::parse_plan(text), 4);      // 4 ranks of tp; r.notes are printed, not fatal
///
/// The one matcher is used once, here: forward, loading, saving, gradients and reports then use the layer's own placements.
#include <shardproof/model/inputs.hpp>
#include <shardproof/model/parameters.hpp>
#include <shardproof/plan/parse.hpp>
namespace shardproof {

struct bind_report {
  std::vector<std::string> notes;                      ///< aliases (an older name was used) and SP201: a layer that no rule matches
};

namespace detail {
/// Text that diagnostics point to; kept for ever, once.
inline const char* interned_text(const std::string& s) {
  struct link { std::string text; link* next; };
  static constinit link* head = nullptr;
  link* seen = __atomic_load_n(&head, __ATOMIC_ACQUIRE);
  for (link* l = seen; l; l = l->next) if (l->text == s) return l->text.c_str();
  link* made = new link{s, seen};
  while (!__atomic_compare_exchange_n(&head, &made->next, made, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) {}
  return made->text.c_str();
}

/// A layer without its types.
struct layer_view {
  std::string path;
  std::string_view stacked;                            ///< the same with "*" for numbers
  const style_fact* styles;
  int style_count;
  binding* bound;
  bool needs_rule;                                     ///< linear, embedding, experts: SP201 if no rule names it
  std::vector<const layout_value**> parameter;
  const layout_value** bias = nullptr;
  bool bias_left_out = false;                          ///< optional, and the configuration has none
  bool unmatched = false;                              ///< needs a rule, and there is none
  bool region = false, expert = false;                 ///< a module with a style; a parameter with one matrix an expert
  std::string_view style() const { return styles[bound->style()].name; }
  bool accepts(const style_fact& f) const { return f.suits || (bias_left_out && f.suits_without_bias); }
};
/// @error SP207 sharded experts whose parent has no style for them; a router for dealt experts where none are.
[[gnu::noinline]] inline void require_whole_groups(const std::vector<layer_view>& layers) {
  const auto inside = [](const layer_view& l, std::string_view parent) { return l.path.size() > parent.size() && l.path.starts_with(parent) && l.path[parent.size()] == '.'; };
  for (const auto& l : layers) {
    if (l.region && l.style() == "replicated")
      for (const auto& e : layers)
        if (e.expert && inside(e, l.path) && (*e.parameter[0])->on[0].splits())
          throw error(code::incomplete_experts, "at " + l.path + ", style replicated, needs moe_tp_experts or ep_dispatch_experts: " + e.path + " is " + std::string(e.style()));
    if (l.style() != "ep_router") continue;
    const std::string_view parent = std::string_view(l.path).substr(0, l.path.rfind('.') == l.path.npos ? 0 : l.path.rfind('.'));
    bool dealt = false;
    for (const auto& e : layers) dealt = dealt || ((parent.empty() || inside(e, parent)) && e.style() == "grouped_gemm");
    if (!dealt) throw error(code::incomplete_experts, "at " + l.path + ", style ep_router, needs grouped_gemm on the experts beside it");
  }
}
/// A rule without its plan's type.
struct rule_view {
  std::string_view pattern, style;
  int number;
  bool used = false;
};
[[gnu::noinline]] inline bind_report assign_styles(std::vector<layer_view>& layers, const std::vector<std::string>& other_paths, std::vector<rule_view>& rules, const settings_value& set) {
  bind_report report;
  for (auto& l : layers) {
    int first = -1;
    for (std::size_t i = 0; i < rules.size(); ++i) {
      if (!names_layer(rules[i].pattern, l.path)) continue;
      rules[i].used = true;
      if (first >= 0)
        throw error(code::two_rules, "Layer=" + l.path + ", First=\"" + std::string(rules[std::size_t(first)].pattern) + "\", Second=\"" + std::string(rules[i].pattern) + "\"");
      first = int(i);
    }
    int style = -1;
    for (int s = 0; s < l.style_count; ++s) if (first < 0 ? std::string_view(l.styles[s].name) == "replicated" : s == rules[std::size_t(first)].number) style = s;
    const style_fact& f = l.styles[style];
    if (!l.accepts(f)) {
      std::string ok;
      for (int s = 0; s < l.style_count; ++s) if (l.accepts(l.styles[s])) (ok += ok.empty() ? "" : ", ") += l.styles[s].name;
      throw error(code::unsuited_style, "at " + l.path + ", Style=" + f.name + ", Applicable=" + ok);
    }
    l.bound->set = &set;
    l.bound->chosen = style;
    l.bound->name = interned_text(l.path);
    for (std::size_t i = 0; i < l.parameter.size(); ++i) *l.parameter[i] = l.bound->parameter(f.parameter[i]);
    if (l.bias) *l.bias = l.bound->parameter(f.bias);
    l.unmatched = first < 0 && l.needs_rule;
  }
  require_whole_groups(layers);
  // One note for all layers of a stack, if none of them has a rule; else each that has none by its number.
  for (const auto& l : layers) {
    if (!l.unmatched) continue;
    bool all = true;
    for (const auto& other : layers) all = all && (other.stacked != l.stacked || other.unmatched);
    std::string note = std::string(sentence(code::unmatched_layer)) + " [Layer=" + (all ? std::string(l.stacked) : l.path) + "]";
    bool said = false;
    for (const auto& n : report.notes) said = said || n == note;
    if (!said) report.notes.push_back(std::move(note));
  }
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].used || is_optional(rules[i].pattern)) continue;
    bool elsewhere = false;
    for (const auto& p : other_paths) elsewhere = elsewhere || names_layer(rules[i].pattern, p);
    if (elsewhere) continue;
    std::string nearest;
    int least = 1 << 20;
    for (const auto& l : layers) if (const int d = edit_distance(rules[i].pattern, l.path.substr(0, 63)); d < least) { least = d; nearest = l.path; }
    throw error(code::unmatched_rule, "Rule=\"" + std::string(rules[i].pattern) + "\": \"" + std::string(rules[i].style) + "\", nearest layer " + nearest);
  }
  return report;
}
template <class Kind> inline constexpr bool wants_rule = !requires { requires Kind::is_router; } && requires { typename Kind::in; } && !std::is_same_v<typename Kind::in, typename Kind::out> && Kind::in::rank > 0;
}  // namespace detail

/// Of a text that nobody keeps: it is kept here, for ever, once. A plan only points into its text.
template <class... More, class S> requires std::is_same_v<S, std::string>
text_plan<settings<invariant>, More...> parse_plan(S&& text) { return parse_plan<More...>(std::string_view(detail::interned_text(text))); }

namespace detail {
/// Whatever the plan says of the whole model comes as a value, so that models are not compiled once for each of its settings.
template <class M, class... More> bind_report bind_under(M& m, const text_plan<settings<invariant>, More...>& plan, const settings_value& set, int w) {
  using model_plan = typename plan_in<M>::type;
  refuse_faulty(plan);
  for (const auto& p : parameters(m))
    if (*p.at) throw error(code::usage, "a plan is bound to a model whose parameters have values (" + p.name + "); they are sharded already.", "bind first, then initialise or load.");
  std::vector<layer_view> layers;
  each_layer(m, [&](auto& l, const layer_numbers& n) {
    using L = std::remove_reference_t<decltype(l)>;
    layer_view v{numbered(L::where::path(), n), L::where::path(), L::tables::facts.data(), int(L::tables::facts.size()), &l.bound, wants_rule<typename L::layer_kind>, {}, nullptr, false};
    if constexpr (requires { typename L::own; }) {
      each_member(static_cast<typename L::own&>(l), [&](auto& p) { if constexpr (is_parameter<std::remove_cvref_t<decltype(p)>>) v.parameter.push_back(&p.place_); });
      if constexpr (!std::is_same_v<decltype(l.bias), none>) {
        v.bias = &l.bias.place_;
        if constexpr (requires { l.bias.present; }) v.bias_left_out = !l.bias.present;
      }
    } else {
      v.parameter.push_back(&l.place_);
      v.expert = with_role<role::experts, typename L::dims_type>::rank > 0;
    }
    v.region = is_region<L>;
    layers.push_back(std::move(v));
  });
  std::vector<std::string> other;
  each_path<M>([&](std::string_view p) { other.emplace_back(p); });
  std::vector<rule_view> rules;
  plan.each_pattern([&](int i, std::string_view w_) {
    const int s = plan.style_of_rule(i);
    std::string_view name;
    each_style(typename model_plan::styles{}, [&]<class S>(int k, S*) { if (k == s) name = S::name; });
    rules.push_back({w_, name, s});
  });
  bind_report r = assign_styles(layers, other, rules, set);
  for (const auto& p : parameters(m)) require_dealable(p, w);
  return r;
}

}  // namespace detail

/// @error SP202 a rule without a layer; SP203 two rules for one; SP204 the style does not suit; SP205, SP206 the text itself;
/// SP105 what a style cuts cannot be dealt to `w` ranks.
template <class M, class Set, class... More> bind_report bind(M& m, const text_plan<Set, More...>& plan, int w = ranks_on()) {
  using model_plan = typename detail::plan_in<M>::type;
  using boundary = typename Set::boundary;
  static_assert(!model_plan::typed, "shardproof: bind takes a model under a run_time_plan; a constexpr plan is bound by the compiler");
  static_assert(std::is_same_v<typename model_plan::styles, typename text_plan<Set, More...>::styles>,
                "shardproof: parse_plan<...> must list the same styles of one's own as run_time_plan<...>");
  static_assert(std::is_same_v<boundary, invariant> || std::is_same_v<read_later<boundary>, typename model_plan::set::boundary>,
                "shardproof: the text cuts the stream, and the model's plan does not say that it may: run_time_plan<>{}.with_boundary<...>()");
  return detail::bind_under(m, text_plan<settings<invariant>, More...>::from(plan), settings_as_value<Set>, w);
}

}  // namespace shardproof

#pragma once
/// @file
/// The {pattern: style} text of a plan, read by the same function while compiling and at start-up.
///
///     inline constexpr auto from_text = sp::parse_plan(R"({"layers.*.mlp.down_proj": "rowwise"})");   // a constexpr plan
///     sp::bind(model, sp::parse_plan<my_style>(text));                                                // refused with SP205, SP206
///
/// The result refers to the text, which must outlive it. Styles are resolved at once, aliases too; a leading '?' in a pattern
/// marks it optional.
#include <shardproof/core/error.hpp>
#include <shardproof/core/json.hpp>
#include <shardproof/plan/at.hpp>
namespace shardproof {

/// A plan as a value: patterns are views into the text, styles are numbers in `styles`.
template <class Settings, class... More> struct text_plan {
  static constexpr bool typed = true;
  static constexpr int capacity = 1024;
  using set = Settings;
  using styles = joined_styles<standard_styles, style_list<More...>>;
  struct entry { unsigned at = 0; unsigned short length = 0; short style = 0; };
  std::string_view text;
  std::array<entry, capacity> entries{};
  int count = 0;
  int ranks = 0;
  plan_fault wrong;

  constexpr text_plan on(int n) const { text_plan p = *this; p.ranks = n; return p; }
  template <class B> constexpr auto with_boundary() const { return text_plan<typename Settings::template with_boundary<B>, More...>::from(*this); }
  template <class A, class P> constexpr auto with_axis() const { return text_plan<typename Settings::template with_axis<A, P>, More...>::from(*this); }
  template <class Other> static constexpr text_plan from(const text_plan<Other, More...>& o) {
    text_plan p;
    p.text = o.text;
    p.count = o.count;
    p.ranks = o.ranks;
    p.wrong = o.wrong;
    for (std::size_t i = 0; i < std::size_t(o.count); ++i) p.entries[i] = {o.entries[i].at, o.entries[i].length, o.entries[i].style};
    return p;
  }

  constexpr int rule_count() const { return count; }
  constexpr std::string_view pattern(int i) const { return text.substr(entries[std::size_t(i)].at, entries[std::size_t(i)].length); }
  constexpr int style_of_rule(int i) const { return entries[std::size_t(i)].style; }
  template <class F> constexpr void each_pattern(F f) const { for (int i = 0; i < count; ++i) f(i, pattern(i)); }
  /// The number of the style of a path; `replicated` where no rule matches.
  constexpr int find(std::string_view path) const {
    for (int i = 0; i < count; ++i) if (names_layer(pattern(i), path)) return entries[std::size_t(i)].style;
    return style_number(styles{}, "replicated");
  }
  /// What is wrong with it as a constexpr plan: layer numbers are.
  constexpr plan_fault fault() const {
    plan_fault out = wrong;
    for (int i = 0; i < count && out.broken == code::ok; ++i)
      if (const int n = number_in(pattern(i)); n >= 0) out = {code::numbered_pattern, i, n, pattern(i)};
    return out;
  }
};

namespace detail {
template <class Plan> constexpr void read_plan(Plan& p, std::string_view text) {
  p.text = text;
  const json::document d = json::read(text);
  if (d.wrong) { p.wrong = {code::malformed_plan, 0, int(d.wrong.at), d.wrong.what}; return; }
  if (!d.root.is(json::kind::object)) { p.wrong = {code::malformed_plan, 0, int(d.root.at()), "a plan is an object of \"pattern\": \"style\""}; return; }
  json::each_member(d.root, [&](json::string key, json::value v) {
    if (p.wrong.broken != code::ok) return;
    const std::string_view pattern = key.raw();
    // An object {"style": "rowwise", ...}, as explain --json writes a rule, says the same.
    const json::value style = v.is(json::kind::object) ? v.find("style") : v;
    if (!style.is(json::kind::string)) { p.wrong = {code::malformed_plan, p.count, int(v.at()), "a style is a name in quotes"}; return; }
    if (const int at = fault_in(pattern); at >= 0) { p.wrong = {code::malformed_pattern, p.count, at, pattern}; return; }
    const std::string_view name = style.as_string().raw();
    const int n = style_number(typename Plan::styles{}, current_name(name));
    if (p.count == Plan::capacity) { p.wrong = {code::malformed_plan, p.count, int(v.at()), "a plan has at most 1024 rules"}; return; }
    p.entries[std::size_t(p.count)] = {unsigned(pattern.data() - text.data()), static_cast<unsigned short>(pattern.size()), short(n)};
    if (n < 0) p.wrong = {code::unknown_style, p.count, int(style.at()), name};
    else ++p.count;
  });
}
}  // namespace detail

/// Throws the plan's own fault, if it has one.
template <class Plan> void refuse_faulty(const Plan& p) {
  const plan_fault& f = p.wrong;
  if (f.broken == code::ok) return;
  char text[512] = {};
  unsigned n = 0;
  const auto put = [&](std::string_view s) { for (char c : s) if (n + 1 < sizeof text) text[n++] = c; };
  const auto put_number = [&](int v) {
    char digits[12];
    int k = 0;
    do { digits[k++] = char('0' + v % 10); v /= 10; } while (v);
    while (k) put({&digits[--k], 1});
  };
  if (f.broken == code::unknown_style) {
    put("unknown parallel style \""); put(f.word); put("\" for \""); put(p.pattern(f.rule)); put("\".");
    char fix[512] = {};
    unsigned m = 0;
    const auto add = [&](std::string_view s) { for (char c : s) if (m + 1 < sizeof fix) fix[m++] = c; };
    add("did you mean \""); add(nearest_style(typename Plan::styles{}, f.word)); add("\"? Known styles:");
    each_style(typename Plan::styles{}, [&]<class S>(int i, S*) { add(i ? ", " : " "); add(S::name); });
    throw error(f.broken, {text, n}, {fix, m});
  }
  put(f.broken == code::malformed_plan ? "Fault=\"" : "Pattern=\""); put(f.word); put("\", Position="); put_number(f.position);
  throw error(f.broken, {text, n});
}

/// `More`: styles the program defines itself. While compiling a fault is kept for `covers` and the layers to report; at run time
/// it is thrown. @error SP205 unknown style; SP206 malformed pattern or text.
template <class... More> constexpr text_plan<settings<invariant>, More...> parse_plan(std::string_view text) {
  text_plan<settings<invariant>, More...> p;
  detail::read_plan(p, text);
  if (!std::is_constant_evaluated()) refuse_faulty(p);
  return p;
}

}  // namespace shardproof

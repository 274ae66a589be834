#pragma once
/// @file
/// A plan maps layers' paths to styles: a constexpr value, whose rules are style objects carrying their patterns.
///
///     inline constexpr sp::plan tensor_parallel{sp::colwise{"layers.*.mlp.up_proj"}, sp::rowwise{"layers.*.mlp.down_proj"}};
///     inline constexpr auto on_four = tensor_parallel.on(4);                                  // head counts checked while compiling
///     inline constexpr auto with_dp = tensor_parallel.with_axis<sp::dp, sp::shard<batch>>();
#include <shardproof/core/layout.hpp>
#include <shardproof/plan/pattern.hpp>
#include <shardproof/plan/styles.hpp>
namespace shardproof {

/// What a plan says once for the whole model: the placement of the stream between layers on tp, and of activations on the other
/// axes, where parameters are Replicate.
template <class Boundary, class... Others> struct settings {
  using boundary = Boundary;
  template <class B> using with_boundary = settings<B, Others...>;
  template <class A, class P> using with_axis = settings<Boundary, on<A, P>, Others...>;
  template <class P> using activation = layout<Others..., on<tp, P>>;
  template <class P> using parameter = layout<on<typename Others::axis, replicate>..., on<tp, P>>;
};
template <class Boundary> struct settings<Boundary> {
  using boundary = Boundary;
  template <class B> using with_boundary = settings<B>;
  template <class A, class P> using with_axis = settings<Boundary, on<A, P>>;
  template <class P> using activation = P;
  template <class P> using parameter = P;
};

/// What is wrong with a plan by itself.
struct plan_fault {
  code broken = code::ok;
  int rule = 0;                                        ///< counted from 0
  int position = 0;                                    ///< in the pattern, or in the text
  std::string_view word;                               ///< the pattern or the style's name
};

/// A constexpr plan. `find` gives the number of the style of a path, `replicated` where no rule matches.
template <class Settings, class... S> struct plan {
  static constexpr bool typed = true;
  using set = Settings;
  using styles = style_list<S..., replicated>;
  std::array<rule, sizeof...(S) + 1> rules;
  int ranks = 0;                                       ///< on tp; 0: not known while compiling

  constexpr plan(const S&... s) : rules{static_cast<const rule&>(s)...} {}
  template <class Other> constexpr plan(const plan<Other, S...>& o, int n) : rules(o.rules), ranks(n) {}
  /// The same plan for n ranks of tp: what cannot be dealt to n ranks is refused while compiling (SP105).
  constexpr plan on(int n) const { return plan(*this, n); }
  /// The stream between layers lies as B: `with_boundary<shard<seq>>()` is sequence parallelism.
  template <class B> constexpr auto with_boundary() const { return plan<typename Settings::template with_boundary<B>, S...>(*this, ranks); }
  /// Activations lie as P on another axis, parameters are Replicate there.
  template <class A, class P> constexpr auto with_axis() const { return plan<typename Settings::template with_axis<A, P>, S...>(*this, ranks); }

  constexpr int rule_count() const { return int(sizeof...(S)); }
  template <class F> constexpr void each_pattern(F f) const {
    for (int i = 0; i < rule_count(); ++i) for (const char* w : rules[std::size_t(i)].where) if (w) f(i, std::string_view(w));
  }
  constexpr int find(std::string_view path) const {
    int found = rule_count();
    each_pattern([&](int i, std::string_view w) { if (found == rule_count() && names_layer(w, path)) found = i; });
    return found;
  }
  constexpr plan_fault fault() const {
    plan_fault out;
    each_pattern([&](int i, std::string_view w) {
      if (out.broken != code::ok) return;
      if (const int at = fault_in(w); at >= 0) out = {code::malformed_pattern, i, at, w};
      else if (const int n = number_in(w); n >= 0) out = {code::numbered_pattern, i, n, w};
    });
    return out;
  }
  constexpr int style_of_rule(int i) const { return i; }
};
template <class... S> plan(S...) -> plan<settings<invariant>, S...>;

/// How many rules name this path, and the first two of them.
struct rule_matches { int count = 0, first = -1, second = -1; };
template <class Plan> constexpr rule_matches rules_for(const Plan& p, std::string_view path) {
  rule_matches out;
  p.each_pattern([&](int i, std::string_view w) {
    if (!names_layer(w, path)) return;
    if (out.count++ == 0) out.first = i;
    else if (out.count == 2) out.second = i;
  });
  return out;
}

/// A plan that is read at start-up. `More` are the styles the program defines itself. Boundary and axes are those of the text that is
/// bound; `with_boundary<shard<seq>>()` here lets it cut the stream so.
template <class Settings, class... More> struct plan_read_later {
  static constexpr bool typed = false;
  using set = Settings;
  using styles = joined_styles<standard_styles, style_list<More...>>;
  template <class B> constexpr auto with_boundary() const { return plan_read_later<settings<read_later<B>>, More...>{}; }
};
template <class... More> struct run_time_plan : plan_read_later<settings<invariant>, More...> {};

}  // namespace shardproof

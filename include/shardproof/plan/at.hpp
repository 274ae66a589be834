#pragma once
/// @file
/// The place of a layer: the plan by reference, and the names on the way as tags. No string reaches a symbol.
///
///     using where = sp::at<tensor_parallel>::child<struct mlp>::child<struct down_proj>;
///     static_assert(where::path() == "mlp.down_proj");
#include <shardproof/plan/plan.hpp>
namespace shardproof {

/// One layer number of a stack: "*" in patterns.
struct each;
template <> constexpr std::string_view type_name<each>() { return "*"; }

namespace detail {
template <const std::string_view& Word, class I> struct spell;
template <const std::string_view& Word, std::size_t... I> struct spell<Word, std::index_sequence<I...>> { using type = spelled<Word[I]...>; };
/// A static string as a type, letter by letter.
template <const std::string_view& Word> using letters_of = typename spell<Word, std::make_index_sequence<Word.size()>>::type;

/// What is wrong with a plan by itself, and the verdict that says so: the same one wherever it is noticed.
template <const auto& Plan> struct fault_of {
  static constexpr plan_fault value = Plan.fault();
  static constexpr std::string_view word = value.word;
  using why = verdict<value.broken, rule_number<Plan, value.rule>, extent<value.position>, letters_of<word>>;
};
}  // namespace detail

template <const auto& Plan, class... Tags> struct at {
  using plan = std::remove_cvref_t<decltype(Plan)>;
  template <class Tag> using child = at<Plan, Tags..., Tag>;
  static constexpr bool layer = true;
  /// Dotted, NUL-terminated: "layers.*.mlp.down_proj".
  static constexpr auto text = [] {
    std::array<char, (1 + ... + (type_name<Tags>().size() + 1))> a{};
    [[maybe_unused]] std::size_t i = 0;
    ([&] { if (i) a[i++] = '.'; for (char c : type_name<Tags>()) a[i++] = c; }(), ...);
    return a;
  }();
  static constexpr std::string_view path() {
    std::size_t n = 0;
    while (text[n]) ++n;
    return {text.data(), n};
  }
  static constexpr const char* c_path() { return text.data(); }
  /// Which style the plan gives this layer, as a number in `plan::styles`.
  static constexpr int style_number() { return Plan.find(path()); }
  static constexpr int ranks() { return Plan.ranks; }
  using fault = detail::fault_of<Plan>;
  static constexpr rule_matches rules() { return rules_for(Plan, path()); }
  template <int I> using rule_of = rule_number<Plan, I>;
};
template <class At> using plan_of = typename At::plan;
template <class At> using settings_of = typename At::plan::set;

}  // namespace shardproof

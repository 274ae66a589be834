#pragma once
/// @file
/// Does every rule of a constexpr plan match some layer of the model? A typo is SP202, while compiling.
///
///     static_assert(sp::covers<llama, tensor_parallel>());
///
/// A rule that any alternative of the model uses is covered; a pattern with a leading '?' need not be.
#include <shardproof/model/visit.hpp>
#include <shardproof/plan/parse.hpp>
namespace shardproof {
namespace detail {

struct uncovered { int rule = -1; std::string_view pattern; };
template <class M, class Plan> constexpr uncovered first_uncovered(const Plan& plan) {
  uncovered out;
  plan.each_pattern([&](int i, std::string_view w) {
    if (out.rule >= 0 || is_optional(w)) return;
    bool hit = false;
    each_path<M>([&](std::string_view path) { hit = hit || names_layer(w, path); });
    if (!hit) out = {i, w};
  });
  return out;
}
/// The first rule that makes a router one for dealt experts where its parent has none; -1 if there is no such rule.
template <class M, class Plan> constexpr int lonely_router(const Plan& plan) {
  const auto has = [&](std::string_view path, std::string_view style) {
    bool yes = false;
    const int n = plan.find(path);
    each_style(typename Plan::styles{}, [&]<class S>(int i, S*) { yes = yes || (i == n && style == S::name); });
    return yes;
  };
  int out = -1;
  each_path<M>([&](std::string_view router) {
    if (out >= 0 || !has(router, "ep_router")) return;
    std::size_t dot = router.size();
    while (dot > 0 && router[dot - 1] != '.') --dot;
    bool grouped_beside = false;
    each_path<M>([&](std::string_view path) { grouped_beside = grouped_beside || (path.size() > dot && path.substr(0, dot) == router.substr(0, dot) && has(path, "grouped_gemm")); });
    if (!grouped_beside) out = rules_for(plan, router).first;
  });
  return out;
}
/// What is wrong with the plan, or with its fit to the model, as static objects that types may refer to.
template <template <class> class Model, const auto& Plan> struct coverage {
  static constexpr plan_fault fault = fault_of<Plan>::value;
  static constexpr uncovered rule = [] { if (fault.broken != code::ok) return uncovered{}; return first_uncovered<Model<at<Plan>>>(Plan); }();
  static constexpr int router = [] { if (fault.broken != code::ok) return -1; return lonely_router<Model<at<Plan>>>(Plan); }();
  static constexpr bool sound = router < 0 && fault.broken == code::ok && rule.rule < 0;
  static constexpr std::string_view word = rule.pattern;
};
}  // namespace detail

/// True, or one error: SP202 for a rule without a layer, SP205 and SP206 for what is wrong with the plan itself, SP207 for a
/// router made for dealt experts where there are none.
template <template <class> class Model, const auto& Plan> constexpr bool covers() {
  using c = detail::coverage<Model, Plan>;
  if constexpr (c::fault.broken != code::ok) static_assert(detail::fault_of<Plan>::why::ok);
  else if constexpr (c::rule.rule >= 0) static_assert(verdict<code::unmatched_rule, rule_number<Plan, c::rule.rule>, detail::letters_of<c::word>>::ok);
  else if constexpr (c::router >= 0) static_assert(verdict<code::incomplete_experts, rule_number<Plan, c::router>, style<ep_router>, needs<grouped_gemm>>::ok);
  return true;                                         // what is broken is said: an assertion of this may hold
}

}  // namespace shardproof

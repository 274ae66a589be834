#pragma once
/// @file
/// Which experts a token goes to, and with what weight: the top-k choice of a router.
///
///     auto chosen = sp::choose(gate(x), {.chosen = 2, .renormalised = true});      // logits (batch, seq, n_experts)
///     chosen.weights                                       // (batch, seq, chosen), differentiable in the logits
///     chosen.ids                                           // (batch, seq, chosen) i64
///
/// A bias of the choice (DeepSeek's e_score_correction_bias, arXiv 2408.15664) joins the scores that are compared, not the weights.
#include <shardproof/tensor/ops/arithmetic.hpp>
#include <shardproof/tensor/ops/routing.hpp>
namespace shardproof {

namespace erased {
inline void pull_choose(node& y) {
  route_args a;
  a.how = state_of<router_rule>(y);
  a.logits = y.in[0]->v();
  a.ids = y.saved[0]->v();
  a.dweights = y.g();
  a.dlogits = y.in[0]->g();
  device().route_backward(a);
}
inline ref choose(const ref& logits0, const ref& bias, const router_rule& how, const shape& s, ref* ids) {
  const ref logits = widened(logits0);
  ref y = record(logits->type, s, {&logits}, pull_choose, how);
  *ids = leaf(dtype::i64, s);
  if (y->tracked) y->saved[0] = *ids;
  if (live(y)) {
    route_args a;
    a.how = how;
    a.logits = logits->v();
    a.weights = y->v();
    a.ids = (*ids)->v();
    if (bias) a.bias = bias->v();
    device().route(a);
  }
  return y;
}
}  // namespace erased

namespace detail {
/// @error SP001 a rule that no choice among so many experts can follow.
[[gnu::noinline]] inline void require_choice(const router_rule& how, long experts) {
  const auto refuse_rule = [&](std::string_view what, long value, std::string_view fix) {
    text_line t;
    t << "a router among " << experts << " experts has " << what << " = " << value << ".";
    throw error(code::usage, t.view(), fix);
  };
  if (how.chosen < 1 || how.chosen > experts) refuse_rule("chosen", how.chosen, "choose at least one expert, and no more than there are.");
  if (how.groups < 1 || experts % how.groups) refuse_rule("groups", how.groups, "give a number of groups that divides the experts.");
  if (how.kept_groups < 1 || how.kept_groups > how.groups) refuse_rule("kept_groups", how.kept_groups, "keep at least one group, and no more than there are.");
  if (how.chosen > experts / how.groups * how.kept_groups) refuse_rule("chosen", how.chosen, "choose no more than the groups that are kept have, or keep more groups.");
}
}  // namespace detail

namespace operations {
template <class Experts> struct choose {
  router_rule how;
  ref bias;
  ref* ids = nullptr;
  static constexpr outcome rule(placement logits) { return rules::over(logits, &info<Experts>); }
  constexpr void charge(bill& b) const { b.flops(8, 8); }
  ref run(const shape& s, const auto& logits) const { return erased::choose(logits.at, bias, how, s, ids); }
};
}  // namespace operations

namespace detail {
template <class Where, class X, class B> constexpr auto choose(const X& logits, const router_rule& how, const B& bias) {
  if constexpr (any_broken<X>) return broken{};
  else {
    using experts = last_of<dims_in<X>>;
    using to = concat<chop<dims_in<X>, 1>, dims<shardproof::chosen>>;
    sizes_of<to> s;
    copy_sizes(s, logits.sizes);
    s.n[std::size_t(to::rank - 1)] = how.chosen;
    operations::choose<experts> op{how, {}, nullptr};
    if constexpr (is_ghost<X>) {
      const auto w = apply<Where, to>::op(op, s, logits);
      if constexpr (any_broken<decltype(w)> || is_refused<decltype(w)>) return w;
      else return routing<std::remove_const_t<decltype(w)>, std::remove_const_t<decltype(w)>>{w, {w.sizes, w.at, w.place(), w.made_by}};
    } else {
      require_choice(how, logits.sizes.n[std::size_t(to::rank - 1)]);
      ref ids;
      op.ids = &ids;
      if constexpr (requires { bias.seen_by(logits); }) op.bias = bias.seen_by(logits).at;
      else if constexpr (tensor_like<B>) op.bias = bias.at;
      const auto w = apply<Where, to>::op(op, s, logits);
      if constexpr (any_broken<decltype(w)> || is_refused<decltype(w)>) return w;
      else return routing<std::remove_const_t<decltype(w)>, std::remove_const_t<decltype(w)>>{w, {w.sizes, ids, w.place(), w.made_by}};
    }
  }
}
}  // namespace detail

/// `bias`: [n_experts], a buffer of a module. @error SP101 the experts are cut; SP103 logits are Partial.
template <tensor_like X> constexpr auto choose(const X& logits, const router_rule& how) { return detail::choose<free_operation<operations::choose<void>>>(logits, how, nothing{}); }
template <tensor_like X, tensor_like B> constexpr auto choose(const X& logits, const router_rule& how, const B& bias) {
  return detail::choose<free_operation<operations::choose<void>>>(logits, how, bias);
}

}  // namespace shardproof

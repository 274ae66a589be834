#pragma once
/// @file
/// Experts that are the identity (LongCat-Flash, arXiv 2509.01322): what a token's choice of them weighs together.
///
///     auto y = sp::scale_rows(x, sp::identity_weight(chosen, n_routed));   // the choices with ids of n_routed and above
///
/// dispatch sends such choices nowhere, so the two sums together are the mixture.
#include <shardproof/tensor/ops/expert_rows.hpp>
#include <shardproof/tensor/ops/routing.hpp>
#include <shardproof/tensor/ops/rows.hpp>
namespace shardproof {

namespace erased {
struct identity_state { long all, count; };
/// Tokens and choices of ids that are no routed expert's: pairs in `list`, see sorted_ids.
inline view identity_tokens(const ref& list, const identity_state& z) { return part_of(list, 0, z.count); }
inline view identity_choices(const ref& list, const identity_state& z) { return part_of(list, z.all, z.count); }
/// to[t] += from[f] for each pair.
inline void add_pairs(const view& to, const view& t, const view& from, const view& f) {
  const ref values = leaf(from.type, {f.count(), 1});
  device().gather_rows(values->v(), as_rows(from, 1), f, 0);
  device().scatter_rows(as_rows(to, 1), values->v(), t, 0, -1);
}
inline void pull_identity_weight(node& y) {
  const auto z = state_of<identity_state>(y);
  const ref& list = y.in[1];
  if (y.in[0]->tracked) add_pairs(y.in[0]->g(), identity_choices(list, z), y.g(), identity_tokens(list, z));
}
inline ref identity_weight(const ref& weights0, const ref& ids, long first, const shape& s) {
  const ref weights = widened(weights0);
  const ref list = self.dry ? leaf(dtype::i64, {0}) : sorted_ids(ids, first, 1, true);
  const long all = ids->s.count();
  const identity_state z{all, self.dry ? 0 : known_count(list, all, 1)};
  ref y = record(weights->type, s, {&weights, &list}, pull_identity_weight, z);
  if (!live(y)) return y;
  device().fill(y->v(), 0);
  add_pairs(y->v(), identity_tokens(list, z), weights->v(), identity_choices(list, z));
  return y;
}
}  // namespace erased

namespace operations {
struct identity_weight {
  long first = 0;
  ref ids;
  static constexpr outcome rule(placement weights) { return rules::linear_map(weights); }
  constexpr void charge(bill& b) const { b.flops(1, 1); }
  ref run(const shape& s, const auto& weights) const { return erased::identity_weight(weights.at, ids, first, s); }
};
}  // namespace operations

/// (tokens..., one): the sum of a token's weights whose ids are `first` or above. @error as a linear map of the weights: none.
template <class R> requires (is_routing<R> || any_broken<R>) constexpr auto identity_weight(const R& chosen, long first) {
  if constexpr (any_broken<R>) return broken{};
  else {
    using W = decltype(chosen.weights);
    using to = concat<chop<dims_in<W>, 1>, dims<one>>;
    sizes_of<to> s;
    copy_sizes(s, chosen.weights.sizes);
    operations::identity_weight op{first, {}};
    if constexpr (!is_ghost<W>) op.ids = chosen.ids.at;
    return apply<free_operation<operations::identity_weight>, to>::op(op, s, chosen.weights);
  }
}

}  // namespace shardproof

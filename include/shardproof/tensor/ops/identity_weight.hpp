#pragma once
/// @file
/// Experts that are the identity (LongCat-Flash, arXiv 2509.01322): what a token's choice of them weighs together.
///
///     auto y = sp::scale_rows(x, sp::identity_weight(chosen, n_routed));   // the choices with ids of n_routed and above
///
/// dispatch sends such choices nowhere, so the two sums together are the mixture.
#include <vector>
#include <shardproof/tensor/ops/expert_rows.hpp>
#include <shardproof/tensor/ops/routing.hpp>
#include <shardproof/tensor/ops/rows.hpp>
namespace shardproof {

namespace erased {
/// Rows and choices of ids at or above `first`: [row of each, choice of each], i64 on the device.
inline ref identity_choices(const ref& ids, long first) {
  const long all = ids->s.count(), chosen = ids->s[-1];
  std::vector<std::int64_t> id(std::size_t(all), 0), rows, choices;
  if (all) device().to_host(id.data(), ids->v());
  for (long i = 0; i < all; ++i)
    if (id[std::size_t(i)] >= first) {
      rows.push_back(i / chosen);
      choices.push_back(i);
    }
  rows.insert(rows.end(), choices.begin(), choices.end());
  ref list = leaf(dtype::i64, {long(rows.size())});
  if (!rows.empty()) device().from_host(list->v(), rows.data());
  return list;
}
inline view half_of(const ref& list, long which) {
  const long n = list->s.count() / 2;
  return {static_cast<std::int64_t*>(list->data.get()) + which * n, dtype::i64, {n}};
}
/// to[t] += from[f] for each pair.
inline void add_pairs(const view& to, const view& t, const view& from, const view& f) {
  const ref values = leaf(from.type, {f.count(), 1});
  device().gather_rows(values->v(), as_rows(from, 1), f, 0);
  device().scatter_rows(as_rows(to, 1), values->v(), t, 0, -1);
}
inline void pull_identity_weight(node& y) {
  const ref& list = y.in[1];
  if (y.in[0]->tracked) add_pairs(y.in[0]->g(), half_of(list, 1), y.g(), half_of(list, 0));
}
inline ref identity_weight(const ref& weights0, const ref& ids, long first, const shape& s) {
  const ref weights = widened(weights0);
  const ref list = self.dry ? leaf(dtype::i64, {0}) : identity_choices(ids, first);
  ref y = record(weights->type, s, {&weights, &list}, pull_identity_weight);
  if (!live(y)) return y;
  device().fill(y->v(), 0);
  add_pairs(y->v(), half_of(list, 0), weights->v(), half_of(list, 1));
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

#pragma once
/// @file
/// The positions of tokens as ids, for tables of learned positions.
///
///     auto x = wte(ids) + wpe(sp::position_ids(ids, cache.positions()));     // ids (batch, seq) i64 -> (batch, seq) i64
///
/// They lie as the tokens do; where the sequence is cut, each rank has its own.
#include <vector>
#include <shardproof/tensor/apply.hpp>
#include <shardproof/tensor/ops/rope.hpp>
namespace shardproof {

namespace operations {
template <class Seq> struct position_ids {
  positions at{};
  long length = 0;
  static constexpr outcome rule(placement ids) { return rules::nonlinear(ids); }
  constexpr void charge(bill&) const {}
  ref run(const shape&, const auto& ids) const {
    const long start = at.first + shardproof::detail::start_along<Seq>(ids, length);
    ref y = leaf(dtype::i64, ids.at->s);
    if (!live(y)) return y;
    const long seq = ids.at->s[-1];
    if (at.counted) {                                    // the same for every sequence
      if (y->s.count()) device().copy({.dst = y->v(), .src = erased::counted_ids(at, seq), .rows = y->s.lead(1), .width = seq, .dst_row = seq});
      return y;
    }
    std::vector<std::int64_t> each(std::size_t(ids.at->s.count()), 0);
    for (std::size_t i = 0; i < each.size(); ++i) each[i] = start + long(i) % seq;
    if (!each.empty()) device().from_host(y->v(), each.data());
    return y;
  }
};
}  // namespace operations

/// ids is (..., seq). @error SP103 it is Partial.
template <tensor_like X> constexpr auto position_ids(const X& ids, positions at = {}) {
  if constexpr (any_broken<X>) return broken{};
  else {
    using op = operations::position_ids<last_of<dims_in<X>>>;
    return apply<free_operation<op>, dims_in<X>>::op(op{at, ids.sizes.n[std::size_t(dims_in<X>::rank - 1)]}, ids.sizes, ids);
  }
}

}  // namespace shardproof

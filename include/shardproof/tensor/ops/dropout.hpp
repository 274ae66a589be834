#pragma once
/// @file
/// Dropout (Srivastava et al., JMLR 2014) by global index: the same elements are dropped for every world size.
///
///     auto y = x + sp::dropout(mlp(x), 0.1);                               // the identity, but for
///     { sp::dropping on(seed, step);  loss = forward(ids); }               // a scope like this: training
///
/// Which elements these are follows from the seed, the step, how many dropouts the scope has seen, and an element's place in the whole
/// tensor; ranks need not agree on anything else. Whatever the placement, the mask is that of one device.
#include <shardproof/runtime/rng.hpp>
#include <shardproof/tensor/ops/arithmetic.hpp>
#include <shardproof/tensor/part.hpp>
namespace shardproof {

namespace erased {
struct dropout_state { double rate; std::uint64_t seed, stream; };
inline dropout_args dropped(const dropout_state& s, const view& y, const view& x, const ref& row, const ref& column) {
  return {.y = y, .x = x, .row = row->v(), .column = column->v(), .rate = s.rate, .seed = s.seed, .stream = s.stream};
}
inline void pull_dropout(node& y) {
  if (!y.in[0]->tracked) return;
  const view dy = y.g();
  bool more;
  dropout_args a = dropped(state_of<dropout_state>(y), y.in[0]->g(more), dy, y.saved[0], y.saved[1]);
  a.accumulate = more;
  device().dropout(a);
}
inline ref positions_node(const std::vector<long>& at) {
  static_assert(sizeof(long) == sizeof(std::int64_t));
  ref r = leaf(dtype::i64, {long(at.size())});
  if (live(r) && !at.empty()) device().from_host(r->v(), at.data());
  return r;
}
/// row and column: where the elements lie in the whole.
inline ref dropout(const ref& x0, const dropout_state& s, const std::vector<long>& row, const std::vector<long>& column) {
  const ref x = widened(x0), rows = positions_node(row), columns = positions_node(column);
  ref y = record(x->type, x->s, {&x}, pull_dropout, s);
  if (y->tracked) y->saved[0] = rows, y->saved[1] = columns;
  if (live(y)) device().dropout(dropped(s, y->v(), x->v(), rows, columns));
  return y;
}
}  // namespace erased

namespace operations {
struct dropout {
  double rate = 0;
  static constexpr outcome rule(placement x) { return rules::linear_map(x); }                       // the mask is the same for every addend
  constexpr void charge(bill& b) const { b.flops(1, 1); }
  ref run(const shape&, const auto& x) const {
    if (!self.dry && device().capturing())
      throw error(code::usage, "a captured step drops elements, and would drop the same ones each time it runs.", "train without dropout, or without sp::replay.");
    dropout_state& now = self.dropout;
    const random_block mixed = philox(now.step, now.calls++, now.seed);
    const erased::dropout_state s{rate, now.seed, std::uint64_t(mixed.at[0]) << 32 | mixed.at[1]};
    const extents e(x.sizes);
    std::vector<long> row{0}, column{0};
    long stride = 1;
    for (int i = e.rank; i--;) {
      std::vector<long> held = shardproof::detail::held_along(x, i);
      for (long& at : held) at *= stride;
      stride *= e.n[i];
      if (i == e.rank - 1) { column = std::move(held); continue; }
      std::vector<long> longer;
      longer.reserve(held.size() * row.size());
      for (const long at : held) for (const long inner : row) longer.push_back(at + inner);
      row = std::move(longer);
    }
    return erased::dropout(x.at, s, row, column);
  }
};
}  // namespace operations

/// Zeroes a share `rate` of x and scales the rest by 1 / (1 - rate), inside `dropping`; x as it is outside, and where rate is 0.
/// Any placement. @error SP001 rate is not in [0, 1).
template <tensor_like X> constexpr auto dropout(const X& x, double rate) {
  if constexpr (any_broken<X>) return broken{};
  else {
    static_assert(!detail::has_ragged<dims_in<X>>, "shardproof: rows on their way to experts have no place in a whole tensor; drop before dispatch or after combine");
    if (!(rate >= 0 && rate < 1)) throw error(code::usage, "a dropout rate is outside [0, 1).", "drop a share between 0 and 1.");
    using op = operations::dropout;
    const auto dropped = [&] { return apply<free_operation<op>, dims_in<X>>::op(op{rate}, x.sizes, x); };
    using Y = decltype(dropped());
    if constexpr (!is_ghost<X>) if (rate != 0 && self.dropout.on) return dropped();
    return x.template as<place_in<Y>>();
  }
}

}  // namespace shardproof

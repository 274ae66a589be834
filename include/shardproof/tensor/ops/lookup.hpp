#pragma once
/// @file
/// Rows of a table by token id; a vocab-parallel table yields a pending sum, zero where another rank holds the row.
///
///     auto x = sp::lookup<Where>(ids, table);              // ids (batch, seq) i64 -> (batch, seq, hidden)
///     // table [rows<vocab>, width<hidden>] shard<rows<vocab>> -> Partial; shard<width<hidden>> -> shard<hidden>
#include <shardproof/tensor/apply.hpp>
#include <shardproof/tensor/ids.hpp>
namespace shardproof {

namespace erased {
struct lookup_state { long first, padding; };
inline void pull_lookup(node& y) {
  const auto [first, padding] = state_of<lookup_state>(y);
  if (y.in[1]->tracked) device().scatter_rows(y.in[1]->g(), y.g(), y.in[0]->v(), first, padding);
}
inline ref lookup(const ref& ids, const ref& table, long first, long padding, const shape& s) {
  ref y = record(compute_type(table->type), s, {&ids, &table}, pull_lookup, lookup_state{first, padding});
  if (live(y)) device().gather_rows(y->v(), table->v(), ids->v(), first);
  return y;
}
}  // namespace erased

namespace operations {
template <class Rows> struct lookup {
  long count = 0, padding = -1;
  static constexpr outcome rule(placement ids, placement table) { return rules::lookup(ids, table); }
  constexpr void charge(bill&) const {}
  ref run(const shape& s, const auto& ids, const auto& table) const {
    const placement p = table.place().on[0];
    const bool cut = p.splits() && base_of(p.d) == &info<plain<Rows>>;
    erased::require_ids("ids", ids.at, 0, count);
    const long first = cut ? block_of(p.d, count, rank_on(), ranks_on(), table.sizes.table).begin : 0;
    return erased::lookup(ids.at, table.at, first, padding, s);
  }
};
}  // namespace operations

/// `padding`: the global row that gets no gradient; -1: none.
template <class Where, class Ids, class Table> constexpr auto lookup(const Ids& ids, const Table& table, long padding = -1) {
  if constexpr (any_broken<Ids, Table>) return broken{};
  else {
    using row_dim = first_of<dims_in<Table>>;
    using width_dim = plain<last_of<dims_in<Table>>>;
    using to = concat<dims_in<Ids>, dims<width_dim>>;
    sizes_of<to> s;
    copy_sizes(s, ids.sizes);
    s.n[std::size_t(to::rank - 1)] = table.sizes.n[1];
    if (!s.table) s.table = table.sizes.table;
    return apply<Where, to, shard<width_dim>>::op(operations::lookup<row_dim>{table.sizes.n[0], padding}, s, ids, table);
  }
}

}  // namespace shardproof

#pragma once
/// @file
/// How one dimension of an erased tensor is dealt to the ranks of one axis.
///
///     sp::cut c = sp::cut_of(sizes, layout, 0);                 // which dimension the layout cuts on tp, and how
///     sp::ranges mine = sp::ranges_of(c, sp::rank_on(c.axis));  // half-open, global, in local order
///     long local = sp::local_extent(c, rank);
#include <shardproof/core/partition.hpp>
#include <shardproof/runtime/context.hpp>
namespace shardproof {

/// Plain bytes, so that a node's state holds two. `at < 0`: nothing is cut.
struct cut {
  const dim_info* d = nullptr;            ///< the dimension, with its role if it has one
  const extent_table* table = nullptr;    ///< knows the extents of groups and of fused parts
  placement p;                            ///< shard or packed, over d
  long whole = 0;                         ///< the extent that this axis deals out
  int at = -1;                            ///< which dimension of the tensor it is
  int axis = 0;
};
static_assert(std::is_trivially_copyable_v<cut> && sizeof(cut) <= 64);

/// Where groups (KV heads) are fewer than ranks, neighbouring ranks hold copies. `first`: a part counts as empty on all but the
/// first of its holders.
enum class holders : unsigned char { all, first };

/// The global ranges that `rank` holds, in local order.
inline ranges ranges_of(const cut& c, int rank, holders h = holders::all) {
  const int w = ranks_on(c.axis);
  ranges out = local_ranges(c.d, c.whole, c.p, rank, w, c.table);
  if (h == holders::all) return out;
  const dim_info* whole = base_of(c.d);
  for (int i = 0; i < out.count; ++i) {
    const bool part = c.p.k == kind::packed;
    const dim_info* d = part ? whole->part[std::size_t(i)] : whole;
    auto& s = out.at[std::size_t(i)];
    if (rank % copies_of(d, part ? extent_of(d, c.table) : c.whole, w, c.table)) s.end = s.begin;
  }
  return out;
}
inline long local_extent(const cut& c, int rank) { return ranges_of(c, rank).size(); }
/// Does any rank hold a copy of another's part?
inline bool has_copies(const cut& c) {
  const int w = ranks_on(c.axis);
  for (int r = 0; r < w; ++r) if (ranges_of(c, r).size() != ranges_of(c, r, holders::first).size()) return true;
  return false;
}

/// The dimension that layout `p` cuts on `axis`; outer axes have dealt before it. `at < 0` if it cuts none.
inline cut cut_of(const extents& s, const layout_value& p, int axis) {
  cut c;
  c.axis = axis;
  c.p = p.on[std::size_t(axis)];
  if (!c.p.splits()) return c;
  for (int i = 0; i < s.rank; ++i) {
    if (s.d[i] != c.p.d) continue;
    c.d = s.d[i];
    c.table = s.table;
    c.at = i;
    c.whole = s.n[i];
    for (int a = max_axes; --a > axis;)
      c.whole = local_extent(c.d, c.whole, p.on[std::size_t(a)], rank_on(a), ranks_on(a), c.table);
  }
  return c;
}

}  // namespace shardproof

#pragma once
/// @file
/// Which part of the whole a rank's tensor is.
///
///     const long start = sp::detail::start_along<seq>(x, length);          // the position of its first element along seq
///     const std::vector<long> at = sp::detail::held_along(x, 1);           // the global positions along its second dimension
///
/// An outer axis has dealt before an inner one: of a dimension that lies on dp and on tp, a rank of tp has a part of its dp group's.
#include <vector>
#include <shardproof/runtime/cut.hpp>
namespace shardproof::detail {

/// `length`: the whole extent, which a cache may have moved on from the tensor's own. Contiguous parts only.
template <class D, class X> long start_along(const X& x, long length) {
  long start = 0;
  for (int a = max_axes; a--;) {
    const placement& p = x.place().on[std::size_t(a)];
    if (!p.splits() || p.d != &info<D>) continue;
    const slice mine = block_of(p.d, length, rank_on(a), ranks_on(a), x.sizes.table);
    start += mine.begin;
    length = mine.size();
  }
  return start;
}
/// In local order. Parts of a packed dimension, and heads that lie in copies, included.
template <class X> std::vector<long> held_along(const X& x, int dim) {
  const extents e(x.sizes);
  std::vector<long> held(std::size_t(e.n[dim]));
  for (std::size_t i = 0; i < held.size(); ++i) held[i] = long(i);
  for (int a = max_axes; a--;) {
    const cut c = cut_of(e, x.place(), a);
    if (c.at != dim) continue;
    const ranges mine = ranges_of(c, rank_on(a));
    std::vector<long> kept;
    for (int i = 0; i < mine.count; ++i) kept.insert(kept.end(), held.begin() + mine.at[std::size_t(i)].begin, held.begin() + mine.at[std::size_t(i)].end);
    held = std::move(kept);
  }
  return held;
}

}  // namespace shardproof::detail

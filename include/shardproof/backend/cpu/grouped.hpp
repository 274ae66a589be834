#pragma once
/// @file
/// Rows in groups: which positions belong to which group, and products of a group's rows with the group's own matrix.
///
///     cpu::group_ids({.choice = c, .token = t, .offsets = at, .ids = ids});
///     cpu::grouped_matmul({.a = x, .b = w, .c = y, .offsets = at, .rows = rows, .n = n, .k = k, .tb = true});   // y[r] = w[group of r] x[r]
///
/// A product for each group that has rows. Gale et al., MegaBlocks, arXiv 2211.15841.
#include <vector>
#include <shardproof/backend/cpu/elementwise.hpp>
#include <shardproof/backend/cpu/matmul.hpp>
namespace shardproof::cpu {

/// A counting sort, which is stable.
inline void group_ids(const group_args& x) {
  const long all = x.ids.count(), groups = x.offsets.count() - 1, chosen = x.chosen;
  const auto* const id = x.ids.as<const std::int64_t>();
  auto *const choice = x.choice.as<std::int64_t>(), *const token = x.token.as<std::int64_t>(), *const offsets = x.offsets.as<std::int64_t>();
  const auto group_of = [&](std::int64_t e) -> long {
    if (e < x.first || groups == 0) return -1;
    const long g = long(e) - x.first;
    return g < groups ? g : x.open ? groups - 1 : -1;
  };
  std::fill_n(offsets, groups + 1, std::int64_t(0));
  for (long i = 0; i < all; ++i)
    if (const long g = group_of(id[i]); g >= 0) ++offsets[g + 1];
  for (long g = 0; g < groups; ++g) offsets[g + 1] += offsets[g];
  std::vector<std::int64_t> next(offsets, offsets + groups);
  for (long i = 0; i < all; ++i)
    if (const long g = group_of(id[i]); g >= 0) {
      const auto at = next[std::size_t(g)]++;
      choice[at] = i;
      token[at] = i / chosen;
    }
  for (long at = offsets[groups]; at < all; ++at) choice[at] = token[at] = -1;
}

namespace detail {
/// Rows [from, to) of a view as a matrix of that width.
inline view rows_of(view v, long from, long to, long width) {
  v.p = static_cast<std::byte*>(v.p) + std::size_t(from * width) * bytes_of(v.type);
  v.s = {to - from, width};
  return v;
}
/// f(group, its first row, the row behind its last) for each group that has rows; how many rows groups have.
template <class F> long each_group(const view& offsets, F f) {
  const auto* const at = offsets.as<const std::int64_t>();
  const long groups = offsets.count() - 1;
  for (long g = 0; g < groups; ++g)
    if (at[g] < at[g + 1]) f(g, long(at[g]), long(at[g + 1]));
  return long(at[groups]);
}
}  // namespace detail

inline void grouped_matmul(const grouped_args& x) {
  const long used = detail::each_group(x.offsets, [&](long g, long from, long to) {
    matmul({.a = detail::rows_of(x.a, from, to, x.k), .b = detail::rows_of(x.b, g, g + 1, x.n * x.k), .c = detail::rows_of(x.c, from, to, x.n),
            .m = to - from, .n = x.n, .k = x.k, .tb = x.tb, .accumulate = x.accumulate});
  });
  if (!x.accumulate) fill(detail::rows_of(x.c, used, x.rows, x.n), 0);
}
inline void grouped_outer(const grouped_args& x) {
  detail::each_group(x.offsets, [&](long g, long from, long to) {
    matmul({.a = detail::rows_of(x.a, from, to, x.k), .b = detail::rows_of(x.b, from, to, x.n), .c = detail::rows_of(x.c, g, g + 1, x.k * x.n),
            .m = x.k, .n = x.n, .k = to - from, .ta = true, .accumulate = true});
  });
}
inline void grouped_add(const view& y, const view& x, const view& b, const view& offsets) {
  const long n = b.s.tail(b.s.rank - 1), rows = n ? y.count() / n : 0;
  const long used = detail::each_group(offsets, [&](long g, long from, long to) {
    add(detail::rows_of(y, from, to, n), detail::rows_of(x, from, to, n), detail::rows_of(b, g, g + 1, n));
  });
  fill(detail::rows_of(y, used, rows, n), 0);
}
inline void grouped_sum(const view& db, const view& dy, const view& offsets) {
  const long n = db.s.tail(db.s.rank - 1);
  detail::each_group(offsets, [&](long g, long from, long to) { accumulate(detail::rows_of(db, g, g + 1, n), detail::rows_of(dy, from, to, n), 1); });
}

}  // namespace shardproof::cpu

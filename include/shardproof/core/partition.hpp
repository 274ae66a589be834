#pragma once
/// @file
/// The one partition function: shapes, offsets, masks, loaders, savers, gathers, random numbers, cost and tests all call it.
///
///     static_assert(sp::chunk(10, 2, 3) == sp::slice{8, 10});                       // sizes of torch.chunk, completed by empty ones
///     sp::slice s = sp::block_of(&sp::info<kv_heads>, 2, rank, ranks);              // KV heads are copied when ranks outnumber them
///     sp::ranges r = sp::local_ranges(&sp::info<gate_up>, n, sp::packed<gate_up>::value, rank, ranks);
#include <shardproof/core/extents.hpp>
#include <shardproof/core/layout.hpp>
namespace shardproof {

/// Half-open; empty slices are legal.
struct slice {
  long begin = 0, end = 0;
  constexpr long size() const { return end - begin; }
  constexpr bool operator==(const slice&) const = default;
};

/// Part r of n items over w ranks: c = ceil(n / w), [min(r c, n), min((r + 1) c, n)).
constexpr slice chunk(long n, int r, int w) {
  const long c = (n + w - 1) / w, a = r * c, b = a + c;
  return {a < n ? a : n, b < n ? b : n};
}

/// Of a flat dimension, how many items each of those that are dealt stands for: the extent of its other factors; `dynamic` if unknown.
constexpr long items_each(const dim_info* d, const extent_table* t) {
  long n = 1;
  for (int i = 1; i < base_of(d)->factors; ++i) {
    const long f = extent_of(base_of(d)->part[std::size_t(i)], t);
    if (f == dynamic) return dynamic;
    n *= f;
  }
  return n;
}

/// How many neighbouring ranks hold the same group: w / n when w is a multiple of n groups, else 1.
constexpr int copies_of(const dim_info* d, long n, int w, const extent_table* t = nullptr) {
  if (!d) return 1;
  if (base_of(d)->factors) {
    const long each = items_each(d, t);
    return each > 0 ? copies_of(lead_of(d), n / each, w, t) : 1;
  }
  d = base_of(d);
  return d && d->dealt == deal::groups && n > 0 && w > n && w % n == 0 ? int(w / n) : 1;
}

/// The items of dimension d, of which there are n, that rank r of w holds. `t` knows the extents of groups.
constexpr slice block_of(const dim_info* d, long n, int r, int w, const extent_table* t = nullptr) {
  d = base_of(d);
  if (d->factors) {
    const long each = items_each(d, t);
    if (each <= 0) return {};
    const slice s = block_of(lead_of(d), n / each, r, w, t);
    return {s.begin * each, s.end * each};
  }
  if (d->dealt == deal::groups) {
    const int c = copies_of(d, n, w);
    return chunk(n, r / c, w / c);
  }
  if (d->dealt == deal::grouped) {
    const long g = extent_of(d->group, t);
    if (g <= 0 || n % g) return chunk(n, r, w);                                          // refused elsewhere (SP105); never a division by zero here
    const long per = n / g;
    const int c = copies_of(d->group, g, w);
    const slice mine = chunk(g, r / c, w / c);
    if (c == 1) return {mine.begin * per, mine.end * per};
    const slice within = chunk(per, r % c, c);                                           // q is cut again inside its group
    return {mine.begin * per + within.begin, mine.begin * per + within.end};
  }
  if (d->block > 1) {
    const slice b = chunk(n / d->block, r, w);
    return {b.begin * d->block, b.end * d->block};
  }
  return chunk(n, r, w);
}

/// May w ranks share n items of dimension d? Items always; units, groups and what follows groups only evenly, unless declared
/// uneven. `summed`: the dimension is contracted, so that copies would be counted more than once.
constexpr bool dealable(const dim_info* d, long n, int w, const extent_table* t = nullptr, bool summed = false) {
  d = base_of(d);
  if (n == dynamic) return true;
  if (d->factors) {
    const long each = items_each(d, t);
    if (each == dynamic) return true;                                                          // not known yet
    return each > 0 && n % each == 0 && dealable(lead_of(d), n / each, w, t, summed);
  }
  if (n % d->block) return false;
  if (d->dealt == deal::grouped) {
    const long g = extent_of(d->group, t);
    if (g == dynamic) return true;
    if (g <= 0 || n % g) return false;
  }
  if (d->parts) {
    for (int i = 0; i < d->parts; ++i) {
      const dim_info* p = d->part[std::size_t(i)];
      if (!dealable(p, extent_of(p, t), w, t, summed)) return false;
    }
    return true;
  }
  if (summed && copies_of(d, n, w) > 1) return false;
  if (d->dealt == deal::items || d->uneven) return true;
  if (d->dealt == deal::units) return n / d->block % w == 0;
  if (d->dealt == deal::groups) return n % w == 0 || w % n == 0;
  return n % w == 0 && dealable(d->group, extent_of(d->group, t), w, t);
}

/// The rank counts up to `limit` that would do.
struct rank_counts {
  std::array<int, 32> at{};
  int count = 0;
};
constexpr rank_counts legal_ranks(const dim_info* d, long n, const extent_table* t = nullptr, bool summed = false, int limit = 1024) {
  rank_counts out;
  for (int w = 1; w <= limit && out.count < int(out.at.size()); ++w) if (dealable(d, n, w, t, summed)) out.at[std::size_t(out.count++)] = w;
  return out;
}

/// The global ranges of one dimension that make up a rank's local one, in order.
struct ranges {
  std::array<slice, max_parts> at{};
  int count = 0;
  constexpr long size() const { long n = 0; for (int i = 0; i < count; ++i) n += at[std::size_t(i)].size(); return n; }
};
/// Of dimension d (n items) under placement p on one axis.
constexpr ranges local_ranges(const dim_info* d, long n, placement p, int r, int w, const extent_table* t = nullptr) {
  ranges out;
  if (!p.splits() || p.d != d) { out.at[0] = {0, n}; out.count = 1; return out; }
  if (p.k == kind::shard) { out.at[0] = block_of(d, n, r, w, t); out.count = 1; return out; }
  const dim_info* whole = base_of(d);
  long base = 0;
  for (int i = 0; i < whole->parts; ++i) {
    const dim_info* q = whole->part[std::size_t(i)];
    const long k = extent_of(q, t);
    const slice b = block_of(q, k, r, w, t);
    out.at[std::size_t(i)] = {base + b.begin, base + b.end};
    base += k;
  }
  out.count = whole->parts;
  return out;
}
constexpr long local_extent(const dim_info* d, long n, placement p, int r, int w, const extent_table* t = nullptr) {
  return local_ranges(d, n, p, r, w, t).size();
}
/// Axis by axis, the outermost first: an inner axis deals what the outer one left.
constexpr long local_extent(const dim_info* d, long n, const layout_value& p, const spot& at, const extent_table* t = nullptr) {
  for (std::size_t a = max_axes; a--;) n = local_extent(d, n, p.on[a], at.rank[a], at.ranks[a], t);
  return n;
}
/// Elements of a whole tensor that the rank at `at` holds.
constexpr double local_count(const extents& s, const layout_value& p, const spot& at) {
  double c = 1;
  for (int i = 0; i < s.rank; ++i) c *= double(local_extent(s.d[i], s.n[i], p, at, s.table));
  return c;
}
/// How many ranks of tp hold each element of a tensor that is cut in one block.
constexpr int copies_of(const extents& s, const placement& p, int w) {
  for (int i = 0; i < s.rank; ++i) if (p.splits() && s.d[i] == p.d) return copies_of(s.d[i], s.n[i], w, s.table);
  return 1;
}

}  // namespace shardproof

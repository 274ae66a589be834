#pragma once
/// @file
/// Deals a whole tensor to ranks under any placement, and compares what ranks hold with the whole: the measure of `check_laws`.
///
///     std::vector<double> mine = sp::laws::share(whole, lie, rank, seed);
///     sp::laws::difference d = sp::laws::compare(held, whole, lie);          // held[r]: what rank r holds
///
/// A pending value (Partial, or the cotangent of something that is held in copies) is dealt as random addends.
#include <vector>
#include <shardproof/core/partition.hpp>
#include <shardproof/runtime/rng.hpp>
namespace shardproof::laws {

/// What values are drawn from. Whole numbers are added and multiplied without rounding, so that results can be compared bit for bit.
enum class drawn { real, whole };
/// Uniform in +-[0.2, 1.2], away from zero, where functions have kinks; or one of -2, -1, 1, 2.
inline double noise(std::uint64_t stream, long i, drawn from = drawn::real) {
  const double u = 2 * uniform_at(7, stream, std::uint64_t(i)) - 1;
  if (from == drawn::whole) return u < -0.5 ? -2 : u < 0 ? -1 : u < 0.5 ? 1 : 2;
  return u < 0 ? u - 0.2 : u + 0.2;
}

/// How a tensor over some dimensions lies on the ranks of tp. As a cotangent, what several ranks hold of a shard is pending.
struct lie {
  std::vector<const dim_info*> d;
  std::vector<long> n;
  const extent_table* table = nullptr;
  placement place;
  int ranks = 1;
  bool cotangent = false;
  extents whole() const { return {d.data(), n.data(), int(d.size()), table}; }
  long count() const { return whole().count(); }

  /// The global indices that a rank holds, in its local order.
  std::vector<long> held_by(int rank) const {
    std::vector<long> out{0};
    for (std::size_t i = 0; i < d.size(); ++i) {
      const ranges r = local_ranges(d[i], n[i], place, rank, ranks, table);
      std::vector<long> longer;
      for (const long base : out)
        for (int k = 0; k < r.count; ++k)
          for (long j = r.at[std::size_t(k)].begin; j < r.at[std::size_t(k)].end; ++j) longer.push_back(base * n[i] + j);
      out = std::move(longer);
    }
    return out;
  }
  /// Is the value of element `global` the sum over its holders?
  bool pending(long global) const {
    if (place.splits()) return cotangent;
    if (place.k != kind::product) return place.k == kind::partial;
    long behind = 1, at = 0;                           // its position along the fused dimension, and the part that is there
    for (std::size_t i = d.size(); i-- && d[i] != place.d;) behind *= n[i];
    const long along = global / behind % extent_of(place.d, table);
    for (int p = 0; p < place.d->parts; ++p)
      if (along < (at += extent_of(place.d->part[std::size_t(p)], table))) return place.part[std::size_t(p)] == kind::partial;
    return false;
  }
  /// For every element, how many ranks hold it.
  std::vector<int> holders() const {
    std::vector<int> out(static_cast<std::size_t>(count()));
    for (int r = 0; r < ranks; ++r) for (const long g : held_by(r)) ++out[std::size_t(g)];
    return out;
  }
};

/// What `rank` is dealt. Ids stay on the first holder; the others' addends are zero.
inline std::vector<double> share(const std::vector<double>& whole, const lie& l, int rank, std::uint64_t seed,
                                 bool integers = false, drawn from = drawn::real) {
  std::vector<int> before(whole.size());               // holders of lower rank
  for (int r = 0; r < rank; ++r) for (const long g : l.held_by(r)) ++before[std::size_t(g)];
  const std::vector<int> all = l.holders();
  std::vector<double> out;
  for (const long g : l.held_by(rank)) {
    const std::size_t i = std::size_t(g);
    const auto addend = [&](int k) { return integers ? 0 : noise(seed + std::uint64_t(k), g, from); };
    double mine = whole[i];
    if (l.pending(g)) {
      if (before[i]) mine = addend(before[i]);
      else for (int k = 1; k < all[i]; ++k) mine -= addend(k);
    }
    out.push_back(mine);
  }
  return out;
}

/// The largest difference, and where it is. `rank` < 0: of a sum over ranks.
struct difference { double size = 0; long element = 0; int rank = -1; double found = 0, expected = 0; };
inline difference compare(const std::vector<std::vector<double>>& held, const std::vector<double>& whole, const lie& l) {
  difference worst;
  const auto take = [&](long g, int rank, double found) {
    const double e = found - whole[std::size_t(g)], size = e != e ? 1e300 : e < 0 ? -e : e;
    if (size > worst.size) worst = {size, g, rank, found, whole[std::size_t(g)]};
  };
  std::vector<double> sum(whole.size());
  for (int r = 0; r < l.ranks; ++r) {
    const std::vector<long> mine = l.held_by(r);
    if (mine.size() != held[std::size_t(r)].size())
      return {1e300, 0, r, double(held[std::size_t(r)].size()), double(mine.size())};
    for (std::size_t i = 0; i < mine.size(); ++i) {
      sum[std::size_t(mine[i])] += held[std::size_t(r)][i];
      if (!l.pending(mine[i])) take(mine[i], r, held[std::size_t(r)][i]);
    }
  }
  for (long g = 0; g < long(whole.size()); ++g) if (l.pending(g)) take(g, -1, sum[std::size_t(g)]);
  return worst;
}

}  // namespace shardproof::laws

#pragma once
/// @file
/// Parts of one cut dimension: taken out of the whole, put back, and exchanged between the ranks of its axis.
///
///     sp::erased::all_gather(sp::erased::direction::forward, c, whole, mine);      // mine [4, n/W, 8] -> whole [4, n, 8]
///
/// A collective moves one contiguous block per rank, so the parts of a dimension that is not the outermost are packed first and
/// placed afterwards. Groups may lie in copies: forward, a gather takes a part from its first holder and a split gives it to
/// every holder; backward is the exact transpose: a split serves the first holder only, and a gather sums over the holders.
#include <vector>
#include <shardproof/runtime/cut.hpp>
#include <shardproof/runtime/node.hpp>
namespace shardproof::erased {

enum class direction : unsigned char { forward, backward };
/// Whose parts count where parts are put together, and who is served where they are dealt out.
constexpr holders givers(direction way) { return way == direction::forward ? holders::first : holders::all; }
constexpr holders takers(direction way) { return way == direction::forward ? holders::all : holders::first; }

/// Everything before and after the cut dimension.
struct around {
  long rows, tail;
  around(const shape& s, int at) : rows(s.lead(s.rank - at)), tail(s.tail(s.rank - at - 1)) {}
  long times(long n) const { return rows * n * tail; }
};

/// A part lies in a buffer from element `offset` on, its ranges one behind the other.
struct part {
  view v;
  long offset;
  ranges r;
};
/// n entries of the cut dimension, between buffers that hold `extent` of them per row.
inline void move(const view& dst, long dst_at, long dst_extent, const view& src, long src_at, long src_extent, long n,
                 const around& a, bool add = false) {
  if (a.times(n) == 0) return;
  device().copy({.dst = dst, .src = src, .rows = a.rows, .width = n * a.tail, .dst_row = dst_extent * a.tail, .dst_at = dst_at,
                 .src_row = src_extent * a.tail, .src_at = src_at, .accumulate = add});
}
/// part <- whole. `wanted`: the part's ranges, some of them perhaps empty.
inline void take(const part& p, const ranges& wanted, const view& whole, long extent, const around& a) {
  const long local = p.r.size();
  long at = 0;
  for (int i = 0; i < p.r.count; ++i) {
    const slice s = wanted.at[std::size_t(i)];
    move(p.v, p.offset + at * a.tail, local, whole, s.begin * a.tail, extent, s.size(), a);
    at += p.r.at[std::size_t(i)].size();
  }
}
/// whole <- part, or whole += part.
inline void put(const view& whole, long extent, const part& p, const ranges& wanted, const around& a, bool add = false) {
  const long local = p.r.size();
  long at = 0;
  for (int i = 0; i < p.r.count; ++i) {
    const slice s = wanted.at[std::size_t(i)];
    move(whole, s.begin * a.tail, extent, p.v, p.offset + at * a.tail, local, s.size(), a, add);
    at += p.r.at[std::size_t(i)].size();
  }
}

inline view block(buffer& space, long n, dtype t) {
  space = buffer(std::size_t(n) * bytes_of(t));
  return {space.get(), t, shape{n}};
}
/// Elements of every rank's part.
inline std::vector<long> counts_of(const cut& c, holders h, const around& a) {
  std::vector<long> n(std::size_t(ranks_on(c.axis)));
  for (std::size_t r = 0; r < n.size(); ++r) n[r] = a.times(ranges_of(c, int(r), h).size());
  return n;
}
inline long sum_of(const std::vector<long>& n) { long s = 0; for (long k : n) s += k; return s; }

/// Are the ranks' parts, one behind the other, the whole itself?
inline bool in_rank_order(const cut& c, holders h, const around& a) {
  return a.rows == 1 && c.p.k == kind::shard && (h == holders::first || !has_copies(c));
}
/// Does this rank's part for `h` leave nothing of it out?
inline bool complete(const cut& c, holders h) {
  return ranges_of(c, rank_on(c.axis), h).size() == local_extent(c, rank_on(c.axis));
}

/// This rank's part x without what does not count for `h`; x itself if everything does.
inline view dense(const cut& c, holders h, const view& x, const around& a, buffer& space) {
  if (complete(c, h)) return x;
  const ranges all = ranges_of(c, rank_on(c.axis)), some = ranges_of(c, rank_on(c.axis), h);
  const view out = block(space, a.times(some.size()), x.type);
  long from = 0, to = 0;
  for (int i = 0; i < all.count; ++i) {
    const long n = some.at[std::size_t(i)].size();
    move(out, to * a.tail, some.size(), x, from * a.tail, all.size(), n, a);
    from += all.at[std::size_t(i)].size();
    to += n;
  }
  return out;
}
/// The reverse: zero where nothing came.
inline void spread(const cut& c, holders h, const view& y, const view& packed, const around& a) {
  const ranges all = ranges_of(c, rank_on(c.axis)), some = ranges_of(c, rank_on(c.axis), h);
  device().fill(y, 0);
  long from = 0, to = 0;
  for (int i = 0; i < all.count; ++i) {
    const long n = some.at[std::size_t(i)].size();
    move(y, to * a.tail, all.size(), packed, from * a.tail, some.size(), n, a);
    to += all.at[std::size_t(i)].size();
    from += n;
  }
}
/// All ranks' parts of a whole, one behind the other.
inline view dealt(const cut& c, holders h, const view& whole, const around& a, const std::vector<long>& counts, buffer& space) {
  if (in_rank_order(c, h, a)) return whole;
  const view out = block(space, sum_of(counts), whole.type);
  long offset = 0;
  for (std::size_t r = 0; r < counts.size(); ++r) {
    const ranges mine = ranges_of(c, int(r), h);
    take({out, offset, mine}, mine, whole, c.whole, a);
    offset += counts[r];
  }
  return out;
}
/// The reverse; what several ranks hold is summed.
inline void assemble(const cut& c, holders h, const view& whole, const view& parts, const around& a,
                     const std::vector<long>& counts) {
  const bool add = h == holders::all && has_copies(c);
  if (add) device().fill(whole, 0);
  long offset = 0;
  for (std::size_t r = 0; r < counts.size(); ++r) {
    const ranges mine = ranges_of(c, int(r), h);
    put(whole, c.whole, {parts, offset, mine}, mine, a, add);
    offset += counts[r];
  }
}
inline communicator& group_of(const cut& c) { return *self.on[std::size_t(c.axis)]; }

// ---- the primitives: y is written completely ------------------------------------------------------------------------------
inline void split(direction way, const cut& to, const view& y, const view& x) {
  const int r = rank_on(to.axis);
  if (!complete(to, takers(way))) device().fill(y, 0);
  take({y, 0, ranges_of(to, r)}, ranges_of(to, r, takers(way)), x, to.whole, {x.s, to.at});
}
inline void zero_pad(direction way, const cut& from, const view& y, const view& x) {
  const int r = rank_on(from.axis);
  device().fill(y, 0);
  put(y, from.whole, {x, 0, ranges_of(from, r)}, ranges_of(from, r, givers(way)), {y.s, from.at});
}
inline void all_gather(direction way, const cut& from, const view& y, const view& x) {
  const around a(y.s, from.at);
  const holders h = givers(way);
  const auto counts = counts_of(from, h, a);
  buffer own, all;
  const view mine = dense(from, h, x, a, own);
  if (in_rank_order(from, h, a)) return group_of(from).all_gather(mine.p, y.p, counts, y.type);
  const view parts = block(all, sum_of(counts), y.type);
  group_of(from).all_gather(mine.p, parts.p, counts, y.type);
  assemble(from, h, y, parts, a, counts);
}
inline void reduce_scatter(direction way, const cut& to, const view& y, const view& x) {
  const around a(x.s, to.at);
  const holders h = takers(way);
  const auto counts = counts_of(to, h, a);
  buffer own, all;
  const view parts = dealt(to, h, x, a, counts, all);
  if (complete(to, h)) return group_of(to).reduce_scatter(parts.p, y.p, counts, y.type);
  const view mine = block(own, counts[std::size_t(rank_on(to.axis))], y.type);
  group_of(to).reduce_scatter(parts.p, mine.p, counts, y.type);
  spread(to, h, y, mine, a);
}
/// x is cut on `from` and whole on `to`, y the other way round.
inline void all_to_all(direction way, const cut& from, const cut& to, const view& y, const view& x) {
  const int me = rank_on(from.axis);
  buffer given, sending, receiving, taken;
  view mine = dense(from, givers(way), x, {x.s, from.at}, given);
  mine.s = x.s.with(from.at, ranges_of(from, me, givers(way)).size());
  const around out(mine.s, to.at);
  const auto sent = counts_of(to, takers(way), out);
  const view send = dealt(to, takers(way), mine, out, sent, sending);

  const shape got = y.s.with(to.at, ranges_of(to, me, takers(way)).size());
  const around in(got, from.at);
  const auto received = counts_of(from, givers(way), in);
  const view receive = block(receiving, sum_of(received), y.type);
  group_of(from).all_to_all(send.p, sent, receive.p, received, y.type);
  if (complete(to, takers(way))) return assemble(from, givers(way), y, receive, in, received);
  view packed = block(taken, got.count(), y.type);
  assemble(from, givers(way), packed, receive, in, received);
  spread(to, takers(way), y, packed, {y.s, to.at});
}
inline void gather_to_root(direction way, const cut& from, const view& y, const view& x) {
  const int me = rank_on(from.axis);
  const around a(y.s, from.at);
  const holders h = givers(way);
  const auto counts = counts_of(from, h, a);
  const std::vector<long> none(counts.size());
  std::vector<long> to_root = none;
  to_root[0] = counts[std::size_t(me)];
  buffer own, all;
  const view mine = dense(from, h, x, a, own), parts = block(all, me == 0 ? sum_of(counts) : 0, y.type);
  group_of(from).all_to_all(mine.p, to_root, parts.p, me == 0 ? counts : none, y.type);
  if (me == 0) assemble(from, h, y, parts, a, counts);
  else device().fill(y, 0);
}
inline void scatter_from_root(direction way, const cut& to, const view& y, const view& x) {
  const int me = rank_on(to.axis);
  const around a(x.s, to.at);
  const holders h = takers(way);
  const auto counts = counts_of(to, h, a);
  const std::vector<long> none(counts.size());
  std::vector<long> from_root = none;
  from_root[0] = counts[std::size_t(me)];
  buffer own, all;
  const view parts = me == 0 ? dealt(to, h, x, a, counts, all) : x;
  const view mine = complete(to, h) ? y : block(own, counts[std::size_t(me)], y.type);
  group_of(to).all_to_all(parts.p, me == 0 ? counts : none, mine.p, from_root, y.type);
  if (!complete(to, h)) spread(to, h, y, mine, a);
}

}  // namespace shardproof::erased

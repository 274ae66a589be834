#pragma once
/// @file
/// The way of tokens to experts: which rows a rank gets, in order of expert, and where each comes from. Integers only.
///
///     const erased::routes r = erased::routes_of(ids, cut_of_experts, false);      // each rank picks the rows of its own experts
///     r.rows(); r.offsets();                               // rows of the rank's e-th expert: [offsets[e], offsets[e + 1]), on the device
///
/// The device sorts. Where rows travel the host asks how many, as every rank has to know what it gets; elsewhere it asks only a device
/// whose memory it can read: other devices have room for all choices, of which the rows behind the last expert's are nobody's, so that
/// no step waits and each can be captured. Ids at or above the number of experts go nowhere: experts that are the identity (LongCat-Flash, arXiv 2509.01322).
#include <vector>
#include <shardproof/runtime/cut.hpp>
#include <shardproof/runtime/node.hpp>
namespace shardproof::erased {

/// Two leaves, so that a node of the tape keeps them as it keeps operands. Plain to copy.
struct routes {
  ref lists;                                           ///< i64 on the device: what the views below are of
  ref numbers;                                         ///< i64 on the host: what follows
  long* n() const { return static_cast<long*>(numbers->data.get()); }
  long rows() const { return n()[0]; }                 ///< that the rank's experts get, and those of nobody
  long leaving() const { return n()[1]; }              ///< that its tokens send; the same where nothing travels
  bool travels() const { return n()[2] != 0; }
  long held() const { return n()[3]; }                 ///< experts of this rank
  long ranks() const { return n()[4]; }
  std::span<const long> sent() const { return {n() + 6, std::size_t(ranks())}; }
  std::span<const long> received() const { return {n() + 6 + ranks(), std::size_t(ranks())}; }
  view token() const { return list(0, leaving()); }                            ///< of each row that leaves; -1: of none
  view choice() const { return list(n()[5], leaving()); }                      ///< its place among all (token, choice)
  view offsets() const { return list(2 * n()[5], held() + 1); }
  view arrival() const { return list(2 * n()[5] + held() + 1, travels() ? rows() : 0); }     ///< where each row lies that came
 private:
  view list(long from, long count) const { return {static_cast<std::int64_t*>(lists->data.get()) + from, dtype::i64, {count}}; }
};
static_assert(sizeof(long) == sizeof(std::int64_t));

inline ref on_host(const std::vector<long>& v) {
  ref r(new node);
  r->type = dtype::i64;
  r->s = {long(v.size())};
  r->data = buffer::host(v.size() * sizeof(long));
  std::memcpy(r->data.get(), v.data(), v.size() * sizeof(long));
  return r;
}
inline view part_of(const ref& list, long from, long count) {
  return {static_cast<std::int64_t*>(list->data.get()) + from, dtype::i64, {count}};
}
inline void upload(const view& to, const std::vector<long>& v) { if (!v.empty()) device().from_host(to, v.data()); }
inline std::vector<long> downloaded(const view& from) {
  std::vector<long> v(std::size_t(from.count()), 0);
  if (!v.empty()) device().to_host(v.data(), from);
  return v;
}
/// Does the host know how many rows experts get, without waiting?
inline bool counts_are_known() { return !self.device || self.device->host_memory(); }

/// Of a dry run: shares as equal as they can be.
inline routes guessed_routes(long leaving, long held, bool travels, long experts) {
  const long rows = travels || experts == 0 || !counts_are_known() ? leaving : leaving * held / experts;
  return {ref{}, on_host({rows, rows, 0, held, 1, 0})};
}
/// Positions of `ids` by group, on the device: their tokens, their choices (`ids.count()` each), and `groups` + 1 offsets.
inline ref sorted_ids(const ref& ids, long first, long groups, bool open) {
  const long all = ids->s.count();
  ref lists = leaf(dtype::i64, {2 * all + groups + 1});
  device().group_ids({.choice = part_of(lists, all, all), .token = part_of(lists, 0, all), .offsets = part_of(lists, 2 * all, groups + 1), .ids = ids->v(),
                      .first = first, .chosen = ids->s[-1], .open = open});
  return lists;
}
/// How many of them groups have, or all where the host does not know.
inline long known_count(const ref& lists, long all, long groups) {
  return counts_are_known() ? *part_of(lists, 2 * all + groups, 1).as<const std::int64_t>() : all;
}

/// What arrives lies by sender and, of each, by expert; experts want it the other way round. `got`: [ranks, held].
struct arrivals {
  std::vector<long> received, lists;                   ///< rows of each rank; then the offsets of experts, and the place of each row
  arrivals(const std::vector<long>& got, long ranks, long held) : received(std::size_t(ranks), 0), lists(std::size_t(held + 1), 0) {
    const auto of = [&](long r, long e) { return got[std::size_t(r * held + e)]; };
    for (long r = 0; r < ranks; ++r)
      for (long e = 0; e < held; ++e) {
        received[std::size_t(r)] += of(r, e);
        lists[std::size_t(e + 1)] += of(r, e);
      }
    for (std::size_t e = 1; e < lists.size(); ++e) lists[e] += lists[e - 1];
    std::vector<long> to = lists;
    for (long& at : to) at += held + 1;
    lists.resize(std::size_t(held + 1 + lists.back()));
    long from = 0;
    for (long r = 0; r < ranks; ++r)
      for (long e = 0; e < held; ++e)
        for (long k = of(r, e); k > 0; --k) lists[std::size_t(to[std::size_t(e)]++)] = from++;
  }
};

/// ids [tokens..., chosen] of this rank. `d`: how experts are dealt to the `w` ranks of tp; where they are not, w is 1 and this rank has all.
/// `travels`: tokens are sent to the ranks that have their experts. Collective then: counts are exchanged first.
[[gnu::noinline]] inline routes routes_of(const ref& ids, const dim_info* d, long experts, int rank, int w, bool travels, const extent_table* table) {
  const long all = ids->s.count();
  const auto own = [&](int r) { return block_of(d, experts, r, w, table); };
  const slice mine = own(rank);
  if (self.dry) return guessed_routes(all, mine.size(), travels, experts);
  if (!travels) {
    const ref lists = sorted_ids(ids, mine.begin, mine.size(), false);
    const long rows = known_count(lists, all, mine.size());
    return {lists, on_host({rows, rows, 0, mine.size(), w, all})};
  }

  if (device().capturing())
    throw error(code::usage, "a captured step sends tokens to experts on other ranks, which have to know how many come.",
                "deal them out masked (moe_tp_experts, --ep-engine masked), or do not capture the step.");
  // Experts are dealt in order, so rows for one rank lie together.
  const ref sorted = sorted_ids(ids, 0, experts, false);
  const std::vector<long> at = downloaded(part_of(sorted, 2 * all, experts + 1));
  const long leaving = at.back();
  std::vector<long> given(std::size_t(experts), 0), sent(std::size_t(w), 0), count_to(std::size_t(w), 0), count_from(std::size_t(w), mine.size());
  for (int r = 0; r < w; ++r) {
    const slice theirs = own(r);
    count_to[std::size_t(r)] = theirs.size();
    sent[std::size_t(r)] = at[std::size_t(theirs.end)] - at[std::size_t(theirs.begin)];
  }
  for (long e = 0; e < experts; ++e) given[std::size_t(e)] = at[std::size_t(e + 1)] - at[std::size_t(e)];
  const ref out = leaf(dtype::i64, {experts}), in = leaf(dtype::i64, {w * mine.size()});
  upload(out->v(), given);
  self.on[0]->all_to_all(out->data.get(), count_to, in->data.get(), count_from, dtype::i64);
  const arrivals come(downloaded(in->v()), w, mine.size());
  const ref lists = leaf(dtype::i64, {2 * leaving + long(come.lists.size())});
  device().copy({.dst = part_of(lists, 0, leaving), .src = part_of(sorted, 0, leaving), .rows = 1, .width = leaving});
  device().copy({.dst = part_of(lists, leaving, leaving), .src = part_of(sorted, all, leaving), .rows = 1, .width = leaving});
  upload(part_of(lists, 2 * leaving, long(come.lists.size())), come.lists);
  std::vector<long> n{come.lists[std::size_t(mine.size())], leaving, 1, mine.size(), w, leaving};
  n.insert(n.end(), sent.begin(), sent.end());
  n.insert(n.end(), come.received.begin(), come.received.end());
  return {lists, on_host(n)};
}

/// Rows of x to where they are wanted and back: each of the two is the other's transpose.
inline view scratch_rows(buffer& space, long rows, long width, dtype t) {
  space = buffer(std::size_t(rows * width) * bytes_of(t));
  return {space.get(), t, {rows, width}};
}
/// y, in order of expert, from rows that lie as they leave.
inline void send_rows(const routes& r, const view& y, const view& leaving, long width) {
  std::vector<long> out, in;
  for (const long k : r.sent()) out.push_back(k * width);
  for (const long k : r.received()) in.push_back(k * width);
  buffer space;
  const view got = scratch_rows(space, r.rows(), width, y.type);
  self.on[0]->all_to_all(leaving.p, out, got.p, in, y.type);
  device().gather_rows(y, got, r.arrival(), 0);
}
/// The reverse.
inline void return_rows(const routes& r, const view& leaving, const view& y, long width) {
  std::vector<long> out, in;
  for (const long k : r.received()) out.push_back(k * width);
  for (const long k : r.sent()) in.push_back(k * width);
  buffer space;
  const view back = scratch_rows(space, r.rows(), width, y.type);
  device().fill(back, 0);
  device().scatter_rows(back, y, r.arrival(), 0, -1);
  self.on[0]->all_to_all(back.p, out, leaving.p, in, y.type);
}

}  // namespace shardproof::erased

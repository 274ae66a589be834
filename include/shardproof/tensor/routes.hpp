#pragma once
/// @file
/// The way of tokens to experts: which rows a rank gets, in order of expert, and where each comes from. Integers only.
///
///     const erased::routes r = erased::routes_of(ids, cut_of_experts, false);      // each rank picks the rows of its own experts
///     r.rows; r.offset(e);                                 // rows of the rank's e-th expert: [offset(e), offset(e + 1))
///
/// Ids at or above the number of experts go nowhere: experts that are the identity (LongCat-Flash, arXiv 2509.01322).
#include <vector>
#include <shardproof/runtime/cut.hpp>
#include <shardproof/runtime/node.hpp>
namespace shardproof::erased {

/// Two leaves, so that a node of the tape keeps them as it keeps operands. Plain to copy.
struct routes {
  ref lists;                                           ///< i64 on the device: token of each row that leaves, its (token, choice), and the place where each row arrives
  ref numbers;                                         ///< i64 on the host: what follows
  long* n() const { return static_cast<long*>(numbers->data.get()); }
  long rows() const { return n()[0]; }                 ///< that the rank's experts get
  long leaving() const { return n()[1]; }              ///< that its tokens send; the same where nothing travels
  bool travels() const { return n()[2] != 0; }
  long held() const { return n()[3]; }                 ///< experts of this rank
  long ranks() const { return n()[4]; }
  long offset(long e) const { return n()[5 + e]; }     ///< held() + 1 of them
  std::span<const long> sent() const { return {n() + 6 + held(), std::size_t(ranks())}; }
  std::span<const long> received() const { return {n() + 6 + held() + ranks(), std::size_t(ranks())}; }
  view list(long from, long count) const { return {static_cast<std::int64_t*>(lists->data.get()) + from, dtype::i64, {count}}; }
  view token() const { return list(0, leaving()); }
  view choice() const { return list(leaving(), leaving()); }
  view arrival() const { return list(2 * leaving(), travels() ? rows() : 0); }
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
inline ref on_device(const std::vector<long>& v) {
  ref r = leaf(dtype::i64, {long(v.size())});
  if (!v.empty()) device().from_host(r->v(), v.data());
  return r;
}
/// Of a dry run: shares as equal as they can be.
inline routes guessed_routes(long leaving, long held, bool travels, long experts) {
  std::vector<long> n(std::size_t(6 + held), 0);
  n[0] = travels || experts == 0 ? leaving : leaving * held / experts;
  n[1] = n[0];
  n[3] = held;
  for (long e = 0; e <= held; ++e) n[std::size_t(5 + e)] = n[0] * e / std::max(held, 1L);
  return {ref{}, on_host(n)};
}

/// ids [tokens..., chosen] of this rank. `d`: how experts are dealt to the `w` ranks of tp; where they are not, w is 1 and this rank has all.
/// `travels`: tokens are sent to the ranks that have their experts. Collective then: counts are exchanged first.
[[gnu::noinline]] inline routes routes_of(const ref& ids, const dim_info* d, long experts, int rank, int w, bool travels, const extent_table* table) {
  const long all = ids->s.count(), chosen = ids->s[-1];
  const auto own = [&](int r) { return block_of(d, experts, r, w, table); };
  const slice mine = own(rank);
  if (self.dry) return guessed_routes(all, mine.size(), travels, experts);
  std::vector<std::int64_t> id(std::size_t(all), 0);
  if (all) device().to_host(id.data(), ids->v());

  // A stable sort by expert; experts are dealt in order, so rows for one rank lie together.
  const slice wanted = travels ? slice{0, experts} : mine;
  std::vector<long> at(std::size_t(wanted.size() + 1), 0);
  for (const long e : id) if (e >= wanted.begin && e < wanted.end) ++at[std::size_t(e - wanted.begin + 1)];
  for (std::size_t e = 1; e < at.size(); ++e) at[e] += at[e - 1];
  const long leaving = at.back();
  std::vector<long> lists(std::size_t(2 * leaving), 0), next = at;
  for (long i = 0; i < all; ++i) {
    const long e = id[std::size_t(i)];
    if (e < wanted.begin || e >= wanted.end) continue;
    const long to = next[std::size_t(e - wanted.begin)]++;
    lists[std::size_t(to)] = i / chosen;
    lists[std::size_t(leaving + to)] = i;
  }
  std::vector<long> n{leaving, leaving, travels, mine.size(), w};
  if (!travels) {
    n.insert(n.end(), at.begin(), at.end());
    return {on_device(lists), on_host(n)};
  }

  std::vector<long> given(std::size_t(experts), 0), sent(std::size_t(w), 0), count_to(std::size_t(w), 0), count_from(std::size_t(w), mine.size());
  for (int r = 0; r < w; ++r) {
    const slice theirs = own(r);
    count_to[std::size_t(r)] = theirs.size();
    sent[std::size_t(r)] = at[std::size_t(theirs.end)] - at[std::size_t(theirs.begin)];
  }
  for (long e = 0; e < experts; ++e) given[std::size_t(e)] = at[std::size_t(e + 1)] - at[std::size_t(e)];
  const ref out = on_device(given), in = leaf(dtype::i64, {w * mine.size()});
  self.on[0]->all_to_all(out->data.get(), count_to, in->data.get(), count_from, dtype::i64);
  std::vector<long> got(std::size_t(w * mine.size()), 0), received(std::size_t(w), 0), offsets(std::size_t(mine.size() + 1), 0);
  if (!got.empty()) device().to_host(got.data(), in->v());
  const auto of = [&](int r, long e) { return got[std::size_t(r * mine.size() + e)]; };
  for (int r = 0; r < w; ++r)
    for (long e = 0; e < mine.size(); ++e) {
      received[std::size_t(r)] += of(r, e);
      offsets[std::size_t(e + 1)] += of(r, e);
    }
  for (std::size_t e = 1; e < offsets.size(); ++e) offsets[e] += offsets[e - 1];
  // What arrives lies by sender and, of each, by expert; experts want it the other way round.
  std::vector<long> arrival(std::size_t(offsets.back()), 0), to(offsets.begin(), offsets.end());
  long from = 0;
  for (int r = 0; r < w; ++r)
    for (long e = 0; e < mine.size(); ++e)
      for (long k = of(r, e); k > 0; --k) arrival[std::size_t(to[std::size_t(e)]++)] = from++;
  lists.insert(lists.end(), arrival.begin(), arrival.end());
  n[0] = offsets.back();
  n.insert(n.end(), offsets.begin(), offsets.end());
  n.insert(n.end(), sent.begin(), sent.end());
  n.insert(n.end(), received.begin(), received.end());
  return {on_device(lists), on_host(n)};
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

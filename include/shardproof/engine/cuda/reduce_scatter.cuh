#pragma once
/// @file
/// Reduce-scatter of ranks that read each other's memory: rank r gets part r of the sum. Parts may be uneven, and empty.
///
///     cuda::reduce_scatter<cuda::events>(peers, rank, nullptr, mine, counts, sp::dtype::f32, cuda::spread({}, bytes, 36));
///     cuda::reduce_scatter<cuda::flags>(peers, rank, whole, mine, counts, sp::dtype::f32, w);
///
/// Under `events` data[r] is rank r's whole operand, ready before, and it stays until all have done. Otherwise `whole` is copied to
/// the slot, part by part, each to a line of its own; `mine` may lie in `whole`, at its place. Bytes a rank, of n in a part: P n read
/// and n written; with slots 2 P n more on the own device. FLOP: (P - 1) n. The kernel is one-shot all-reduce's.
#include <span>
#include <shardproof/engine/cuda/all_reduce.cuh>
namespace shardproof::cuda {

namespace peer_detail {
/// Parts of `counts` elements one behind the other, and all of them; of a round, from element `at` of each part on, at most `most`.
inline pieces pieces_of(const peer_table& t, std::span<const long> counts, const char* what, long at, long most) {
  if (counts.size() != std::size_t(t.ranks))
    refuse_peers(what + (" with " + to_string(counts.size())) + " counts in a group of " + to_string(t.ranks) + " ranks.", "pass one count a rank.");
  pieces p;
  p.n = t.ranks;
  long before = 0;
  for (int r = 0; r < t.ranks; ++r) {
    const long n = counts[std::size_t(r)];
    check_count(n, what);
    p.at[r] = before + (at < n ? at : n);
    p.count[r] = n - at < most ? (n > at ? n - at : 0) : most;
    before += n;
  }
  return p;
}
inline long largest(std::span<const long> counts) {
  long most = 0;
  for (long n : counts) most = n > most ? n : most;
  return most;
}
template <class Sync> void reduce_scatter(const party& who, std::span<const long> counts, dtype type, const way& w, const Sync& sync) {
  (void)pieces_of(who.peers, counts, "reduce_scatter", 0, 0);
  const long all = largest(counts), round = round_of<Sync>(who.peers, who.peers.ranks, type, all);
  for (long at = 0; at < all; at += round)
    launch_one_shot("reduce_scatter", moved(who, 0, at * long(bytes_of(type))), type, reduction::sum, pieces_of(who.peers, counts, "reduce_scatter", at, round),
                    round, w, sync);
}
}  // namespace peer_detail

/// On this rank's queue; counts[r] elements for rank r.
template <class Sync>
void reduce_scatter(const peer_table& peers, int rank, const void* whole, void* mine, std::span<const long> counts, dtype type, const way& w,
                    const Sync& sync = Sync::here()) {
  static_assert(!Sync::together, "see reduce_scatter_one_grid");
  peer_detail::reduce_scatter(peer_detail::party_of(peers, rank, whole, mine), counts, type, w, sync);
}
/// Of all ranks, in one launch.
inline void reduce_scatter_one_grid(const peer_table& peers, const ends& own, std::span<const long> counts, dtype type, const way& w) {
  peer_detail::reduce_scatter(peer_detail::party_of(peers, own), counts, type, w, one_grid{});
}

}  // namespace shardproof::cuda

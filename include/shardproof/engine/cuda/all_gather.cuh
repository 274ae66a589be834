#pragma once
/// @file
/// All-gather and broadcast of ranks that read each other's memory. Parts may be uneven, and empty.
///
///     cuda::all_gather<cuda::events>(peers, rank, mine, whole, counts, sp::dtype::f32, cuda::spread({}, bytes, 36));
///     cuda::broadcast<cuda::flags>(peers, rank, p, n, sp::dtype::i64, 0, w);
///
/// Under `events` data[r] is rank r's part (`mine` is not used), ready before, and it stays until all have done. Otherwise `mine` is
/// copied to the slot. It may lie in `whole`, at its place. Tiling: a block has a stretch of every part. Bytes a rank: the whole read and written; with slots
/// the own part once more. No FLOP.
#include <shardproof/engine/cuda/reduce_scatter.cuh>
namespace shardproof::cuda {

namespace peer_detail {
template <class T, class Sync>
__global__ void __launch_bounds__(most_peer_threads)
    gather(const __grid_constant__ party who, const __grid_constant__ pieces p, const __grid_constant__ Sync sync) {
  const peer_table& peers = who.peers;
  const int rank = rank_of_block<Sync>(who);
  meeting<Sync> m(sync, peers, rank);
  const T* const mine = static_cast<const T*>(who.own.from[rank]);
  if constexpr (Sync::inside) {
    const span s = of_block(p.count[rank], sizeof(T));
    copy_span(shown<T>(peers, m, rank, s.first), mine + s.first, s.n);
    if (!m.meet()) return;
  }
  for (int q = 0; q < peers.ranks; ++q) {
    const span s = of_block(p.count[q], sizeof(T));
    const T* const from = Sync::inside && q == rank ? mine : shown<const T>(peers, m, q, 0);
    copy_span(static_cast<T*>(who.own.to[rank]) + p.at[q] + s.first, from + s.first, s.n);
  }
  m.end();
}
template <class Sync> void all_gather(const char* name, const party& who, std::span<const long> counts, dtype type, const way& w, const Sync& sync) {
  (void)pieces_of(who.peers, counts, name, 0, 0);
  const long all = largest(counts), round = round_of<Sync>(who.peers, 1, type, all);
  for (long at = 0; at < all; at += round)
    visit_size(type, [&](auto zero) {
      launch_meeting<Sync>(name, gather<decltype(zero), Sync>, moved(who, at * long(bytes_of(type)), 0), w.blocks, w.threads,
                           pieces_of(who.peers, counts, name, at, round), sync);
    });
}
template <class Sync> void broadcast(const party& who, long count, dtype type, int root, const way& w, const Sync& sync) {
  check_rank(who.peers, root);
  long counts[most_peers]{};
  counts[root] = count;
  all_gather("broadcast", who, {counts, std::size_t(who.peers.ranks)}, type, w, sync);
}
}  // namespace peer_detail

/// On this rank's queue; counts[r] elements from rank r.
template <class Sync>
void all_gather(const peer_table& peers, int rank, const void* mine, void* whole, std::span<const long> counts, dtype type, const way& w,
                const Sync& sync = Sync::here()) {
  static_assert(!Sync::together, "see all_gather_one_grid");
  peer_detail::all_gather("all_gather", peer_detail::party_of(peers, rank, mine, whole), counts, type, w, sync);
}
/// Under `events` only data[root] is looked at.
template <class Sync>
void broadcast(const peer_table& peers, int rank, void* p, long count, dtype type, int root, const way& w, const Sync& sync = Sync::here()) {
  static_assert(!Sync::together, "see broadcast_one_grid");
  peer_detail::broadcast(peer_detail::party_of(peers, rank, p, p), count, type, root, w, sync);
}
/// Of all ranks, in one launch.
inline void all_gather_one_grid(const peer_table& peers, const ends& own, std::span<const long> counts, dtype type, const way& w) {
  peer_detail::all_gather("all_gather", peer_detail::party_of(peers, own), counts, type, w, one_grid{});
}
inline void broadcast_one_grid(const peer_table& peers, const ends& own, long count, dtype type, int root, const way& w) {
  peer_detail::broadcast(peer_detail::party_of(peers, own), count, type, root, w, one_grid{});
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// All-to-all of ranks that read each other's memory: each rank has a part, of any length, for each other.
///
///     cuda::count_matrix n;  n.of[0][1] = 7;               // rank 0 sends 7 elements to rank 1
///     cuda::all_to_all<cuda::events>(peers, rank, send, receive, n, sp::dtype::f32, cuda::spread({}, bytes, 36));
///
/// Parts lie in rank order in `send` and in `receive`. Under `events` data[r] is rank r's `send`, ready before, and it stays until all
/// have done. Otherwise parts are copied to the slot, slot_bytes / P for each; a rank then needs to know its own row and column of the
/// matrix only, so that a longer part cannot be sent in rounds, and is refused. All ranks pass the same `way`, and all launch, as a
/// rank that sends nothing does not know who does. Bytes a rank: what it receives read and written; with slots what it sends twice.
#include <shardproof/engine/cuda/reduce_scatter.cuh>
namespace shardproof::cuda {

/// of[s][r] elements go from rank s to rank r.
struct count_matrix { long of[most_peers][most_peers]{}; };

namespace peer_detail {
template <class T, class Sync>
__global__ void __launch_bounds__(most_peer_threads)
    exchange(const __grid_constant__ party who, const __grid_constant__ count_matrix n, long stride, const __grid_constant__ Sync sync) {
  const peer_table& peers = who.peers;
  const int rank = rank_of_block<Sync>(who);
  meeting<Sync> m(sync, peers, rank);
  const T* from = static_cast<const T*>(who.own.from[rank]);
  if constexpr (Sync::inside) {
    for (int q = 0; q < peers.ranks; ++q) {
      const span s = of_block(n.of[rank][q], sizeof(T));
      copy_span(shown<T>(peers, m, rank, q * stride + s.first), from + s.first, s.n);
      from += n.of[rank][q];
    }
    if (!m.meet()) return;
  }
  T* to = static_cast<T*>(who.own.to[rank]);
  for (int q = 0; q < peers.ranks; ++q) {
    long at = rank * stride;
    if (!Sync::inside) {
      at = 0;
      for (int r = 0; r < rank; ++r) at += n.of[q][r];
    }
    const span s = of_block(n.of[q][rank], sizeof(T));
    copy_span(to + s.first, shown<const T>(peers, m, q, at + s.first), s.n);
    to += n.of[q][rank];
  }
  m.end();
}
inline void check_counts(const peer_table& t, const count_matrix& n, long most) {
  for (int s = 0; s < t.ranks; ++s)
    for (int r = 0; r < t.ranks; ++r) {
      check_count(n.of[s][r], "all_to_all");
      if (n.of[s][r] > most)
        refuse_peers("all_to_all of " + to_string(n.of[s][r]) + " elements between two ranks, and slots have room for " + to_string(most) + ".",
                     "give slots of that many for each rank, or order the ranks by events.");
    }
}
template <class Sync> void all_to_all(const party& who, const count_matrix& n, dtype type, const way& w, const Sync& sync) {
  const long stride = round_of<Sync>(who.peers, who.peers.ranks, type, 1l << 62);
  check_counts(who.peers, n, stride);
  long received = 0;
  for (int s = 0; s < who.peers.ranks; ++s) received += n.of[s][who.rank];
  if (!Sync::inside && received == 0) return;
  visit_size(type, [&](auto zero) { launch_meeting<Sync>("all_to_all", exchange<decltype(zero), Sync>, who, w.blocks, w.threads, n, stride, sync); });
}
}  // namespace peer_detail

/// On this rank's queue.
template <class Sync>
void all_to_all(const peer_table& peers, int rank, const void* send, void* receive, const count_matrix& n, dtype type, const way& w,
                const Sync& sync = Sync::here()) {
  static_assert(!Sync::together, "see all_to_all_one_grid");
  peer_detail::all_to_all(peer_detail::party_of(peers, rank, send, receive), n, type, w, sync);
}
/// Of all ranks, in one launch.
inline void all_to_all_one_grid(const peer_table& peers, const ends& own, const count_matrix& n, dtype type, const way& w) {
  peer_detail::all_to_all(peer_detail::party_of(peers, own), n, type, w, one_grid{});
}

}  // namespace shardproof::cuda

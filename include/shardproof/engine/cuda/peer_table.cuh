#pragma once
/// @file
/// Where the ranks of a group keep what they show to each other: plain device pointers, wherever they come from.
///
///     cuda::peer_table t{.data = {mine, theirs}, .flags = {my_flags, their_flags}, .ranks = 2, .slot_bytes = 1 << 20};
///     cuda::peer_region r = cuda::make_region(1 << 20);    // two slots and cleared flags, on this rank's device
///     cuda::free_region(r);
///
/// A pointer may be of the same device (virtual ranks), of a peer's in this process, of another process (cudaIpc, VMM), or NCCL's.
/// What data[r] is depends on how the ranks are kept in order: under `events` the addends themselves; under `one_grid` a slot of
/// slot_bytes that the collective copies them to; under `flags` two such slots one behind the other, used in turn. Details of this
/// folder, and of what the backend does for peers, are in `peer_detail`, as the backend's `detail` has names of its own.
#include <shardproof/backend/cuda/queue.cuh>
#include <shardproof/engine/cuda/shots.hpp>
namespace shardproof::cuda {

struct peer_table {
  void* data[most_peers]{};
  unsigned* flags[most_peers]{};                         ///< of `flags` only; flag_bytes each, zero before the first collective
  int ranks = 1;
  long slot_bytes = 0;                                   ///< a multiple of 128
  int ranks_here = 1;                                    ///< of this group that share a device: all of them if it is the only one
};

/// A rank's own operands. A launch for one rank looks at that rank's entry alone.
struct ends {
  const void* from[most_peers]{};
  void* to[most_peers]{};
};

namespace peer_detail {
/// What every kernel is told: who takes part, and this rank's operands (under `one_grid` all ranks').
struct party {
  peer_table peers;
  ends own;
  int rank = 0;
};

// A rank's words: for each block what every peer has reached, written by that peer; then for each block what this rank has reached;
// then whether it has given up. The words of a block are a sector of their own.
inline constexpr unsigned own_words = most_flag_blocks * most_peers, lost_word = own_words + most_flag_blocks;

using std::to_string;
[[noreturn]] inline void refuse_peers(const std::string& what, const char* fix) { throw error(code::usage, what, fix); }
inline void check_rank(const peer_table& t, int rank) {
  if (t.ranks < 1 || t.ranks > most_peers)
    refuse_peers("a group of " + to_string(t.ranks) + " devices that read each other's memory.",
                 "use at most 8 ranks there, and another engine between such groups.");
  if (rank < 0 || rank >= t.ranks) refuse_peers("rank " + to_string(rank) + " of a group of " + to_string(t.ranks) + ".", "pass a rank of the group.");
}
inline void check_slots(const peer_table& t, bool flags) {
  if (t.slot_bytes < 128 * t.ranks || t.slot_bytes % 128)
    refuse_peers("a slot of " + to_string(t.slot_bytes) + " bytes for " + to_string(t.ranks) + " ranks.",
                 "give slots a multiple of 128 bytes, at least 128 a rank.");
  for (int r = 0; r < t.ranks; ++r)
    if (!t.data[r] || (flags && !t.flags[r]))
      refuse_peers("a peer table without the memory of rank " + to_string(r) + ".", "exchange the pointers of all ranks first.");
}
inline void check_count(long count, const char* what) {
  if (count < 0) refuse_peers(what + (" of " + to_string(count)) + " elements.", "pass a count of zero or more.");
}
inline party party_of(const peer_table& t, int rank, const void* from, void* to) {
  check_rank(t, rank);
  party p{t, {}, rank};
  p.own.from[rank] = from;
  p.own.to[rank] = to;
  return p;
}
/// All ranks'.
inline party party_of(const peer_table& t, const ends& own) {
  check_rank(t, 0);
  return {t, own, 0};
}
/// The same with operands further on by so many bytes.
inline party moved(party p, long from, long to) {
  for (int r = 0; r < p.peers.ranks; ++r) {
    if (p.own.from[r]) p.own.from[r] = static_cast<const char*>(p.own.from[r]) + from;
    if (p.own.to[r]) p.own.to[r] = static_cast<char*>(p.own.to[r]) + to;
  }
  return p;
}
}  // namespace peer_detail

inline constexpr std::size_t flag_bytes = (peer_detail::lost_word + 1) * sizeof(unsigned);

/// A rank's part of a table.
struct peer_region {
  void* data = nullptr;
  unsigned* flags = nullptr;
};
/// On this rank's device, from cudaMalloc, so that other processes can open it. All ranks meet on the host before the first collective.
inline peer_region make_region(long slot_bytes) {
  peer_region r;
  void* flags = nullptr;
  const cudaStream_t s = own_queue().stream;
  check(cudaMalloc(&r.data, 2 * std::size_t(slot_bytes)), "memory that peers read");
  check(cudaMalloc(&flags, flag_bytes), "memory that peers read");
  r.flags = static_cast<unsigned*>(flags);
  check(cudaMemsetAsync(flags, 0, flag_bytes, s), "a clear");
  check(cudaStreamSynchronize(s), "a clear");
  return r;
}
inline void free_region(peer_region& r) noexcept {
  (void)cudaFree(r.data);
  (void)cudaFree(r.flags);
  r = {};
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// How the kernels of a collective wait for each other: a policy, apart from what they compute.
///
///     cuda::all_reduce<cuda::events>(...)                  // not at all: the host orders the ranks' streams by events
///     cuda::all_reduce<cuda::flags>(...)                   // by flags in each other's memory, block by block; one device a rank
///     cuda::all_reduce_one_grid(...)                       // one cooperative launch for all (virtual) ranks, blockIdx.y is the rank
///     cuda::report_lost_peers();                           // after waiting: SP502 where a rank waited in vain
///
/// Flags. A collective has a number on every rank, kept in device memory and counted by the kernel itself, so that a launch with the
/// same arguments may be repeated (a CUDA graph). Block b tells block b of each peer what it has reached (a release at system scope,
/// P words of 4 bytes), and waits for their words in its own memory (an acquire). No block waits for another index, hence parts of
/// the data belong to block indices. Slots are used in turn: who writes a slot again has met everybody in the collective between,
/// and they had then finished the one before. NCCL's and vLLM's kernels work likewise; the counted numbers are as in NVSHMEM's barriers.
#include <cooperative_groups.h>
#include <cuda/atomic>
#include <shardproof/backend/cuda/launch.cuh>
#include <shardproof/backend/cuda/note.cuh>
#include <shardproof/engine/cuda/peer_table.cuh>
namespace shardproof::cuda {

/// A note (note.cuh): a rank waited in vain.
struct lost_peer { int found, rank, peer; unsigned block, number; };

struct events {
  static constexpr bool inside = false;                  ///< the kernel copies its operand to the slot, and waits
  static constexpr bool together = false;                ///< one launch for all ranks
  static events here() { return {}; }
};
struct one_grid {
  static constexpr bool inside = true, together = true;
  static one_grid here() { return {}; }
};
struct flags {
  static constexpr bool inside = true, together = false;
  static constexpr unsigned eager = 4096;                ///< looks without a pause
  lost_peer* record = nullptr;                           ///< as the device sees it
  unsigned looks = 50u << 20;                            ///< before a rank gives up: half a minute
  static flags here();
};

namespace peer_detail {
using shared_word = ::cuda::atomic_ref<unsigned, ::cuda::thread_scope_system>;
__device__ inline void tell(unsigned* word, unsigned number) { shared_word(*word).store(number, ::cuda::std::memory_order_release); }
__device__ inline unsigned look(unsigned* word) { return shared_word(*word).load(::cuda::std::memory_order_acquire); }

inline constexpr unsigned numbers_per_call = 2;          // whether it meets once or twice, so that slots take turns
/// A peer is ahead by one meeting at most, which may be the first of the next collective. Numbers wrap around; a word that has not
/// been written for long is behind, not ahead.
__device__ inline bool has_reached(unsigned number, unsigned wanted) { return number - wanted <= numbers_per_call; }

/// What a block knows of the collective it runs in. All its threads call the same functions.
template <class Sync> struct meeting;

template <> struct meeting<events> {
  __device__ meeting(const events&, const peer_table&, int) {}
  __device__ long slot() const { return 0; }             ///< bytes from data[r] on
  __device__ bool meet() { return true; }
  __device__ void end() {}
};
template <> struct meeting<one_grid> {
  __device__ meeting(const one_grid&, const peer_table&, int) {}
  __device__ long slot() const { return 0; }
  __device__ bool meet() {
    cooperative_groups::this_grid().sync();
    return true;
  }
  __device__ void end() {}
};
template <> struct meeting<flags> {
  const flags& how;
  const peer_table& peers;
  const int rank;
  unsigned* const own;
  const unsigned before;                                 // the number that the last collective ended with
  unsigned now;
  int in_vain;
  __device__ meeting(const flags& f, const peer_table& t, int r)
      : how(f), peers(t), rank(r), own(t.flags[r]), before(own[own_words + blockIdx.x]), now(before), in_vain(own[lost_word] != 0) {}
  __device__ long slot() const { return long(before / numbers_per_call & 1) * peers.slot_bytes; }
  /// What all blocks of this index wrote before is visible after it. False: a peer is lost, now or earlier.
  __device__ bool meet() {
    ++now;
    __syncthreads();
    if (!in_vain && int(threadIdx.x) < peers.ranks) {
      tell(peers.flags[threadIdx.x] + blockIdx.x * most_peers + rank, now);
      in_vain = !arrives(int(threadIdx.x));
    }
    return !(in_vain = __syncthreads_or(in_vain));
  }
  /// The numbers of all blocks stay equal, those of a smaller launch too.
  __device__ void end() {
    for (unsigned b = blockIdx.x + threadIdx.x * gridDim.x; b < most_flag_blocks; b += blockDim.x * gridDim.x) own[own_words + b] = before + numbers_per_call;
  }

 private:
  __device__ bool arrives(int peer) const {
    unsigned* const word = own + blockIdx.x * most_peers + peer;
    for (unsigned i = 0; i < how.looks; ++i) {
      if (has_reached(look(word), now)) return true;
      if (i >= flags::eager) __nanosleep(100);
    }
    own[lost_word] = 1;                                  // later collectives do not wait again
    if (atomicCAS(&how.record->found, 0, 1) == 0) {
      how.record->rank = rank;
      how.record->peer = peer;
      how.record->block = blockIdx.x;
      how.record->number = now / numbers_per_call;
      __threadfence_system();
    }
    return false;
  }
};

/// From element `at` of what rank r shows.
template <class T, class Sync> __device__ T* shown(const peer_table& t, const meeting<Sync>& m, int r, long at) {
  return reinterpret_cast<T*>(static_cast<char*>(t.data[r]) + m.slot()) + at;
}
template <class Sync> __device__ int rank_of_block(const party& who) { return Sync::together ? int(blockIdx.y) : who.rank; }

/// As many blocks as may run. @error SP001 where ranks of one device could not wait for each other.
template <class Sync, class... P> unsigned allowed_blocks(void (*kernel)(P...), const peer_table& t, unsigned blocks, unsigned threads) {
  if constexpr (!Sync::inside) return blocks;
  const int processors = own_queue().processors;
  int each = 1;                                          // a block a processor always fits
  if (Sync::together || t.ranks_here > 1) check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel, int(threads), 0), "the room for a collective");
  if constexpr (Sync::together) {
    const unsigned most = unsigned(each * processors / t.ranks);
    return blocks < most ? blocks : most ? most : 1;     // where not even one fits CUDA refuses the launch
  } else {
    const unsigned most = waiting_blocks(t.ranks_here, processors, each);
    if (most == 0)
      refuse_peers(to_string(t.ranks_here) + " ranks on a device of " + to_string(processors) + " processors cannot wait for each other by flags.",
                   "order them by events, or give each rank a device.");
    return blocks < most ? blocks : most;
  }
}
/// The kernel of all collectives: `who` first, then what is its own.
template <class Sync, class... P, class... A>
void launch_meeting(const char* name, void (*kernel)(party, P...), const party& who, unsigned blocks, unsigned threads, A&&... a) {
  if constexpr (Sync::inside) check_slots(who.peers, std::is_same_v<Sync, flags>);
  geometry g{.blocks = allowed_blocks<Sync>(kernel, who.peers, blocks, threads), .threads = threads, .cooperative = Sync::together};
  if (Sync::together) g.blocks_y = unsigned(who.peers.ranks);
  launch(name, kernel, g, who, std::forward<A>(a)...);
}
}  // namespace peer_detail

inline flags flags::here() {
  flags f;
  f.record = note_on_device<lost_peer>();
  return f;
}
/// After this rank's queue has been waited for. The group cannot be used again before all ranks' flags are cleared.
/// @error SP502 naming the rank that did not come.
inline void report_lost_peers() {
  using std::to_string;
  if (const auto p = take_note<lost_peer>()) [[unlikely]]
    throw error(code::rank_lost,
                "rank " + to_string(p->peer) + " was lost or did not reach collective #" + to_string(p->number + 1) + " of its devices in time.",
                "read that rank's first error; raise the time limit only if the step is really that long. [rank " + to_string(p->rank) +
                    " waited, block " + to_string(p->block) + "]");
}

}  // namespace shardproof::cuda

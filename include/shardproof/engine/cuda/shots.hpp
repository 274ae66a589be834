#pragma once
/// @file
/// How a collective of devices runs, as numbers: no CUDA is needed to compute it, so it is tested anywhere.
///
///     static_assert(sp::cuda::shots_for(4, 64 << 10) == sp::cuda::shots::one);
///     sp::cuda::way w = sp::cuda::way_for(4, 64 << 10);           // one shot, 8 blocks of 512 threads
///     static_assert(sp::cuda::waiting_blocks(4, 132, 4) == 32);   // of each of four ranks that wait for each other on one H200
///
/// One-shot: each rank reads all ranks' addends, P n bytes, and they meet once. Two-shot: rank r combines part r of all and writes it
/// to all, n bytes read and n written, and they meet twice. Everything here depends on numbers that all ranks of a group share.
#include <cstddef>
namespace shardproof::cuda {

inline constexpr int most_peers = 8;                     ///< ranks of one group that read each other's memory
inline constexpr unsigned most_flag_blocks = 64;         ///< blocks of a rank that wait for their like by flags
inline constexpr unsigned usual_blocks = 36;             ///< fill NVLink and leave room for other work; as in vLLM (custom_all_reduce.cuh)
inline constexpr unsigned most_peer_threads = 512;

enum class shots : unsigned char { one, two };

/// vLLM's rule (custom_all_reduce.cuh): one shot with two ranks, with up to four below 512 KiB, with up to eight below 256 KiB.
/// Published times agree for four H100: one-stage 10, 14, 23, 38 us at 0.5, 1, 2, 4 MiB against 17, 18, 26, 42 of two-stage (vLLM PR
/// 24532), so the limits err on the side that moves fewer bytes.
constexpr shots shots_for(int ranks, long bytes) {
  const long below = ranks <= 2 ? -1 : ranks <= 4 ? 512 << 10 : 256 << 10;
  return below < 0 || bytes < below ? shots::one : shots::two;
}

struct way {
  shots how = shots::one;
  unsigned blocks = 1, threads = 32;
  constexpr bool operator==(const way&) const = default;
};

/// Threads and blocks for so many bytes of work a rank, a pack of 16 bytes a thread as long as there are blocks.
constexpr way spread(shots how, long bytes, unsigned most) {
  const long packs = bytes <= 0 ? 0 : (bytes - 1) / 16 + 1, widest = most_peer_threads;
  const long threads = packs >= widest ? widest : packs <= 32 ? 32 : (packs + 31) / 32 * 32;
  const long blocks = packs == 0 ? 1 : (packs - 1) / threads + 1;
  return {how, blocks < long(most) ? unsigned(blocks) : most, unsigned(threads)};
}
/// An all-reduce of so many bytes.
constexpr way way_for(int ranks, long bytes, unsigned most = usual_blocks) {
  const shots how = shots_for(ranks, bytes);
  return spread(how, how == shots::one ? bytes : (bytes + ranks - 1) / ranks, most);
}

/// Blocks of each of `ranks_here` ranks on one device that may wait for those of the others; 0: none, use events. Kernels of
/// different streams wait for each other only if all of them are resident: together no more than the device holds. And one
/// processor stays free, as a rank that is late may have a kernel before it that needs a whole one.
constexpr unsigned waiting_blocks(int ranks_here, int processors, int blocks_per_processor) {
  if (ranks_here < 1 || processors < 1 || blocks_per_processor < 1) return 0;
  const long resident = long(processors) * blocks_per_processor, spare = processors - 1;
  const long blocks = ranks_here == 1 ? resident : (resident < spare ? resident : spare) / ranks_here;
  return blocks < long(most_flag_blocks) ? unsigned(blocks) : most_flag_blocks;
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// Launch geometry, as numbers: no CUDA is needed to compute it, so it is tested anywhere.
///
///     static_assert(sp::cuda::over(1000).blocks == 4);            // 256 threads each
///     static_assert(sp::cuda::rows(7, 4096).threads == 512);
///     sp::cuda::geometry g = sp::cuda::rows(0, 16);               // no blocks: nothing is launched
///
/// Grids are capped at a few blocks a processor, since kernels loop over what is left; x may be as large as 2^31 - 1, y and z 65535.
#include <cstddef>
namespace shardproof::cuda {

inline constexpr unsigned threads_per_block = 256;
inline constexpr unsigned most_blocks = 132 * 16;        ///< of one launch: 16 for each processor of an H200
inline constexpr unsigned most_blocks_y = 65535;
inline constexpr std::size_t plain_shared_bytes = 48 * 1024;

struct geometry {
  unsigned blocks = 0, blocks_y = 1, blocks_z = 1;
  unsigned threads = threads_per_block;
  std::size_t shared_bytes = 0;                          ///< of dynamic shared memory
  bool cooperative = false;                              ///< all blocks at once, which may then wait for each other
};
constexpr unsigned at_most(long n, unsigned limit) { return n <= 0 ? 0 : n < long(limit) ? unsigned(n) : limit; }
constexpr long parts_of(long n, long size) { return n <= 0 ? 0 : (n - 1) / size + 1; }

/// A thread for each of n elements.
constexpr geometry over(long n) { return {.blocks = at_most(parts_of(n, threads_per_block), most_blocks)}; }
/// Threads for a row of n elements: whole warps, about eight elements a thread in long rows.
constexpr unsigned threads_for_row(long n) { return n > 8192 ? 1024 : n > 2048 ? 512 : n > 512 ? 256 : n > 128 ? 128 : n > 32 ? 64 : 32; }
/// A block for each of so many rows of n elements.
constexpr geometry rows(long count, long n) { return {.blocks = at_most(count, most_blocks), .threads = threads_for_row(n)}; }

}  // namespace shardproof::cuda

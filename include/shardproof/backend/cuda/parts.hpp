#pragma once
/// @file
/// How n elements are cut, as numbers: into parts of whole lines, and into packs of 16 bytes. No CUDA is needed to compute it.
///
///     static_assert(sp::cuda::part_begin(1, 2, 100, 4) == 32);                // two parts of 100 floats: 32 and 68
///     static_assert(sp::cuda::packing_of(8, true, 10, 4).packs == 2);         // two single floats, two packs of four
#include <cstddef>
namespace shardproof::cuda {

/// Where part `part` of `parts` begins in `count` elements of `size` bytes: at a line of 128 bytes, which no two parts then write to.
constexpr long part_begin(long part, long parts, long count, std::size_t size) {
  const long line = 128 / long(size), lines = (count + line - 1) / line, at = lines * part / parts * line;
  return at < count ? at : count;
}
/// As many elements as fit into so many bytes, in whole lines.
constexpr long whole_lines(long bytes, std::size_t size) { return bytes / 128 * (128 / long(size)); }

/// Of n elements that several arrays hold from one index on: `head` single ones, then `packs` of 16 bytes, then single ones again.
/// An address is aligned to its element, and `misaligned` is what it has over a multiple of 16; where that is not the same for all
/// arrays (`alike`), packs of one are not packs of the other, and all elements are moved singly.
struct packing { long head = 0, packs = 0; };
constexpr packing packing_of(unsigned misaligned, bool alike, long n, std::size_t size) {
  if (!alike || n <= 0) return {};
  const long head = misaligned ? long((16 - misaligned) / size) : 0;
  return head >= n ? packing{} : packing{head, (n - head) / long(16 / size)};
}

}  // namespace shardproof::cuda

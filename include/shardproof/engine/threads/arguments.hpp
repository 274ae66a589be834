#pragma once
/// @file
/// Arguments of collectives that make no sense: refused before the other ranks see anything of the call.
///
///     const long total = in_process::checked_sum(operation::all_gather, counts, ranks);
///     const std::size_t bytes = in_process::checked_bytes(operation::all_gather, whole, total, dtype::f32);
#include <span>
#include <string>
#include <shardproof/engine/threads/call.hpp>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::in_process {

/// Of `count` elements at p. @error SP001 for a negative count, and for elements at a null pointer.
inline std::size_t checked_bytes(operation o, const void* p, long count, dtype t) {
  if (count < 0)
    throw error(code::usage, name_of(o) + std::string(" of ") + std::to_string(count) + " elements.", "pass a count of zero or more.");
  if (count > 0 && !p)
    throw error(code::usage, name_of(o) + std::string(" of ") + std::to_string(count) + " elements at a null pointer.",
                "pass the buffer; only a count of zero may come without.");
  return std::size_t(count) * bytes_of(t);
}
/// The same on a device. @error SP001 for memory that its kernels cannot use, too.
inline std::size_t checked_bytes(operation o, const void* p, long count, dtype t, const backend& device) {
  const std::size_t bytes = checked_bytes(o, p, count, t);
  if (count > 0 && !device.holds(p)) [[unlikely]]
    throw error(code::usage, name_of(o) + std::string(" of memory that device ") + device.name() + " does not hold.",
                "put the numbers into a tensor: sp::leaf, sp::input.");
  return bytes;
}

inline long sum(std::span<const long> counts) {
  long s = 0;
  for (long n : counts) s += n;
  return s;
}
/// Of one count a rank.
inline long checked_sum(operation o, std::span<const long> counts, int ranks) {
  if (counts.size() != std::size_t(ranks))
    throw error(code::usage,
                name_of(o) + std::string(" with ") + std::to_string(counts.size()) + " counts in a group of " + std::to_string(ranks) +
                    " ranks.",
                "pass one count a rank.");
  for (long n : counts)
    if (n < 0)
      throw error(code::usage, name_of(o) + std::string(" with a count of ") + std::to_string(n) + ".", "pass counts of zero or more.");
  return sum(counts);
}

inline void check_root(int root, int ranks) {
  if (root < 0 || root >= ranks)
    throw error(code::usage, "broadcast from root " + std::to_string(root) + " in a group of " + std::to_string(ranks) + " ranks.",
                "pass a rank of this group.");
}

}  // namespace shardproof::in_process

#pragma once
/// @file
/// Rows to a place that is known on the device only: how a captured decode step extends its cache.
///
///     cuda::place({.dst = kept, .src = k, .at = counter, .outer = 1, .room = 4096, .rows = 1, .width = 1024});
///
/// A thread an element, in strides; twice the bytes of src, no FLOP.
#include <shardproof/backend/cuda/launch.cuh>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cuda {

namespace detail {
template <class Word> __global__ void place_words(Word* dst, const Word* src, const std::int64_t* at, long outer, long room, long rows, long width) {
  const long first = long(*at);
  for (long i = first_index(); i < outer * rows * width; i += index_stride()) {
    const long o = i / (rows * width), row = first + i / width % rows;
    if (row >= 0 && row < room) dst[(o * room + row) * width + i % width] = src[i];
  }
}
template <class Word> void place_as(const place_args& a) {
  launch("place", place_words<Word>, over(a.outer * a.rows * a.width), a.dst.as<Word>(), a.src.as<const Word>(), a.at.as<const std::int64_t>(), a.outer, a.room,
         a.rows, a.width);
}
}  // namespace detail

inline void place(const place_args& a) {
  switch (bytes_of(a.dst.type)) {
    case 8: return detail::place_as<std::uint64_t>(a);
    case 4: return detail::place_as<std::uint32_t>(a);
    case 2: return detail::place_as<std::uint16_t>(a);
    default: return detail::place_as<std::uint8_t>(a);
  }
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// Sums, maxima and minima of the ranks' buffers, always in the order of the ranks, whichever device computes them.
///
///     cuda::reduce_peers(y, from, reduction::sum);                                       // y[i] = (from[0][i] + from[1][i]) + ...
///     cuda::reduce_peers_in_place(dtype::f32, buffers, begin, end, reduction::sum);      // of [begin, end), written to all of them
///
/// bf16 and f16 are widened, combined in f32 and rounded once. Integers wrap around. A NaN stays, in max and min too: as
/// engine/threads/reduce.hpp, bit for bit but for the payload of a NaN. Tiling: a thread moves packs of 16 bytes, those of eight
/// peers at a time, since one from another device is long on its way. Bytes moved: every source and every target once; a FLOP for
/// each element of all sources but one. The two-shot all-reduce over direct links (Patarasuk & Yuan, JPDC 69, 2009, for its volume).
#include <algorithm>
#include <span>
#include <shardproof/backend/cuda/memory.cuh>
#include <shardproof/backend/cuda/spans.cuh>
#include <shardproof/runtime/shape.hpp>
namespace shardproof::cuda {

namespace peer_detail {
/// The buffers' addresses: in the kernel's arguments, or on the device where there are more.
struct addresses {
  static constexpr int inside = 16;
  const void* few[inside] = {};
  const void* const* many = nullptr;
  int count = 0;
  template <class T> __device__ T* at(int r) const { return static_cast<T*>(const_cast<void*>(many ? many[r] : few[r])); }
};

/// Elements [begin, end).
template <class T, int P>
__global__ void __launch_bounds__(threads_per_block)
    reduce_peers_kernel(const __grid_constant__ addresses from, const __grid_constant__ addresses to, long begin, long end, reduction how) {
  const span s = of_block(end - begin, sizeof(T));
  const long first = begin + s.first;
  combine_span(buffers_of<P>(from.count, [&](int r) { return from.at<const T>(r) + first; }),
               buffers_of<0>(to.count, [&](int r) { return to.at<T>(r) + first; }), how, s.n);
}

/// For the kernels of this scope.
class uploaded_addresses {
  scratch<const void*> many_;

 public:
  addresses all;
  explicit uploaded_addresses(std::span<const void* const> buffers) : many_(buffers.size() > addresses::inside ? long(buffers.size()) : 0) {
    static_assert(sizeof(void*) == sizeof(std::int64_t));
    all.count = int(buffers.size());
    all.many = many_.p;
    if (many_.p) upload({many_.p, dtype::i64, {all.count}}, buffers.data());
    else std::copy(buffers.begin(), buffers.end(), all.few);
  }
};

inline void reduce_peers(dtype t, std::span<const void* const> from, std::span<const void* const> to, long begin, long end, reduction how) {
  if (begin >= end || from.empty()) return;
  const uploaded_addresses sources(from), targets(to);
  visit(t, [&](auto zero) {
    using T = decltype(zero);
    const auto kernel = kernel_for<T>(int(from.size()), how, [](auto ranks) { return reduce_peers_kernel<T, ranks()>; });
    launch("reduce_peers", kernel, over(parts_of(end - begin, pack_size<T>())), sources.all, targets.all, begin, end, how);
  });
}
}  // namespace peer_detail

/// `from` hold y.count() elements of y's type; y may be one of them.
inline void reduce_peers(const view& y, std::span<const void* const> from, reduction how) {
  const void* const to[] = {y.p};
  peer_detail::reduce_peers(y.type, from, to, 0, y.count(), how);
}
/// Elements [begin, end) of all buffers become their reduction.
inline void reduce_peers_in_place(dtype t, std::span<void* const> all, long begin, long end, reduction how) {
  const std::span<const void* const> both(all.data(), all.size());
  peer_detail::reduce_peers(t, both, both, begin, end, how);
}

}  // namespace shardproof::cuda

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
#include <type_traits>
#include <shardproof/backend/cuda/map.cuh>
#include <shardproof/backend/cuda/memory.cuh>
#include <shardproof/runtime/communicator.hpp>
#include <shardproof/runtime/shape.hpp>
namespace shardproof::cuda {

namespace detail {
/// The buffers' addresses: in the kernel's arguments, or on the device where there are more.
struct peer_table {
  static constexpr int inside = 16;
  const void* few[inside] = {};
  const void* const* many = nullptr;
  int count = 0;
  template <class T> __device__ const T* at(int r) const { return static_cast<const T*>(many ? many[r] : few[r]); }
};

template <reduction R, class A> __device__ A combined(A a, A b) {
  if constexpr (R == reduction::sum) {
    if constexpr (std::is_integral_v<A>) return A(std::make_unsigned_t<A>(a) + std::make_unsigned_t<A>(b));
    else return a + b;
  } else {
    const bool second = R == reduction::max ? a < b : b < a;
    return second || b != b ? b : a;
  }
}

/// Packs [first, last) of N elements.
template <class T, reduction R, int N> __device__ void reduce_packs(const peer_table& from, const peer_table& to, long first, long last) {
  using A = decltype(widen(T{}));
  constexpr int together = 8;
  for (long i = first + first_index(); i < last; i += index_stride()) {
    A sums[N] = {};
    for (int r = 0; r < from.count; r += together) {
      pack<T, N> x[together];
#pragma unroll
      for (int k = 0; k < together; ++k)
        if (r + k < from.count) x[k] = pack_at<N>(from.at<T>(r + k), i);
#pragma unroll
      for (int k = 0; k < together; ++k)
        if (r + k < from.count)
          for (int e = 0; e < N; ++e) sums[e] = r + k == 0 ? load<A>(x[k].of, e) : combined<R>(sums[e], load<A>(x[k].of, e));
    }
    pack<T, N> out;
    for (int e = 0; e < N; ++e) store(out.of, e, sums[e]);
    for (int r = 0; r < to.count; ++r) pack_at<N>(const_cast<T*>(to.at<T>(r)), i) = out;
  }
}
/// Elements [begin, end), of which those of `packs` whole packs from number `first` on are moved as such.
template <class T, reduction R> __global__ void reduce_peers_kernel(peer_table from, peer_table to, long begin, long end, long first, long packs) {
  constexpr int size = pack_size<T>();
  if (packs == 0) return reduce_packs<T, R, 1>(from, to, begin, end);
  reduce_packs<T, R, size>(from, to, first, first + packs);
  reduce_packs<T, R, 1>(from, to, begin, first * size);
  reduce_packs<T, R, 1>(from, to, (first + packs) * size, end);
}

/// A table for the kernels of this scope.
class uploaded_peers {
  view block_;

 public:
  peer_table table;
  explicit uploaded_peers(std::span<const void* const> all) {
    table.count = int(all.size());
    if (table.count <= peer_table::inside) {
      std::copy(all.begin(), all.end(), table.few);
      return;
    }
    static_assert(sizeof(void*) == sizeof(std::int64_t));
    block_ = {take(all.size_bytes()), dtype::i64, {long(all.size())}};
    upload(block_, all.data());
    table.many = block_.as<const void* const>();
  }
  uploaded_peers(const uploaded_peers&) = delete;
  uploaded_peers& operator=(const uploaded_peers&) = delete;
  ~uploaded_peers() { give(block_.p, block_.bytes()); }
};

template <class F> void with_reduction(dtype t, reduction how, F&& f) {
  visit(t, [&](auto zero) {
    switch (how) {
      case reduction::sum: return f(zero, std::integral_constant<reduction, reduction::sum>{});
      case reduction::max: return f(zero, std::integral_constant<reduction, reduction::max>{});
      case reduction::min: return f(zero, std::integral_constant<reduction, reduction::min>{});
    }
  });
}
inline void reduce_peers(dtype t, std::span<const void* const> from, std::span<const void* const> to, long begin, long end, reduction how) {
  if (begin >= end || from.empty()) return;
  const auto whole = [](const void* p) { return are_packs<16>(static_cast<const char*>(p)); };
  const bool packed = std::all_of(from.begin(), from.end(), whole) && std::all_of(to.begin(), to.end(), whole);
  const uploaded_peers sources(from), targets(to);
  with_reduction(t, how, [&](auto zero, auto r) {
    using T = decltype(zero);
    constexpr long size = pack_size<T>();
    const long first = parts_of(begin, size), packs = packed && first < end / size ? end / size - first : 0;
    launch("reduce_peers", reduce_peers_kernel<T, r()>, over(packs ? packs : end - begin), sources.table, targets.table, begin, end, first, packs);
  });
}
}  // namespace detail

/// `from` hold y.count() elements of y's type; y may be one of them.
inline void reduce_peers(const view& y, std::span<const void* const> from, reduction how) {
  const void* const to[] = {y.p};
  detail::reduce_peers(y.type, from, to, 0, y.count(), how);
}
/// Elements [begin, end) of all buffers become their reduction.
inline void reduce_peers_in_place(dtype t, std::span<void* const> all, long begin, long end, reduction how) {
  const std::span<const void* const> both(all.data(), all.size());
  detail::reduce_peers(t, both, both, begin, end, how);
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// A block's work on a stretch of elements: copies, and combinations of the ranks' addends in rank order.
///
///     peer_detail::copy_span(slot, from, n);               // by the threads of this block
///     const auto x = peer_detail::buffers_of<2>(2, [=](int r) { return r ? b : a; });
///     const auto y = peer_detail::buffers_of<1>(1, [=](int) { return sum; });
///     peer_detail::combine_span(x, y, reduction::sum, n);
///
/// Tiling: a thread moves packs of 16 bytes where the addresses allow (packing_of), several at once so that about eight loads are
/// under way. bf16 and f16 are widened, combined in f32 and rounded once; integers wrap around; a NaN stays, in max and min too.
#include <type_traits>
#include <utility>
#include <shardproof/backend/cuda/map.cuh>
#include <shardproof/backend/cuda/parts.hpp>
#include <shardproof/runtime/communicator.hpp>
namespace shardproof::cuda::peer_detail {

/// The part of n elements that blocks of this index have.
struct span { long first, n; };
__device__ inline span of_block(long n, std::size_t size) {
  const long first = part_begin(blockIdx.x, gridDim.x, n, size);
  return {first, part_begin(blockIdx.x + 1l, gridDim.x, n, size) - first};
}
__device__ inline unsigned misaligned(const void* p) { return unsigned(reinterpret_cast<std::uintptr_t>(p) & 15); }

/// f(unit{}) of so many bytes as an element has.
template <class F> decltype(auto) visit_size(dtype t, F&& f) {
  switch (bytes_of(t)) {
    case 8: return f(unit<8>{});
    case 4: return f(unit<4>{});
    case 2: return f(unit<2>{});
    default: return f(unit<1>{});
  }
}

/// put(i, get(i)) for all packs. A thread reads `Several` before it writes any.
template <int Several, class Get, class Put> __device__ void each_pack(long packs, Get get, Put put) {
  long i = threadIdx.x;
  for (; i + (Several - 1) * long(blockDim.x) < packs; i += Several * long(blockDim.x)) {
    decltype(get(i)) kept[Several];
#pragma unroll
    for (int k = 0; k < Several; ++k) kept[k] = get(i + k * long(blockDim.x));
#pragma unroll
    for (int k = 0; k < Several; ++k) put(i + k * long(blockDim.x), kept[k]);
  }
  for (; i < packs; i += blockDim.x) put(i, get(i));
}

/// to[i] = from[i] for i < n. They are apart, or the same.
template <class T> __device__ void copy_span(T* to, const T* from, long n) {
  constexpr int size = 16 / int(sizeof(T));
  if (to == from) return;
  const packing p = packing_of(misaligned(from), misaligned(to) == misaligned(from), n, sizeof(T));
  each_pack<4>(p.packs, [=](long i) { return pack_at<size>(from + p.head, i); },
               [=](long i, const pack<T, size>& x) { pack_at<size>(to + p.head, i) = x; });
  for (long i = threadIdx.x; i < n - p.packs * size; i += blockDim.x) {
    const long at = i < p.head ? i : i + p.packs * size;
    to[at] = from[at];
  }
}

/// The buffers of some ranks, rank r's from at(r) on. P is their number where kernels are made for it, and 0 where it is any.
template <int P, class At> struct buffers {
  At at;
  int ranks;
  __device__ int count() const { return P ? P : ranks; }
};
template <int P, class At> __device__ buffers<P, At> buffers_of(int ranks, At at) { return {at, ranks}; }
template <class Buffers> using element_in = std::remove_cvref_t<decltype(*std::declval<const Buffers&>().at(0))>;

/// Integers are summed as unsigned ones, which wrap around. Narrow ones wrap when they are stored.
template <class C> __device__ C sum_of(C a, C b) {
  if constexpr (std::is_integral_v<C>) return C(std::make_unsigned_t<C>(a) + std::make_unsigned_t<C>(b));
  else return a + b;
}
template <class C> __device__ C combined(reduction how, C a, C b) {
  if (how == reduction::sum) return sum_of(a, b);
  const bool second = how == reduction::max ? a < b : b < a;
  return second || b != b ? b : a;
}
/// Numbers of the group that have a kernel of their own: sums of floats by 2, 4 or 8 ranks. k tells the kernel of a number, which is 0 for any.
template <class T, class K> auto kernel_for(int ranks, reduction how, K k) {
  if constexpr (!std::is_integral_v<T>)
    if (how == reduction::sum) {
      if (ranks == 2) return k(std::integral_constant<int, 2>{});
      if (ranks == 4) return k(std::integral_constant<int, 4>{});
      if (ranks == 8) return k(std::integral_constant<int, 8>{});
    }
  return k(std::integral_constant<int, 0>{});
}

/// Elements at, ..., at + N - 1 of all ranks combined: summed by a kernel for their number, else as `how` says. Those of eight ranks are
/// read at a time, since one from another device is long on its way.
template <int N, int P, class At> __device__ auto combination(const buffers<P, At>& from, reduction how, long at) {
  using T = element_in<buffers<P, At>>;
  using C = decltype(widen(T{}));
  constexpr int together = P ? P : 8;
  C all[N] = {};
  for (int first = 0; first < from.count(); first += together) {
    pack<T, N> in[together];
#pragma unroll
    for (int r = 0; r < together; ++r)
      if (P || first + r < from.ranks) in[r] = pack_at<N>(from.at(first + r) + at, 0);
#pragma unroll
    for (int r = 0; r < together; ++r) {
      if (!P && first + r >= from.ranks) break;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const C x = load<C>(in[r].of, k);
        if (first + r == 0) all[k] = x;
        else if constexpr (P != 0) all[k] = sum_of(all[k], x);
        else all[k] = combined(how, all[k], x);
      }
    }
  }
  pack<T, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k) store(out.of, k, all[k]);
  return out;
}
template <int N, int Q, class At, class T> __device__ void put(const buffers<Q, At>& to, long at, const pack<T, N>& x) {
#pragma unroll
  for (int r = 0; r < to.count(); ++r) pack_at<N>(to.at(r) + at, 0) = x;
}

/// All of `to` get the combination of n elements. One of them may be among `from`, as a thread has read what it writes.
template <int P, int Q, class From, class To>
__device__ void combine_span(const buffers<P, From>& from, const buffers<Q, To>& to, reduction how, long n) {
  using T = element_in<buffers<Q, To>>;
  constexpr int size = 16 / int(sizeof(T)), several = P == 2 ? 4 : P == 4 ? 2 : 1;
  const unsigned first = misaligned(from.at(0));
  bool alike = true;
  for (int r = 0; r < from.count(); ++r) alike &= misaligned(from.at(r)) == first;
  for (int r = 0; r < to.count(); ++r) alike &= misaligned(to.at(r)) == first;
  const packing p = packing_of(first, alike, n, sizeof(T));
  each_pack<several>(p.packs, [&](long i) { return combination<size>(from, how, p.head + i * size); },
                     [&](long i, const pack<T, size>& x) { put<size>(to, p.head + i * size, x); });
  for (long i = threadIdx.x; i < n - p.packs * size; i += blockDim.x) {
    const long at = i < p.head ? i : i + p.packs * size;
    put<1>(to, at, combination<1>(from, how, at));
  }
}

}  // namespace shardproof::cuda::peer_detail

#pragma once
/// @file
/// A block's work on a stretch of elements: copies, and combinations of the ranks' addends in rank order.
///
///     peer_detail::copy_span(slot, from, n);               // by the threads of this block
///     peer_detail::combine_span<2>(peer_detail::addends<float, 2>{{a, b}, 2}, peer_detail::targets<float, 1>{{y}, 1}, n);
///
/// Tiling: a thread moves packs of 16 bytes where the addresses allow (packing_of), several at once so that about eight loads are
/// under way. bf16 and f16 are widened, combined in f32 and rounded once; integers wrap around; a NaN stays, in max and min too.
#include <type_traits>
#include <shardproof/backend/cuda/map.cuh>
#include <shardproof/engine/cuda/peer_table.cuh>
#include <shardproof/runtime/communicator.hpp>
namespace shardproof::cuda::peer_detail {

__device__ inline unsigned misaligned(const void* p) { return unsigned(reinterpret_cast<std::uintptr_t>(p) & 15); }

/// Elements that are only moved: of so many bytes, whatever they hold.
template <int Bytes> struct alignas(Bytes) element { unsigned char of[Bytes]; };
template <class F> decltype(auto) visit_size(dtype t, F&& f) {
  switch (bytes_of(t)) {
    case 8: return f(element<8>{});
    case 4: return f(element<4>{});
    case 2: return f(element<2>{});
    default: return f(element<1>{});
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

/// f(r) for each of `ranks` ranks; P of them if P is not 0.
template <int P, class F> __device__ void each_rank(int ranks, F f) {
#pragma unroll
  for (int r = 0; r < (P ? P : most_peers); ++r)
    if (P || r < ranks) f(r);
}

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

/// Where elements come from, rank by rank. With P ranks known they are summed; with 0 any number is combined by `how`.
template <class T, int P> struct addends {
  static constexpr int room = P ? P : most_peers;
  const T* from[room];
  int ranks;
  reduction how = reduction::sum;
};
/// All get the same.
template <class T, int Q> struct targets {
  T* to[Q ? Q : most_peers];
  int count;
};

/// Elements at, ..., at + N - 1 of all ranks combined. All are read before anything is written.
template <int N, class T, int P> __device__ pack<T, N> combination(const addends<T, P>& a, long at) {
  using C = decltype(widen(T{}));
  pack<T, N> in[addends<T, P>::room];
  each_rank<P>(a.ranks, [&](int r) { in[r] = pack_at<N>(a.from[r] + at, 0); });
  C all[N];
#pragma unroll
  for (int k = 0; k < N; ++k) all[k] = load<C>(in[0].of, k);
  each_rank<P>(a.ranks, [&](int r) {
    if (r == 0) return;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const C x = load<C>(in[r].of, k);
      if constexpr (P != 0) all[k] = sum_of(all[k], x);
      else all[k] = combined(a.how, all[k], x);
    }
  });
  pack<T, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k) store(out.of, k, all[k]);
  return out;
}
template <int N, class T, int Q> __device__ void put(const targets<T, Q>& y, long at, const pack<T, N>& x) {
  each_rank<Q>(y.count, [&](int r) { pack_at<N>(y.to[r] + at, 0) = x; });
}

/// All targets get the combination of n elements. A target may be an addend, as a thread reads what it writes before.
template <int P, int Q, class T> __device__ void combine_span(const addends<T, P>& a, const targets<T, Q>& y, long n) {
  constexpr int size = 16 / int(sizeof(T)), several = P == 2 ? 4 : P == 4 ? 2 : 1;
  const unsigned first = misaligned(a.from[0]);
  bool alike = true;
  each_rank<P>(a.ranks, [&](int r) { alike &= misaligned(a.from[r]) == first; });
  each_rank<Q>(y.count, [&](int r) { alike &= misaligned(y.to[r]) == first; });
  const packing p = packing_of(first, alike, n, sizeof(T));
  each_pack<several>(p.packs, [&](long i) { return combination<size>(a, p.head + i * size); },
                     [&](long i, const pack<T, size>& x) { put<size>(y, p.head + i * size, x); });
  for (long i = threadIdx.x; i < n - p.packs * size; i += blockDim.x) {
    const long at = i < p.head ? i : i + p.packs * size;
    put<1>(y, at, combination<1>(a, at));
  }
}

}  // namespace shardproof::cuda::peer_detail

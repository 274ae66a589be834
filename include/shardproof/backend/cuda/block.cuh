#pragma once
/// @file
/// Sums and maxima over a warp and over a block, in an order that depends on nothing but the number of threads.
///
///     float all = cuda::block_sum(mine);                   // every thread gets it; every thread of the block must call
#include <shardproof/backend/cuda/number.cuh>
namespace shardproof::cuda {

struct plus { template <class T> __device__ T operator()(T a, T b) const { return a + b; } };
/// The greater; a NaN wins, so that it is not lost.
struct greater { template <class T> __device__ T operator()(T a, T b) const { return a != a || a > b ? a : b; } };

template <class T, class F> __device__ T warp_reduce(T v, F f) {
  for (int d = 16; d > 0; d >>= 1) v = f(v, __shfl_xor_sync(~0u, v, d));
  return v;
}
/// Blocks are whole warps, 1024 threads at most.
template <class T, class F> __device__ T block_reduce(T v, F f, T nothing) {
  __shared__ T of_warp[32];
  const unsigned warps = blockDim.x / 32, lane = threadIdx.x % 32;
  v = warp_reduce(v, f);
  if (warps == 1) return v;
  __syncthreads();                                       // a former call's numbers have been read
  if (lane == 0) of_warp[threadIdx.x / 32] = v;
  __syncthreads();
  return warp_reduce(lane < warps ? of_warp[lane] : nothing, f);
}
template <class T> __device__ T warp_sum(T v) { return warp_reduce(v, plus{}); }
template <class T> __device__ T block_sum(T v) { return block_reduce(v, plus{}, T(0)); }
template <class T> __device__ T block_max(T v, T nothing) { return block_reduce(v, greater{}, nothing); }

}  // namespace shardproof::cuda

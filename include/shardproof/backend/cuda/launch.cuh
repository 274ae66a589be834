#pragma once
/// @file
/// How kernels are launched on this rank's queue.
///
///     cuda::launch("fill", fill_kernel<float>, cuda::over(n), y, n, value);                  // a thread an element, in strides
///     cuda::launch("rms_norm", norm_kernel<float>, cuda::rows(r, n), y, x, r, n);            // a block a row, in strides
///
/// A kernel loops: it is right for any geometry. Nothing is launched where there is nothing to do.
#include <shardproof/backend/cuda/geometry.hpp>
#include <shardproof/backend/cuda/queue.cuh>
namespace shardproof::cuda {

/// The first element of this thread, and how far its next one is.
__device__ inline long first_index() { return long(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline long index_stride() { return long(gridDim.x) * blockDim.x; }

/// Queues `kernel` with `g` (see geometry.hpp). Arguments are converted to the kernel's parameters.
template <class... P, class... A> void launch(const char* name, void (*kernel)(P...), const geometry& g, A&&... a) {
  if (g.blocks == 0 || g.blocks_y == 0 || g.blocks_z == 0) return;
  cudaLaunchAttribute together[1];
  together[0].id = cudaLaunchAttributeCooperative;
  together[0].val.cooperative = 1;
  cudaLaunchConfig_t c{};
  c.gridDim = dim3(g.blocks, g.blocks_y, g.blocks_z);
  c.blockDim = dim3(g.threads);
  c.dynamicSmemBytes = g.shared_bytes;
  c.stream = own_queue().stream;
  c.attrs = together;
  c.numAttrs = g.cooperative ? 1 : 0;
  if (g.shared_bytes > plain_shared_bytes)               // more than the default has to be asked for
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(g.shared_bytes)), name);
  check(cudaLaunchKernelEx(&c, kernel, P(a)...), name);
}

}  // namespace shardproof::cuda

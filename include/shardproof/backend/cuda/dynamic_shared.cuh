#pragma once
/// @file
/// A block's dynamic shared memory, as large as its launch says (`geometry::shared_bytes`).
///
///     float* tile = cuda::dynamic_shared<float>();
#include <cuda_runtime.h>
namespace shardproof::cuda {

template <class T> __device__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char shardproof_shared[];
  return reinterpret_cast<T*>(shardproof_shared);
}

}  // namespace shardproof::cuda

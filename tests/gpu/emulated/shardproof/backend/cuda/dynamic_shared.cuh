#pragma once
/// @file
/// Stands before the library's header of the same name where CUDA is emulated.
#include <cuda_runtime.h>
namespace shardproof::cuda {
template <class T> T* dynamic_shared() { return reinterpret_cast<T*>(cuda_emulated::self().dynamic.data()); }
}  // namespace shardproof::cuda

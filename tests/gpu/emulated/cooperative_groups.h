#pragma once
/// @file
/// The grid of a cooperative launch of the emulated CUDA.
#include <cuda_runtime.h>
namespace cooperative_groups {
struct grid_group { void sync() const { cuda_emulated::pass(cuda_emulated::self().grid); } };
inline grid_group this_grid() { return {}; }
}  // namespace cooperative_groups

/// @file
/// The kernels of device cuda, in the one file that nvcc compiles.
//! [include]
#include <shardproof/backend/cuda.cuh>                  // registers device `cuda`
//! [include]

#pragma once
/// @file
/// The CUDA runtime's answers as the library's errors.
///
///     cuda::check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "a stream");     // SP504 without a GPU, SP506 where it failed
///     if (cuda::devices() == 0) std::puts("no GPU");
///
/// Errors of kernels show at a later call of the same rank; CUDA_LAUNCH_BLOCKING=1 or compute-sanitizer names the kernel.
#include <string>
#include <cuda_runtime.h>
#include <shardproof/core/error.hpp>
namespace shardproof::cuda {

/// How many devices there are; 0 without a driver.
inline int devices() {
  int n = 0;
  return cudaGetDeviceCount(&n) == cudaSuccess ? n : (cudaGetLastError(), 0);
}
/// Is e about a device that is not there (rather than one that failed)?
constexpr bool is_absence(cudaError_t e) { return e == cudaErrorNoDevice || e == cudaErrorInsufficientDriver || e == cudaErrorInvalidDevice; }

[[noreturn]] inline void refuse(cudaError_t e, const char* what) {
  (void)cudaGetLastError();
  if (is_absence(e))
    throw error(code::no_device, std::string("no such device: cuda (") + cudaGetErrorString(e) + ").", "use device cpu, or install a GPU's driver.");
  throw error(code::device_failed, std::string("device cuda failed at ") + what + ": " + cudaGetErrorName(e) + ", " + cudaGetErrorString(e) + ".",
              "read the first error of any rank; run under compute-sanitizer if it is this one.");
}
/// @error SP504 no driver or no device; SP506 anything else.
inline void check(cudaError_t e, const char* what) {
  if (e != cudaSuccess) [[unlikely]] refuse(e, what);
}

}  // namespace shardproof::cuda

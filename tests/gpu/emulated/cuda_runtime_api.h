#pragma once
/// @file
/// The host's half of the emulated CUDA runtime, which is not apart here.
#include <cuda_runtime.h>

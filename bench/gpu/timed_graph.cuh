#pragma once
/// @file
/// Kernels as a CUDA graph of this rank, and how long it takes on the device.
///
///     bench::timed_graph g([&] { for (int i = 0; i < 100; ++i) sp::cuda::add(y, y, x); });
///     const double each = g.microseconds() / 100;          // without the time that the host needs to launch
#include <shardproof/backend/cuda/capture.cuh>
namespace bench {
namespace sp = shardproof;
namespace cu = shardproof::cuda;

class timed_graph {
  cu::captured* step_ = nullptr;
  cudaEvent_t from_ = nullptr, to_ = nullptr;

 public:
  /// Whatever the body does for the first time only (choosing algorithms, tables) has been done before.
  template <class F> explicit timed_graph(F&& body) {
    cu::begin_capture(true);
    try {
      body();
      step_ = cu::end_capture();
    } catch (...) {
      cu::abandon_capture();
      throw;
    }
    cu::check(cudaEventCreate(&from_), "an event");
    cu::check(cudaEventCreate(&to_), "an event");
  }
  timed_graph(const timed_graph&) = delete;
  timed_graph& operator=(const timed_graph&) = delete;
  ~timed_graph() {
    cu::drop_captured(step_);
    (void)cudaEventDestroy(from_);
    (void)cudaEventDestroy(to_);
  }
  double microseconds() const {
    const cudaStream_t s = cu::own_queue().stream;
    float ms = 0;
    cu::check(cudaEventRecord(from_, s), "an event");
    cu::run_captured(step_);
    cu::check(cudaEventRecord(to_, s), "an event");
    cu::check(cudaEventSynchronize(to_), "a graph");
    cu::check(cudaEventElapsedTime(&ms, from_, to_), "a time");
    return double(ms) * 1e3;
  }
};

/// Device memory for a scope.
struct memory {
  std::size_t bytes;
  void* p;
  explicit memory(long n) : bytes(std::size_t(n)), p(cu::take(bytes)) {}
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;
  ~memory() { cu::give(p, bytes); }
};

/// main's frame: SP504 is 2, any other failure 1.
template <class F> int run(F&& body) {
  try {
    return body();
  } catch (const sp::error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return e.which() == sp::code::no_device ? 2 : 1;
  }
}

}  // namespace bench

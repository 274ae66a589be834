#pragma once
/// @file
/// Device memory, in the order of a rank's queue: blocks come from the device's pool and go back to it without waiting.
///
///     void* p = cuda::take(1 << 20);  cuda::give(p, 1 << 20);
///     const cuda::scratch<float> sums(n);                  // until the scope ends
///     cuda::upload(y, host);                               // the host's array may change at once
///     cuda::download(host, y);                             // waits
#include <cstring>
#include <deque>
#include <utility>
#include <shardproof/backend/cuda/queue.cuh>
namespace shardproof::cuda {

namespace detail {
[[noreturn]] inline void out_of_memory(std::size_t bytes, const queue& q) {
  std::size_t free = 0, total = 0;
  (void)cudaGetLastError();
  (void)cudaMemGetInfo(&free, &total);
  const auto mb = [](double n) { return std::to_string(long(n / 1e6 + 0.5)) + " MB"; };
  throw error(code::device_failed,
              "not enough memory on device cuda:" + std::to_string(q.device) + ": a tensor of " + std::to_string(bytes) + " bytes was asked for, this rank holds " +
                  mb(double(q.bytes)) + ", and " + mb(double(free)) + " of " + mb(double(total)) + " are free.",
              "use more ranks, a smaller batch, or fewer positions.");
}
}  // namespace detail

namespace detail {
/// Lets go of the memory of dropped steps that no tensor holds any more.
inline void sweep(queue& q) {
  std::erase_if(q.dropped, [&](arena* a) {
    if (a->held()) return false;
    std::erase(q.arenas, a);
    delete a;
    return true;
  });
}
inline bool give_to_arena(queue& q, void* p) {
  for (arena* a : q.arenas)
    if (a->holds(p)) {
      a->give(p);
      if (!q.dropped.empty()) sweep(q);
      return true;
    }
  return false;
}
}  // namespace detail

/// @error SP506 with what was asked for, what this rank holds, and what there is.
inline void* take(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  queue& q = own_queue();
  void* p = nullptr;
  if (q.capture) p = q.capture->take(bytes);
  else {
    const cudaError_t e = cudaMallocFromPoolAsync(&p, bytes, q.pool, q.stream);
    if (e == cudaErrorMemoryAllocation) detail::out_of_memory(bytes, q);
    check(e, "an allocation");
  }
  q.bytes += long(bytes);
  if (q.bytes > q.peak) q.peak = q.bytes;
  return p;
}
inline void give(void* p, std::size_t bytes) noexcept {
  if (!p) return;
  queue& q = own_queue();
  if (!q.arenas.empty() && detail::give_to_arena(q, p)) {
    q.bytes -= long(bytes);
    return;
  }
  if (q.capture) return q.later.emplace_back(p, bytes), void();            // the step may still read it
  (void)cudaFreeAsync(p, q.stream);                      // an error here is an earlier one, and is told where the rank next waits
  q.bytes -= long(bytes);
}

/// An array of n uninitialised T for the length of a scope; none where n is 0.
template <class T> class scratch {
  std::size_t bytes_;

 public:
  T* const p;
  explicit scratch(long n) : bytes_(std::size_t(n) * sizeof(T)), p(static_cast<T*>(take(bytes_))) {}
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() { give(p, bytes_); }
};

/// Free memory of the device that this rank was given, else of all: whoever asks about a device takes some of it.
inline double available_bytes() {
  const int mine = own_queue().device;
  double sum = 0;
  for (int d = 0; d < devices(); ++d) {
    if (device_of_rank >= 0 && d != mine) continue;
    std::size_t free = 0, total = 0;
    check(cudaSetDevice(d), "the choice of a device");
    check(cudaMemGetInfo(&free, &total), "its memory");
    sum += double(free);
  }
  check(cudaSetDevice(mine), "the choice of a device");
  return sum;
}

namespace detail {
/// Host memory that the device reads at a later time. Blocks are used again once the queue has passed them.
class staging {
  struct block { char* p; std::size_t bytes; cudaEvent_t passed; };
  std::deque<block> blocks_;
  std::vector<char*> captured_;                          // the graph reads these whenever it runs

 public:
  std::vector<char*> let_go() { return std::exchange(captured_, {}); }
  void capture(void* to, const void* host, std::size_t bytes, cudaStream_t stream) {
    void* p = nullptr;
    check(cudaHostAlloc(&p, bytes, cudaHostAllocPortable), "memory of the host");
    captured_.push_back(static_cast<char*>(p));
    std::memcpy(p, host, bytes);
    check(cudaMemcpyAsync(to, p, bytes, cudaMemcpyHostToDevice, stream), "a copy to the device");
  }
  void send(void* to, const void* host, std::size_t bytes, cudaStream_t stream) {
    block b{};
    if (!blocks_.empty() && blocks_.front().bytes >= bytes && cudaEventQuery(blocks_.front().passed) == cudaSuccess) {
      b = blocks_.front();
      blocks_.pop_front();
    } else {
      (void)cudaGetLastError();                          // "not ready" is no error
      void* p = nullptr;
      b.bytes = bytes < 4096 ? 4096 : bytes;
      check(cudaHostAlloc(&p, b.bytes, cudaHostAllocPortable), "memory of the host");
      check(cudaEventCreateWithFlags(&b.passed, cudaEventDisableTiming), "an event");
      b.p = static_cast<char*>(p);
    }
    std::memcpy(b.p, host, bytes);
    check(cudaMemcpyAsync(to, b.p, bytes, cudaMemcpyHostToDevice, stream), "a copy to the device");
    check(cudaEventRecord(b.passed, stream), "an event");
    blocks_.push_back(b);
  }
};
/// Larger arrays are copied while the host waits: that is rare (weights), and memory that may not be paged is dear.
inline constexpr std::size_t staged_bytes = 64 * 1024;
inline staging& own_staging() { static thread_local staging& s = *new staging; return s; }   // events may outlive their thread's queue
}  // namespace detail

inline void upload(const view& to, const void* host) {
  const std::size_t bytes = to.bytes();
  if (bytes == 0) return;
  queue& q = own_queue();
  const cudaStream_t s = q.stream;
  if (q.capture) return detail::own_staging().capture(to.p, host, bytes, s);
  if (bytes <= detail::staged_bytes) return detail::own_staging().send(to.p, host, bytes, s);
  check(cudaMemcpyAsync(to.p, host, bytes, cudaMemcpyHostToDevice, s), "a copy to the device");
  check(cudaStreamSynchronize(s), "a copy to the device");
}
/// Notes are hashes: FNV-1a over the bytes and their number.
inline void note_upload(const view& to, const void* host) {
  queue& q = own_queue();
  if (!q.watched) [[likely]] return;
  const std::size_t bytes = to.bytes();
  std::uint64_t h = 14695981039346656037ull ^ bytes;
  for (std::size_t i = 0; i < bytes; ++i) h = (h ^ static_cast<const unsigned char*>(host)[i]) * 1099511628211ull;
  q.uploads.push_back(h);
}
inline std::vector<std::uint64_t> watch_uploads(bool on) {
  queue& q = own_queue();
  q.watched = on;
  return std::exchange(q.uploads, {});
}
/// @error SP001 inside a captured step, which runs later.
inline void refuse_in_capture(const char* what) {
  if (own_queue().capture) [[unlikely]]
    throw error(code::usage, std::string("a captured step ") + what + ", and it runs later.", "read after sp::replay has run it; take what differs from step to step out of it.");
}
/// Waits until this rank's work is done.
inline void wait() {
  refuse_in_capture("waits for its own kernels");
  check(cudaStreamSynchronize(own_queue().stream), "the work of this rank");
  if (device_link.after_wait) device_link.after_wait();
}
inline void download(void* host, const view& from) {
  refuse_in_capture("reads numbers of the device");
  const cudaStream_t s = own_queue().stream;
  if (from.bytes()) check(cudaMemcpyAsync(host, from.p, from.bytes(), cudaMemcpyDeviceToHost, s), "a copy from the device");
  check(cudaStreamSynchronize(s), "the work before a copy from the device");
  if (device_link.after_wait) device_link.after_wait();
}

}  // namespace shardproof::cuda

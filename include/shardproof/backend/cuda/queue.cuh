#pragma once
/// @file
/// A rank's queue: its device, its stream, and its memory.
///
///     cuda::queue& q = cuda::own_queue();                  // of this thread; made at its first use
///     cuda::check(cudaMemsetAsync(p, 0, 64, q.stream), "a clear");
///
/// Ranks of one process are threads; rank r uses device r modulo their number, so that all share one where there is one (virtual
/// ranks); an engine of processes may say which. Everything of a rank runs in one stream, in order. Queues outlive their threads: a tensor may be released late.
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>
#include <shardproof/backend/cuda/api.cuh>
#include <shardproof/backend/cuda/arena.hpp>
#include <shardproof/runtime/context.hpp>
#include <shardproof/runtime/device_stream.hpp>
namespace shardproof::cuda {

struct queue {
  int device = 0;
  int processors = 1;                                    ///< of the device
  cudaStream_t stream = nullptr;
  cudaMemPool_t pool = nullptr;
  long bytes = 0, peak = 0;                              ///< of tensors on this rank
  cudaEvent_t marks[4]{};                                ///< made in turn
  unsigned next_mark = 0;
  arena* capture = nullptr;                              ///< where tensors lie while a step is captured
  bool watched = false;                                  ///< uploads are noted
  std::vector<std::uint64_t> uploads;
  bool begins = false;                                   ///< this rank began the capture, rather than joining it
  std::vector<std::pair<void*, std::size_t>> later;      ///< released inside a capture, from before it
  std::vector<arena*> arenas, dropped;                   ///< of all captured steps; those of dropped ones go with their last tensor
};

namespace detail {
/// The process's queues, those that no thread uses among them. Never destroyed, as the driver may be gone before it would be.
struct all_queues {
  std::mutex lock;
  std::vector<queue*> free;
  std::vector<std::pair<queue*, arena*>> orphans;        ///< of steps that another thread than their rank's dropped
};
inline all_queues& queues() { static all_queues& q = *new all_queues; return q; }

/// Peers may read each other's pools where the devices can.
inline void open_to_peers(cudaMemPool_t pool, int device, int count) {
  for (int d = 0; d < count; ++d) {
    int reachable = 0;
    if (d == device || cudaDeviceCanAccessPeer(&reachable, device, d) != cudaSuccess || !reachable) continue;
    const cudaError_t e = cudaDeviceEnablePeerAccess(d, 0);
    if (e == cudaErrorPeerAccessAlreadyEnabled) (void)cudaGetLastError();
    else check(e, "peer access");
    const cudaMemAccessDesc both{{cudaMemLocationTypeDevice, d}, cudaMemAccessFlagsProtReadWrite};
    check(cudaMemPoolSetAccess(pool, &both, 1), "a peer's access to memory");
  }
}
inline queue* make_queue(int device, int count) {
  auto q = std::make_unique<queue>();
  q->device = device;
  check(cudaDeviceGetAttribute(&q->processors, cudaDevAttrMultiProcessorCount, device), "the device's properties");
  check(cudaStreamCreateWithFlags(&q->stream, cudaStreamNonBlocking), "a stream");
  check(cudaDeviceGetDefaultMemPool(&q->pool, device), "the memory pool");
  for (cudaEvent_t& m : q->marks) check(cudaEventCreateWithFlags(&m, cudaEventDisableTiming), "an event");
  unsigned long long keep = ~0ull;                       // blocks come back from the pool, not from the driver
  check(cudaMemPoolSetAttribute(q->pool, cudaMemPoolAttrReleaseThreshold, &keep), "the memory pool");
  open_to_peers(q->pool, device, count);
  return q.release();
}
/// At a rank's end its work is waited for; the queue goes to the next rank that asks.
struct holder {
  queue* q = nullptr;
  ~holder();
};
inline thread_local queue* mine = nullptr;
inline thread_local holder hold;
inline holder::~holder() {
  if (!q) return;
  mine = nullptr;
  if (q->capture) return;                                // an error left it inside a capture: nobody can use it again
  (void)cudaStreamSynchronize(q->stream);
  const std::lock_guard lock(queues().lock);
  queues().free.push_back(q);
}
[[gnu::noinline]] inline queue& take_queue() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "the list of devices");
  if (count == 0) refuse(cudaErrorNoDevice, "the list of devices");
  const spot& s = self.where;
  const int world_rank = s.rank[0] + s.ranks[0] * (s.rank[1] + s.ranks[1] * s.rank[2]);
  const int device = device_of_rank >= 0 ? device_of_rank : world_rank % count;
  check(cudaSetDevice(device), "the choice of a device");
  {
    const std::lock_guard lock(queues().lock);
    auto& free = queues().free;
    for (std::size_t i = 0; i < free.size(); ++i)
      if (free[i]->device == device) {
        mine = free[i];
        free.erase(free.begin() + long(i));
        break;
      }
    std::erase_if(queues().orphans, [](const auto& o) {
      if (o.first == mine) mine->dropped.push_back(o.second);
      return o.first == mine;
    });
  }
  if (!mine) mine = make_queue(device, count);
  mine->bytes = mine->peak = 0;                          // what an earlier rank left behind is not this one's
  hold.q = mine;
  return *mine;
}
}  // namespace detail

/// Of this thread. @error SP504 without a device.
inline queue& own_queue() { return detail::mine ? *detail::mine : detail::take_queue(); }

/// How far this rank's queue has come. A mark that is made again meanwhile is a later one: whoever waits for it waits longer.
inline void* mark() {
  queue& q = own_queue();
  cudaEvent_t& m = q.marks[q.next_mark++ % 4];
  check(cudaEventRecord(m, q.stream), "an event");
  return m;
}
/// What this rank queues from here on waits for another rank's mark.
inline void wait_for(void* mark) { check(cudaStreamWaitEvent(own_queue().stream, static_cast<cudaEvent_t>(mark), 0), "a wait for another rank"); }
/// May kernels of this rank use this address?
inline bool holds(const void* p) {
  cudaPointerAttributes a{};
  if (cudaPointerGetAttributes(&a, p) == cudaSuccess) return a.type == cudaMemoryTypeDevice || a.type == cudaMemoryTypeManaged;
  (void)cudaGetLastError();
  return false;
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// CUDA without a GPU: the part of the runtime that the library's kernels use, on the host, so that their code runs in any test.
///
///     g++ -std=c++20 -Itests/gpu/emulated -Iinclude test.cpp           // `#include <cuda_runtime.h>` finds this file first
///
/// A launch runs its blocks one after the other (all at once where it is cooperative) and the threads of a block as fibers that
/// change at barriers and shuffles only, so that a missing barrier shows as a wrong number: the environment variable
/// SHARDPROOF_EMULATED_ORDER (forward, backward, random) says who goes first. Fresh memory is all ones (NaN as a float), and writes
/// behind a block's end are noticed when it is released. Queues are immediate; each thread of the host launches by itself.
#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>
#include <ucontext.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __restrict__ __restrict
#define __shared__ static thread_local
#define __align__(n) alignas(n)
#define __CUDA_EMULATED__ 1

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {} };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) int4 { int x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

inline thread_local uint3 threadIdx{}, blockIdx{};
inline thread_local dim3 blockDim{}, gridDim{};
inline constexpr int warpSize = 32;

namespace cuda_emulated {

[[noreturn]] inline void wrong(const char* what) {
  std::fprintf(stderr, "emulated CUDA: %s (block %u,%u,%u thread %u)\n", what, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x);
  std::abort();
}

/// One thread of a kernel: a stack that is kept from launch to launch.
struct fiber {
  static constexpr std::size_t stack_bytes = 128 * 1024;
  std::unique_ptr<char[]> stack{new char[stack_bytes]};
  jmp_buf here;
  bool started = false, done = false;
  uint3 thread{}, block{};
  unsigned waits_for = 0;                      ///< generation of the barrier it waits at; 0: it runs
  struct meeting* at = nullptr;
};
/// Where threads wait for each other: a warp's lanes, a block, a grid.
struct meeting {
  unsigned members = 0, arrived = 0, left = 0, generation = 1;
};
struct warp {
  meeting gate;
  std::array<std::array<unsigned char, 16>, 32> slots{};
};
struct block {
  meeting gate;
  std::vector<warp> warps;
};

/// What one thread of the host runs at a time.
struct machine {
  std::vector<std::unique_ptr<fiber>> fibers;
  jmp_buf host;
  fiber* now = nullptr;
  block* block_now = nullptr;
  std::vector<block> blocks;
  meeting grid;
  const std::function<void()>* body = nullptr;
  std::vector<unsigned char> dynamic;
  std::uint64_t random = 88172645463325252ull;
};
inline machine& self() {
  static thread_local machine* m = new machine;                      // outlives what is destroyed at a thread's end
  return *m;
}

enum class order { forward, backward, random };
inline order order_of_threads() {
  static const order o = [] {
    const char* v = std::getenv("SHARDPROOF_EMULATED_ORDER");
    return !v || !std::strcmp(v, "forward") ? order::forward : !std::strcmp(v, "backward") ? order::backward : order::random;
  }();
  return o;
}

inline void to_host() {
  machine& m = self();
  if (_setjmp(m.now->here) == 0) _longjmp(m.host, 1);
}
/// Leaves once all that are still there have arrived.
inline void pass(meeting& g) {
  machine& m = self();
  const unsigned mine = g.generation;
  if (++g.arrived + g.left == g.members) { g.arrived = 0; ++g.generation; return; }
  m.now->waits_for = mine;
  m.now->at = &g;
  while (g.generation == mine) to_host();
  m.now->at = nullptr;
}
inline void leave(meeting& g) {
  ++g.left;
  if (g.arrived && g.arrived + g.left == g.members) { g.arrived = 0; ++g.generation; }
}

inline void fiber_main() {
  machine& m = self();
  for (;;) {
    (*m.body)();
    m.now->done = true;
    leave(m.block_now->warps[m.now->thread.x / 32].gate);
    leave(m.block_now->gate);
    leave(m.grid);
    to_host();
  }
}
/// Runs fiber f until it waits or is done.
inline void resume(fiber& f, block& b) {
  machine& m = self();
  m.now = &f;
  m.block_now = &b;
  threadIdx = f.thread;
  blockIdx = f.block;
  if (_setjmp(m.host) != 0) return;
  if (f.started) _longjmp(f.here, 1);
  f.started = true;
  ucontext_t start;
  getcontext(&start);
  start.uc_stack.ss_sp = f.stack.get();
  start.uc_stack.ss_size = fiber::stack_bytes;
  start.uc_link = nullptr;
  makecontext(&start, fiber_main, 0);
  setcontext(&start);
}

/// Runs `count` blocks from number `first` on together.
inline void run_blocks(dim3 g, unsigned threads, unsigned long first, unsigned long count) {
  machine& m = self();
  const std::size_t n = count * threads;
  while (m.fibers.size() < n) m.fibers.push_back(std::make_unique<fiber>());
  m.blocks.assign(count, {});
  for (unsigned long k = 0; k < count; ++k) {
    block& b = m.blocks[k];
    b.gate.members = threads;
    b.warps.resize((threads + 31) / 32);
    for (unsigned w = 0; w < b.warps.size(); ++w) b.warps[w].gate.members = std::min(32u, threads - 32 * w);
    const unsigned long id = first + k;
    for (unsigned t = 0; t < threads; ++t) {
      fiber& f = *m.fibers[k * threads + t];
      f.done = false;
      f.at = nullptr;
      f.thread = {t, 0, 0};
      f.block = {unsigned(id % g.x), unsigned(id / g.x % g.y), unsigned(id / g.x / g.y)};
    }
  }
  m.grid = {unsigned(n), 0, 0, 1};
  const auto shift = [&](std::size_t of) -> std::size_t {
    if (order_of_threads() != order::random) return 0;
    m.random ^= m.random << 13; m.random ^= m.random >> 7; m.random ^= m.random << 17;
    return m.random % of;
  };
  const auto nth = [](std::size_t i, std::size_t of, std::size_t by) { return order_of_threads() == order::backward ? of - 1 - i : (i + by) % of; };
  std::size_t finished = 0;
  const auto step = [&](std::size_t k) {       // each thread of block k until it waits
    bool moved = false;
    const std::size_t by = shift(threads);
    for (std::size_t i = 0; i < threads; ++i) {
      fiber& f = *m.fibers[k * threads + nth(i, threads, by)];
      if (f.done || (f.at && f.at->generation == f.waits_for)) continue;
      moved = true;
      resume(f, m.blocks[k]);
      finished += f.done;
    }
    return moved;
  };
  while (finished < n) {
    bool moved = false;
    const std::size_t by = shift(count);
    for (std::size_t i = 0; i < count; ++i)    // a block goes on until all its threads wait for others, as __shared__ is the running one's
      while (step(nth(i, count, by))) moved = true;
    if (!moved) wrong("threads wait at different barriers");
  }
}

struct launch_shape { dim3 grid, block; std::size_t shared; bool cooperative; };
inline std::atomic<long> launches{0};
inline void launch(const launch_shape& s, const std::function<void()>& body) {
  machine& m = self();
  const unsigned long blocks = (unsigned long)s.grid.x * s.grid.y * s.grid.z;
  if (m.now) wrong("a kernel launches a kernel");
  if (s.block.y != 1 || s.block.z != 1) wrong("blocks of more than one dimension are not emulated");
  m.body = &body;
  m.dynamic.assign(s.shared, 0xff);
  gridDim = s.grid;
  blockDim = s.block;
  if (s.cooperative) run_blocks(s.grid, s.block.x, 0, blocks);
  else for (unsigned long b = 0; b < blocks; ++b) run_blocks(s.grid, s.block.x, b, 1);
  m.now = nullptr;
  ++launches;
}

template <class T> T exchange(unsigned mask, T v, unsigned from) {
  static_assert(sizeof(T) <= 16);
  machine& m = self();
  warp& w = m.block_now->warps[m.now->thread.x / 32];
  if (mask != ~0u && mask != (w.gate.members == 32 ? ~0u : (1u << w.gate.members) - 1)) wrong("a shuffle of part of a warp is not emulated");
  const unsigned lane = m.now->thread.x % 32;
  std::memcpy(w.slots[lane].data(), &v, sizeof v);
  pass(w.gate);
  T out = v;
  if (from < w.gate.members) std::memcpy(&out, w.slots[from].data(), sizeof out);
  pass(w.gate);
  return out;
}

// ---- memory
inline std::mutex memory_lock;
inline std::unordered_map<void*, std::size_t> memory;
inline std::size_t memory_used = 0, memory_limit = std::size_t(1) << 40;
inline std::size_t memory_kept = 0;                      ///< released to the pool, which has it until it is trimmed
inline constexpr std::size_t guard = 256;
}  // namespace cuda_emulated

// ---- what kernels call
inline void __syncthreads() { cuda_emulated::pass(cuda_emulated::self().block_now->gate); }
inline void __syncwarp(unsigned = ~0u) { cuda_emulated::machine& m = cuda_emulated::self(); cuda_emulated::pass(m.block_now->warps[m.now->thread.x / 32].gate); }
template <class T> T __shfl_sync(unsigned mask, T v, int from, int width = 32) {
  const int lane = int(threadIdx.x % 32);
  return cuda_emulated::exchange(mask, v, unsigned(lane / width * width + from % width));
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int bits) { return cuda_emulated::exchange(mask, v, threadIdx.x % 32 ^ unsigned(bits)); }
template <class T> T __shfl_down_sync(unsigned mask, T v, unsigned by) { return cuda_emulated::exchange(mask, v, threadIdx.x % 32 + by < 32 ? threadIdx.x % 32 + by : threadIdx.x % 32); }
inline unsigned __ballot_sync(unsigned mask, bool p) {
  unsigned all = 0;
  for (unsigned i = 0; i < 32; ++i) {
    cuda_emulated::machine& m = cuda_emulated::self();
    if (i >= m.block_now->warps[m.now->thread.x / 32].gate.members) break;
    all |= unsigned(cuda_emulated::exchange(mask, int(p), i) != 0) << i;
  }
  return all;
}
inline bool __any_sync(unsigned mask, bool p) { return __ballot_sync(mask, p) != 0; }
inline int __syncthreads_or(int p) {
  __shared__ int any;
  __syncthreads();
  any = 0;
  __syncthreads();
  if (p) any = 1;
  __syncthreads();
  const int out = any;
  __syncthreads();
  return out;
}
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __ffs(unsigned x) { return x ? std::countr_zero(x) + 1 : 0; }
inline int __clz(int x) { return std::countl_zero(unsigned(x)); }
template <class T, class V> T atomicAdd(T* p, V v) { return std::atomic_ref<T>(*p).fetch_add(T(v)); }
template <class T, class V> T atomicMax(T* p, V v) { T old = *p; std::atomic_ref<T> a(*p); while (old < T(v) && !a.compare_exchange_weak(old, T(v))) {} return old; }
template <class T, class V> T atomicMin(T* p, V v) { T old = *p; std::atomic_ref<T> a(*p); while (T(v) < old && !a.compare_exchange_weak(old, T(v))) {} return old; }
template <class T, class C, class V> T atomicCAS(T* p, C c, V v) { T expected = T(c); std::atomic_ref<T>(*p).compare_exchange_strong(expected, T(v)); return expected; }
template <class T, class V> T atomicExch(T* p, V v) { return std::atomic_ref<T>(*p).exchange(T(v)); }
inline void __threadfence() { std::atomic_thread_fence(std::memory_order_seq_cst); }
inline void __threadfence_system() { std::atomic_thread_fence(std::memory_order_seq_cst); }
inline void __nanosleep(unsigned) { std::this_thread::yield(); }
template <class T> T __ldg(const T* p) { return *p; }
inline float __uint_as_float(unsigned u) { return std::bit_cast<float>(u); }
inline unsigned __float_as_uint(float f) { return std::bit_cast<unsigned>(f); }
inline float __int_as_float(int u) { return std::bit_cast<float>(u); }
inline int __float_as_int(float f) { return std::bit_cast<int>(f); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmul_rn(float a, float b) { volatile float p = a * b; return p; }                // never part of a fused multiply-add
inline double __dmul_rn(double a, double b) { volatile double p = a * b; return p; }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((std::uint64_t(a) * b) >> 32); }
inline float fminf_(float a, float b) { return std::fmin(a, b); }
using std::min;
using std::max;

// ---- the host's side
enum cudaError_t {
  cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2, cudaErrorInsufficientDriver = 35, cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101, cudaErrorPeerAccessAlreadyEnabled = 704, cudaErrorNotSupported = 801, cudaErrorNotReady = 600,
  cudaErrorStreamCaptureUnsupported = 900, cudaErrorStreamCaptureUnjoined = 904, cudaErrorStreamCaptureIsolation = 905, cudaErrorCapturedEvent = 907
};
inline const char* cudaGetErrorName(cudaError_t e) { return e == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : e == cudaErrorNoDevice ? "cudaErrorNoDevice" : "cudaError"; }
inline const char* cudaGetErrorString(cudaError_t e) { return e == cudaErrorMemoryAllocation ? "out of memory" : e == cudaErrorNoDevice ? "no CUDA-capable device is detected" : "an emulated error"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaPeekAtLastError() { return cudaSuccess; }

/// What is recorded between the begin and the end of a capture; streams join by waiting for its events. One that has ended stays, as
/// events of it may still be waited for.
struct CUgraph_st {
  std::vector<std::function<void()>> work;
  std::vector<struct CUstream_st*> streams;
  bool ended = false;
};
namespace cuda_emulated {
inline std::mutex capture_lock;                          // of all captures, streams and events
inline std::vector<std::unique_ptr<CUgraph_st>>& captures() { static auto& all = *new std::vector<std::unique_ptr<CUgraph_st>>; return all; }
}  // namespace cuda_emulated
struct CUgraphExec_st { std::vector<std::function<void()>> work; };
struct CUstream_st { int device; CUgraph_st* capture = nullptr; bool origin = false, joined = true; long ops = 0; };
struct CUevent_st { int device; CUgraph_st* capture = nullptr; CUstream_st* by = nullptr; long ops = 0; };
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;
struct CUmemPoolHandle_st { int device; };
using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;
using cudaMemPool_t = CUmemPoolHandle_st*;
enum : unsigned { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocMapped = 2, cudaHostAllocPortable = 1, cudaHostAllocDefault = 0 };
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount, cudaDevAttrCooperativeLaunch, cudaDevAttrMemoryPoolsSupported, cudaDevAttrMaxSharedMemoryPerBlockOptin, cudaDevAttrComputeCapabilityMajor, cudaDevAttrComputeCapabilityMinor };
enum cudaMemPoolAttr { cudaMemPoolAttrReleaseThreshold, cudaMemPoolAttrUsedMemCurrent, cudaMemPoolAttrUsedMemHigh, cudaMemPoolAttrReservedMemCurrent };
enum cudaMemAllocationType { cudaMemAllocationTypePinned = 1 };
enum cudaMemLocationType { cudaMemLocationTypeDevice = 1 };
enum cudaMemAccessFlags { cudaMemAccessFlagsProtReadWrite = 3 };
struct cudaMemLocation { cudaMemLocationType type; int id; };
struct cudaMemAccessDesc { cudaMemLocation location; cudaMemAccessFlags flags; };
struct cudaMemPoolProps { cudaMemAllocationType allocType; int handleTypes; cudaMemLocation location; };

inline int cuda_emulated_devices = 1;
inline thread_local int cuda_emulated_device = 0;
inline cudaError_t cudaGetDeviceCount(int* n) { *n = cuda_emulated_devices; return *n ? cudaSuccess : cudaErrorNoDevice; }
inline cudaError_t cudaSetDevice(int d) { if (d < 0 || d >= cuda_emulated_devices) return cudaErrorInvalidDevice; cuda_emulated_device = d; return cudaSuccess; }
inline cudaError_t cudaGetDevice(int* d) { *d = cuda_emulated_device; return cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int) { *v = a == cudaDevAttrMultiProcessorCount ? 4 : a == cudaDevAttrMaxSharedMemoryPerBlockOptin ? 232448 : 1; return cudaSuccess; }
inline cudaError_t cudaDeviceCanAccessPeer(int* yes, int, int) { *yes = 1; return cudaSuccess; }
inline cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) { return cudaSuccess; }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) { *s = new CUstream_st{cuda_emulated_device}; return cudaSuccess; }
namespace cuda_emulated {
/// Now, or at every launch of the graph that is being captured.
template <class F> cudaError_t queue(cudaStream_t s, F work) {
  {
    const std::lock_guard lock(capture_lock);
    if (s && s->capture) {
      s->capture->work.emplace_back(std::move(work));
      ++s->ops;
      s->joined = false;
      return cudaSuccess;
    }
  }
  work();
  return cudaSuccess;
}
}  // namespace cuda_emulated
inline cudaError_t cudaStreamDestroy(cudaStream_t s) { delete s; return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t s) { return s && s->capture ? cudaErrorStreamCaptureUnsupported : cudaSuccess; }
inline cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned = 0) {
  const std::lock_guard lock(cuda_emulated::capture_lock);
  if (s->capture && e->capture != s->capture) return cudaErrorStreamCaptureIsolation;
  if (!e->capture) return cudaSuccess;
  if (e->capture->ended) return cudaErrorCapturedEvent;
  if (!s->capture) {
    s->capture = e->capture;
    s->capture->streams.push_back(s);
  }
  ++s->ops;
  s->joined = false;
  if (s->origin && e->by->ops == e->ops) e->by->joined = true;
  return cudaSuccess;
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) { *e = new CUevent_st{}; return cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) { const std::lock_guard lock(cuda_emulated::capture_lock); e->capture = s->capture; e->by = s; e->ops = s->ops; return cudaSuccess; }
inline cudaError_t cudaEventCreate(cudaEvent_t* e) { return cudaEventCreateWithFlags(e, 0); }
namespace cuda_emulated { inline thread_local float elapsed_ms = 1; }                     // what a test wants a piece of work to have lasted
inline cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t) { *ms = cuda_emulated::elapsed_ms; return cudaSuccess; }
namespace cuda_emulated { inline std::atomic<bool> stalled{false}; }                      // a test wants no event to pass
inline cudaError_t cudaEventQuery(cudaEvent_t e) { return e->capture ? cudaErrorCapturedEvent : cuda_emulated::stalled ? cudaErrorNotReady : cudaSuccess; }
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t e) { delete e; return cudaSuccess; }
inline cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* p, int) { static CUmemPoolHandle_st pool{}; *p = &pool; return cudaSuccess; }
inline cudaError_t cudaMemPoolCreate(cudaMemPool_t* p, const cudaMemPoolProps*) { *p = new CUmemPoolHandle_st{}; return cudaSuccess; }
inline cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
inline cudaError_t cudaMemPoolSetAccess(cudaMemPool_t, const cudaMemAccessDesc*, std::size_t) { return cudaSuccess; }
inline cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, std::size_t) {
  const std::lock_guard lock(cuda_emulated::memory_lock);
  cuda_emulated::memory_kept = 0;
  return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const std::lock_guard lock(cuda_emulated::memory_lock);
  *total = cuda_emulated::memory_limit;
  *free = cuda_emulated::memory_limit - cuda_emulated::memory_used - cuda_emulated::memory_kept;
  return cudaSuccess;
}
inline cudaError_t cudaMalloc(void** p, std::size_t bytes) {
  const std::lock_guard lock(cuda_emulated::memory_lock);
  if (cuda_emulated::memory_used + cuda_emulated::memory_kept + bytes > cuda_emulated::memory_limit) return cudaErrorMemoryAllocation;
  *p = std::aligned_alloc(256, (bytes + 255) / 256 * 256 + cuda_emulated::guard);
  std::memset(*p, 0xff, bytes);
  std::memset(static_cast<char*>(*p) + bytes, 0x5a, cuda_emulated::guard);
  cuda_emulated::memory[*p] = bytes;
  cuda_emulated::memory_used += bytes;
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* p) {
  if (!p) return cudaSuccess;
  const std::lock_guard lock(cuda_emulated::memory_lock);
  const auto at = cuda_emulated::memory.find(p);
  if (at == cuda_emulated::memory.end()) cuda_emulated::wrong("memory is released that was not allocated, or twice");
  for (std::size_t i = 0; i < cuda_emulated::guard; ++i)
    if (static_cast<unsigned char*>(p)[at->second + i] != 0x5a) {
      std::fprintf(stderr, "emulated CUDA: %zu bytes behind a block of %zu\n", i, at->second);
      cuda_emulated::wrong("a kernel wrote behind the end of its memory");
    }
  cuda_emulated::memory_used -= at->second;
  std::memset(p, 0xff, at->second);
  cuda_emulated::memory.erase(at);
  std::free(p);
  return cudaSuccess;
}
enum cudaMemoryType { cudaMemoryTypeUnregistered, cudaMemoryTypeHost, cudaMemoryTypeDevice, cudaMemoryTypeManaged };
struct cudaPointerAttributes { cudaMemoryType type; int device; };
inline cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* a, const void* p) {
  const std::lock_guard lock(cuda_emulated::memory_lock);
  *a = {};
  for (const auto& [at, bytes] : cuda_emulated::memory)
    if (p >= at && p < static_cast<const char*>(at) + bytes) a->type = cudaMemoryTypeDevice;
  return cudaSuccess;
}
inline cudaError_t cudaMallocAsync(void** p, std::size_t bytes, cudaStream_t) {
  {
    const std::lock_guard lock(cuda_emulated::memory_lock);
    cuda_emulated::memory_kept -= std::min(cuda_emulated::memory_kept, bytes);
  }
  return cudaMalloc(p, bytes);
}
inline cudaError_t cudaMallocFromPoolAsync(void** p, std::size_t bytes, cudaMemPool_t, cudaStream_t s) { return cudaMallocAsync(p, bytes, s); }
inline cudaError_t cudaFreeAsync(void* p, cudaStream_t) {
  std::size_t bytes = 0;
  {
    const std::lock_guard lock(cuda_emulated::memory_lock);
    if (const auto at = cuda_emulated::memory.find(p); at != cuda_emulated::memory.end()) bytes = at->second;
  }
  const cudaError_t e = cudaFree(p);
  const std::lock_guard lock(cuda_emulated::memory_lock);
  cuda_emulated::memory_kept += bytes;
  return e;
}
inline cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned) { *p = std::calloc(1, bytes); return cudaSuccess; }
inline cudaError_t cudaMallocHost(void** p, std::size_t bytes) { return cudaHostAlloc(p, bytes, 0); }
inline cudaError_t cudaHostGetDevicePointer(void** d, void* h, unsigned) { *d = h; return cudaSuccess; }
inline cudaError_t cudaFreeHost(void* p) { std::free(p); return cudaSuccess; }
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t n, cudaMemcpyKind, cudaStream_t s) { return cuda_emulated::queue(s, [=] { std::memmove(to, from, n); }); }
inline cudaError_t cudaMemcpy(void* to, const void* from, std::size_t n, cudaMemcpyKind) { std::memmove(to, from, n); return cudaSuccess; }
inline cudaError_t cudaMemsetAsync(void* p, int v, std::size_t n, cudaStream_t s) { return cuda_emulated::queue(s, [=] { std::memset(p, v, n); }); }
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

// ---- graphs: a capture keeps its work and runs nothing
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed };
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive, cudaStreamCaptureStatusInvalidated };
inline cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus* is) { *is = s && s->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone; return cudaSuccess; }
inline cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  const std::lock_guard lock(cuda_emulated::capture_lock);
  if (s->capture) return cudaErrorInvalidValue;
  s->capture = cuda_emulated::captures().emplace_back(std::make_unique<CUgraph_st>()).get();
  s->capture->streams.push_back(s);
  s->origin = true;
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* g) {
  *g = nullptr;
  const std::lock_guard lock(cuda_emulated::capture_lock);
  if (!s->capture || !s->origin) return cudaErrorInvalidValue;
  CUgraph_st* const made = s->capture;
  bool joined = true;
  for (CUstream_st* k : made->streams) {
    joined = joined && (k == s || k->joined);
    k->capture = nullptr;
    k->origin = false;
    k->joined = true;
  }
  made->ended = true;
  if (!joined) return cudaErrorStreamCaptureUnjoined;
  *g = made;
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* e, cudaGraph_t g, unsigned long long = 0) { *e = new CUgraphExec_st{g->work}; return cudaSuccess; }
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t) { for (const auto& f : e->work) f(); return cudaSuccess; }
inline cudaError_t cudaGraphDestroy(cudaGraph_t g) { g->work.clear(); return cudaSuccess; }
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e) { delete e; return cudaSuccess; }

enum cudaLaunchAttributeID { cudaLaunchAttributeCooperative = 2 };
union cudaLaunchAttributeValue { int cooperative; };
struct cudaLaunchAttribute { cudaLaunchAttributeID id; cudaLaunchAttributeValue val; };
struct cudaLaunchConfig_t { dim3 gridDim, blockDim; std::size_t dynamicSmemBytes = 0; cudaStream_t stream = nullptr; cudaLaunchAttribute* attrs = nullptr; unsigned numAttrs = 0; };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
template <class K> cudaError_t cudaFuncSetAttribute(K, cudaFuncAttribute, int) { return cudaSuccess; }
template <class K> cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, K, int, std::size_t) { *n = 2; return cudaSuccess; }
template <class... P, class... A> cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* c, void (*kernel)(P...), A&&... a) {
  if (c->blockDim.x == 0 || c->blockDim.x > 1024 || c->gridDim.x == 0 || c->gridDim.y == 0 || c->gridDim.y > 65535 || c->gridDim.z == 0 || c->gridDim.z > 65535 || c->dynamicSmemBytes > 232448)
    return cudaErrorInvalidValue;
  bool cooperative = false;
  for (unsigned i = 0; i < c->numAttrs; ++i) cooperative |= c->attrs[i].id == cudaLaunchAttributeCooperative && c->attrs[i].val.cooperative;
  const cuda_emulated::launch_shape shape{c->gridDim, c->blockDim, c->dynamicSmemBytes, cooperative};
  return cuda_emulated::queue(c->stream, [shape, kernel, ...a = P(a)] { cuda_emulated::launch(shape, [&] { kernel(a...); }); });
}

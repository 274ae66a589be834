#pragma once
/// @file
/// A step of this rank that is queued once and run often, as a CUDA graph.
///
///     cuda::begin_capture(true);  ... kernels ...  cuda::captured* step = cuda::end_capture();
///     cuda::run_captured(step);                            // a launch, whatever the number of kernels
///     cuda::drop_captured(step);
///
/// Ranks of one process are captured together: one of them begins, the others join by waiting for its mark, and their streams are
/// joined again before it ends; its graph then holds the work of all. Tensors of the step lie in an arena of the rank's.
#include <memory>
#include <shardproof/backend/cuda/memory.cuh>
namespace shardproof::cuda {

struct captured {
  cudaGraphExec_t graph = nullptr;                       ///< of the rank that began
  queue* of = nullptr;                                   ///< of the rank whose it is
  arena* memory = nullptr;
  std::vector<char*> sent;                               ///< host memory that the graph copies from
};

namespace detail {
inline void* get_slab(std::size_t bytes) {
  void* p = nullptr;
  const cudaError_t e = cudaMalloc(&p, bytes);
  if (e == cudaErrorMemoryAllocation) out_of_memory(bytes, own_queue());
  check(e, "memory for a captured step");
  return p;
}
inline void drop_slab(void* p, std::size_t) { (void)cudaFree(p); }
}  // namespace detail

/// `first`: this rank begins; else it joins by the next mark it waits for.
inline void begin_capture(bool first) {
  queue& q = own_queue();
  if (q.capture) throw error(code::usage, "a step is captured inside of another one.", "give each its own sp::replay, one after the other.");
  // What the step held when it was run before waits in the pool, and the device would have to hold it twice.
  check(cudaStreamSynchronize(q.stream), "the work before a capture");
  check(cudaMemPoolTrimTo(q.pool, 0), "the memory pool");
  auto of_step = std::make_unique<arena>(detail::get_slab, detail::drop_slab);
  // Other ranks go on allocating while this one captures.
  if (first) check(cudaStreamBeginCapture(q.stream, cudaStreamCaptureModeRelaxed), "the begin of a capture");
  q.begins = first;
  q.capture = of_step.get();
  q.arenas.push_back(of_step.release());
}

/// The step; where this rank joined, after the one that began has ended it.
inline captured* end_capture() {
  queue& q = own_queue();
  auto step = std::make_unique<captured>();
  step->of = &q;
  step->memory = q.capture;
  step->memory->close();
  step->sent = detail::own_staging().let_go();
  q.capture = nullptr;
  for (const auto& [p, bytes] : std::exchange(q.later, {})) give(p, bytes);
  if (!q.begins) return step.release();
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(q.stream, &graph), "the end of a capture");
  const cudaError_t e = cudaGraphInstantiate(&step->graph, graph, 0);
  (void)cudaGraphDestroy(graph);
  if (e != cudaSuccess) {
    for (char* p : step->sent) (void)cudaFreeHost(p);
    q.dropped.push_back(step->memory);
    detail::sweep(q);
  }
  check(e, "the graph of a captured step");
  return step.release();
}
/// After an error inside of the step: nothing of it is kept.
inline void abandon_capture() {
  queue& q = own_queue();
  if (!q.capture) return;
  q.capture->close();
  q.dropped.push_back(std::exchange(q.capture, nullptr));
  for (char* p : detail::own_staging().let_go()) (void)cudaFreeHost(p);
  cudaGraph_t graph = nullptr;
  if (q.begins && cudaStreamEndCapture(q.stream, &graph) == cudaSuccess && graph) (void)cudaGraphDestroy(graph);
  (void)cudaGetLastError();
  for (const auto& [p, bytes] : std::exchange(q.later, {})) give(p, bytes);
  detail::sweep(q);
}

inline void run_captured(captured* step) {
  if (step->graph) check(cudaGraphLaunch(step->graph, own_queue().stream), "a captured step");
}
/// Waits until it has run. Its memory stays as long as tensors of it do.
inline void drop_captured(captured* step) {
  queue& q = *step->of;
  (void)cudaStreamSynchronize(q.stream);
  if (step->graph) (void)cudaGraphExecDestroy(step->graph);
  for (char* p : step->sent) (void)cudaFreeHost(p);
  if (&q == detail::mine) {
    q.dropped.push_back(step->memory);
    detail::sweep(q);
  } else {
    const std::lock_guard lock(detail::queues().lock);
    detail::queues().orphans.emplace_back(&q, step->memory);
  }
  delete step;
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// What kernels tell the host, which looks for it where it waits for the device anyway: in memory of the host that the device writes to,
/// one note for each rank and type.
///
///     struct bad_id { int found; long id; };
///     launch("find", find, g, ids, cuda::note_on_device<bad_id>());               // sets found, and what was
///     if (const auto b = cuda::take_note<bad_id>()) ...                           // after the queue has been waited for
#include <optional>
#include <utility>
#include <shardproof/backend/cuda/queue.cuh>
namespace shardproof::cuda {

namespace detail {
template <class Note> Note& own_note() {
  static thread_local Note* slot = nullptr;
  if (!slot) {
    void* p = nullptr;
    check(cudaHostAlloc(&p, sizeof(Note), cudaHostAllocMapped | cudaHostAllocPortable), "memory of the host");
    slot = static_cast<Note*>(p);
    *slot = {};
  }
  return *slot;
}
}  // namespace detail

/// As the device sees it.
template <class Note> Note* note_on_device() {
  void* p = nullptr;
  check(cudaHostGetDevicePointer(&p, &detail::own_note<Note>(), 0), "memory of the host");
  return static_cast<Note*>(p);
}
/// What was noted, which is then forgotten.
template <class Note> std::optional<Note> take_note() {
  Note& slot = detail::own_note<Note>();
  if (!slot.found) [[likely]] return {};
  return std::exchange(slot, {});
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// Ids that kernels refuse: they are noted on the device, and told by the next call that waits.
///
///     cuda::first_outside(ids, 0, 128);                    // queues the check; -1
///     cuda::report_bad_ids();                              // after waiting: SP001 ids hold 131, and there are 128 rows
#include <shardproof/backend/cuda/launch.cuh>
#include <shardproof/backend/cuda/note.cuh>
#include <shardproof/runtime/shape.hpp>
namespace shardproof::cuda {

/// A note (note.cuh).
struct bad_id { int found; long id, limit; };

namespace detail {
/// Of several bad ids one is noted, whichever comes first.
template <class Id> __global__ void find_outside(const Id* ids, long n, long from, long to, bad_id* slot) {
  for (long i = first_index(); i < n; i += index_stride())
    if (ids[i] < from || ids[i] >= to)
      if (atomicCAS(&slot->found, 0, 1) == 0) {
        slot->id = long(ids[i]);
        slot->limit = to;
        __threadfence_system();
      }
}
}  // namespace detail

inline long first_outside(const view& ids, long from, long to) {
  if (ids.count() == 0) return -1;
  launch("first_outside", detail::find_outside<std::int64_t>, over(ids.count()), ids.as<const std::int64_t>(), ids.count(), from, to, note_on_device<bad_id>());
  return -1;
}
/// After the queue has been waited for. @error SP001 with the id.
inline void report_bad_ids() {
  if (const auto b = take_note<bad_id>()) [[unlikely]]
    throw error(code::usage, "ids hold " + std::to_string(b->id) + ", and there are " + std::to_string(b->limit) + " rows.",
                "pass ids from 0 on below that number (labels that do not count: -100).");
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// What a device and an engine that works on the device's own queues must know of each other, and nobody else.
///
///     sp::device_link.stream = [] { return static_cast<void*>(cuda::own_queue().stream); };    // the backend, where it registers itself
///     if (sp::device_link.after_wait) sp::device_link.after_wait();                            // the backend, when it has waited
///     const int d = sp::device_of_rank >= 0 ? sp::device_of_rank : ...;                        // the backend, where it makes a rank's queue
///
/// Null where nobody set it. The types are void, since this header knows no device.
namespace shardproof {

struct device_link_table {
  void* (*stream)() = nullptr;          ///< set by the backend: the queue of the calling rank
  void (*after_wait)() = nullptr;       ///< set by the engine: throws where ranks were lost while the backend waited for its queue
};
inline constinit device_link_table device_link{};
/// Set by an engine that knows the machine: the number of this rank's device. -1: the backend chooses.
inline constinit thread_local int device_of_rank = -1;

}  // namespace shardproof

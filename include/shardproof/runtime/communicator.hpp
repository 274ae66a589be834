#pragma once
/// @file
/// The interface of an engine: a group of ranks and its collectives. An engine is `threads`, `mpi`, `gloo` or `nccl`.
///
///     comm.all_reduce(p, n, sp::dtype::f32, sp::reduction::sum);       // in place, summed in rank order 0, 1, ...
///     comm.all_gather(mine, whole, counts, sp::dtype::f32);            // counts[r] elements from rank r, in rank order
///
/// Every call is collective: all ranks of the group make the same calls in the same order. An engine that can compares
/// (sequence number, operation, counts, dtype) at each rendezvous and raises SP501 on all ranks where they differ, SP502
/// where a rank does not arrive in time. `self.layer` names the caller in those messages.
#include <span>
#include <shardproof/runtime/dtype.hpp>
namespace shardproof {

enum class reduction : unsigned char { sum, max, min };
enum class collective : unsigned char { all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, barrier };
constexpr const char* name_of(collective c) {
  constexpr const char* names[] = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "barrier"};
  return names[int(c)];
}

/// What a group has done so far on this rank; bytes are the payload this rank put in (all_reduce: the buffer; all_gather: its
/// own part; reduce_scatter: the whole; all_to_all: what it sends).
struct traffic_counters {
  long calls[6] = {};
  double bytes[6] = {};
  double seconds = 0;                            ///< spent inside collectives, waiting included
  traffic_counters& operator+=(const traffic_counters& o) {
    for (int i = 0; i < 6; ++i) calls[i] += o.calls[i], bytes[i] += o.bytes[i];
    seconds += o.seconds;
    return *this;
  }
  /// What has been added since.
  traffic_counters since(const traffic_counters& before) const {
    traffic_counters d;
    for (int i = 0; i < 6; ++i) d.calls[i] = calls[i] - before.calls[i], d.bytes[i] = bytes[i] - before.bytes[i];
    d.seconds = seconds - before.seconds;
    return d;
  }
};

class backend;
class communicator {
 public:
  virtual ~communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Reduces in place, in rank order, so that all ranks hold the same bits.
  virtual void all_reduce(void* p, long count, dtype t, reduction r = reduction::sum) = 0;
  /// whole = the ranks' parts one behind the other; counts[r] may be zero.
  virtual void all_gather(const void* mine, void* whole, std::span<const long> counts, dtype t) = 0;
  /// mine = part `rank()` (counts[rank()] elements) of the sum of all ranks' `whole`.
  virtual void reduce_scatter(const void* whole, void* mine, std::span<const long> counts, dtype t) = 0;
  /// Rank r gets send_counts[r] elements of `send` (parts in rank order); `receive` holds what came, in rank order.
  virtual void all_to_all(const void* send, std::span<const long> send_counts, void* receive, std::span<const long> receive_counts, dtype t) = 0;
  virtual void broadcast(void* p, long count, dtype t, int root) = 0;
  virtual void barrier() = 0;
  /// The subgroup of ranks that pass the same color, ordered by this group's rank. Owned by this communicator; equal calls give
  /// the same object.
  virtual communicator& split(int color) = 0;
  /// The subgroup of so many neighbours that this rank is in: ranks 0 ... n - 1, n ... 2 n - 1, and so on. All of them know it, so that
  /// an engine need not ask, and a captured step that does it again waits for nobody.
  virtual communicator& neighbours(int n) { return split(rank() / n); }
  // ---- steps that are queued once and run often (runtime/replay.hpp); collective. Ranks whose queues wait for each other are
  // captured together, others each by itself, which is what these do.
  virtual void begin_capture(backend& device);
  virtual void* end_capture(backend& device);
  /// Of a body that threw: called while its exception is handled, and by this rank alone.
  virtual void abandon_capture(backend& device);
  virtual void run_captured(backend& device, void* step);
  const traffic_counters& counters() const { return counters_; }
  /// Collectives that ran without being called: those of a captured step.
  void count(const traffic_counters& more) { counters_ += more; }

 protected:
  traffic_counters counters_;
};

}  // namespace shardproof

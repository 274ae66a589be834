#pragma once
/// @file
/// What a step costs one rank: filled by the same `charge` functions whether a step is imagined while compiling, imagined at
/// start-up, or run.
///
///     constexpr sp::ledger l = sp::dry_run<llama, plan>(sp::ranks{4}, sp::tokens{2, 5});
///     static_assert(l.forward.all_reduces == 5 && l.backward.all_reduces == 9);
#include <cstdint>
#include <shardproof/runtime/communicator.hpp>
namespace shardproof {

/// One direction of a step. `bytes` is what this rank puts into collectives (see traffic_counters).
struct pass {
  int all_reduces = 0, all_gathers = 0, reduce_scatters = 0, all_to_alls = 0, broadcasts = 0;
  double bytes = 0;
  double flops = 0;
  constexpr int collectives() const { return all_reduces + all_gathers + reduce_scatters + all_to_alls + broadcasts; }
  constexpr bool operator==(const pass&) const = default;
  constexpr void count(collective c, double payload, int times = 1) {
    bytes += payload * times;
    switch (c) {
      case collective::all_reduce: all_reduces += times; break;
      case collective::all_gather: all_gathers += times; break;
      case collective::reduce_scatter: reduce_scatters += times; break;
      case collective::all_to_all: all_to_alls += times; break;
      case collective::broadcast: broadcasts += times; break;
      case collective::barrier: break;
    }
  }
  /// Adds (one - base) once more.
  constexpr void again(const pass& one, const pass& base) {
    all_reduces += one.all_reduces - base.all_reduces;
    all_gathers += one.all_gathers - base.all_gathers;
    reduce_scatters += one.reduce_scatters - base.reduce_scatters;
    all_to_alls += one.all_to_alls - base.all_to_alls;
    broadcasts += one.broadcasts - base.broadcasts;
    bytes += one.bytes - base.bytes;
    flops += one.flops - base.flops;
  }
};

struct ledger {
  pass forward, backward;
  double activation_bytes = 0;                ///< values the forward pass makes; all live until backward if there is a tape
  double cache_bytes = 0;                     ///< keys and values kept by the cache
  bool waits = false;                         ///< ranks have to know how many rows travel before they go on: no such step is captured (runtime/replay.hpp)
  std::uint64_t schedule = 14695981039346656037ull;   ///< a hash of the forward collectives in order: operation, axis, element count
  std::uint64_t meetings = 0;                 ///< how many the hash is over
  constexpr bool operator==(const ledger&) const = default;
  constexpr void meet(collective c, int axis, double count) {
    std::uint64_t h = 14695981039346656037ull;         // FNV-1a of the one, then a polynomial of all: so that a layer's part can be replayed
    for (std::uint64_t v : {std::uint64_t(c), std::uint64_t(axis), std::uint64_t(count)})
      for (int i = 0; i < 8; ++i) h = (h ^ (v >> 8 * i & 255)) * step;
    schedule = schedule * step + h;
    ++meetings;
  }
  /// A stack visits alike layers once and replays their cost.
  constexpr void again(const ledger& one, const ledger& base) {
    forward.again(one.forward, base.forward);
    backward.again(one.backward, base.backward);
    activation_bytes += one.activation_bytes - base.activation_bytes;
    cache_bytes += one.cache_bytes - base.cache_bytes;
    waits = waits || one.waits;
    std::uint64_t shift = 1;
    for (std::uint64_t i = base.meetings; i < one.meetings; ++i) shift *= step;
    schedule = schedule * shift + (one.schedule - base.schedule * shift);
    meetings += one.meetings - base.meetings;
  }

 private:
  static constexpr std::uint64_t step = 1099511628211ull;
};

/// One charge to a ledger, as it happens: which layer, what, how much.
struct charge_event {
  const char* layer = "";
  collective what = collective::all_reduce;
  int axis = 0;
  double bytes = 0;
  bool forward = true;
};

}  // namespace shardproof

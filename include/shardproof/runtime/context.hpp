#pragma once
/// @file
/// What a rank knows about itself: its place on the mesh, its communicators, its device, and whether it records a tape.
///
///     if (sp::self.where.rank[0] == 0) std::puts("rank 0 of tp");
///     { sp::no_grad off; model.forward(ids, cache); }        // nothing is recorded in this scope
///     { sp::dry dry; model.forward(ids, cache); }            // shapes, placements and costs only: no buffer is touched
#include <shardproof/core/mesh.hpp>
#include <shardproof/runtime/backend.hpp>
#include <shardproof/runtime/communicator.hpp>
#include <shardproof/runtime/ledger.hpp>
namespace shardproof {

/// What decides which elements are dropped; the same on every rank, since all make the same calls in the same order.
struct dropout_state {
  bool on = false;                              ///< off: dropout is the identity, as in evaluation
  std::uint64_t seed = 0, step = 0;
  std::uint64_t calls = 0;                      ///< made since it was switched on
};

/// One per rank; a rank is a thread (engine `threads`) or a process. Set up by `sp::run` or a launcher.
struct context {
  spot where;
  std::array<communicator*, max_axes> on{};     ///< null where the axis has one rank
  communicator* world = nullptr;                ///< all ranks; null if there is one
  backend* device = nullptr;
  ledger* book = nullptr;                       ///< where operations charge their cost; null: nowhere
  void (*watch)(void* watcher, const charge_event&) = nullptr;   ///< told of every collective that is charged to `book`
  void* watcher = nullptr;
  const char* layer = "";                       ///< path of the layer that runs, for diagnostics
  unsigned long clock = 0;                      ///< numbers nodes in order of creation
  bool tape = true;
  bool dry = false;
  class step_watcher* step = nullptr;           ///< told what a step uses that is being captured; see runtime/step_memory.hpp
  dropout_state dropout{};
};
inline constinit thread_local context self{};

inline int ranks_on(int axis = 0) { return self.where.ranks[std::size_t(axis)]; }
inline int rank_on(int axis = 0) { return self.where.rank[std::size_t(axis)]; }
inline bool first_rank() { return self.where.rank == std::array<int, max_axes>{}; }
/// The device of this rank; the CPU unless a launcher chose another. SP505 if its backend is not linked.
inline backend& device() {
  if (!self.device) self.device = &backend_of(device_kind::cpu);
  return *self.device;
}

/// No tape in this scope, on this rank: inference and evaluation.
struct no_grad {
  bool old = self.tape;
  no_grad() { self.tape = false; }
  ~no_grad() { self.tape = old; }
  no_grad(const no_grad&) = delete;
};
/// Elements are dropped in this scope, on this rank. `step`: another for every step of a training, so that each drops others.
struct dropping {
  dropout_state old = self.dropout;
  dropping(std::uint64_t seed, std::uint64_t step) { self.dropout = {true, seed, step, 0}; }
  ~dropping() { self.dropout = old; }
  dropping(const dropping&) = delete;
};
/// No buffers in this scope: forward checks placements and charges `self.book`, and computes nothing.
struct dry {
  bool old = self.dry;
  dry() { self.dry = true; }
  ~dry() { self.dry = old; }
  dry(const dry&) = delete;
};

}  // namespace shardproof

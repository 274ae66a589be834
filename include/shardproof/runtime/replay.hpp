#pragma once
/// @file
/// A step that is queued once and run often: on a GPU a CUDA graph, so that a step of a thousand kernels is one launch.
///
///     sp::replay step;                                     // of this rank; every rank has one and calls it alike
///     for (long i = 0; i < steps; ++i) { sp::assign(ids, batch(i));  optimizer.advance(rate(i));
///       step([&] { auto loss = sp::cross_entropy(model.forward(ids, sp::no_cache), labels);  sp::backward(loss);  optimizer.update(all); }); }
///
/// The first call runs the body, which makes what later calls share (optimizer states, tables); the second captures it and runs
/// that; the others run it again without calling the body. The body must do the same each time: shapes, branches, tensors of
/// outside. It may not read numbers of the device (SP001), which rows that travel to experts have to (ledger::waits says so; ep_dispatch_experts),
/// nor drop elements (SP001: the same ones would fall each time).
/// Results are tensors that the body assigns to variables of outside; they are read between calls. Devices that capture nothing run the body.
/// Communicators count each run. A ledger is charged only when the body is called.
#include <utility>
#include <vector>
#include <shardproof/runtime/step_memory.hpp>
namespace shardproof {

namespace detail {
inline long ranks_so_far = 0;
/// Threads' addresses and ids are used again; this is not. A builtin, as <atomic> takes longer to read than the rest of this header.
inline thread_local const long this_rank = __atomic_add_fetch(&ranks_so_far, 1, __ATOMIC_RELAXED);
}  // namespace detail

class replay {
  void* step_ = nullptr;
  backend* device_ = nullptr;
  bool warm_ = false;
  long rank_ = 0;                                        // whose it is
  std::vector<std::uint64_t> sent_before_;               // by the first call, to the device
  step_memory memory_;
  std::vector<std::pair<communicator*, traffic_counters>> traffic_;    // of the collectives of one run

 public:
  replay() = default;
  replay(const replay&) = delete;
  replay& operator=(const replay&) = delete;
  ~replay() { clear(); }

  /// Has the body been captured?
  bool captured() const { return step_ != nullptr; }
  /// Forgets what was captured: for other shapes, other weights.
  void clear() {
    if (step_) device_->drop_captured(std::exchange(step_, nullptr));
    warm_ = false;
    traffic_.clear();
    memory_.clear();
  }
  /// @error SP001 what a step may not do (docs/gpu.md has the list), or memory of it was let go.
  template <class F> void operator()(F&& body) {
    if (!device().captures()) return void(body());
    if (self.step) throw error(code::usage, "a step is captured inside of another one.", "give each its own sp::replay, one after the other.");
    if (!warm_) return warm_up(body);
    if (rank_ != detail::this_rank)
      throw error(code::usage, "a step of another rank, or of an earlier run, is run again.", "make a sp::replay on each rank, inside of sp::run.");
    memory_.require_all();
    if (!step_) capture(body);
    else for (const auto& [group, traffic] : traffic_) group->count(traffic);
    if (self.world) self.world->run_captured(*device_, step_);
    else device_->run_captured(step_);
  }

 private:
  template <class F> void warm_up(F& body) {
    device().watch_uploads(true);
    try {
      body();
    } catch (...) {
      device().watch_uploads(false);
      throw;
    }
    sent_before_ = device().watch_uploads(false);
    rank_ = detail::this_rank;
    warm_ = true;
  }
  template <class F> void capture(F& body) {
    device_ = &device();
    traffic_.clear();
    if (self.world) traffic_.emplace_back(self.world, self.world->counters());
    for (communicator* c : self.on)
      if (c && c != self.world) traffic_.emplace_back(c, c->counters());
    if (self.world) self.world->begin_capture(*device_);
    else device_->begin_capture(true);
    try {
      device_->watch_uploads(true);
      {
        const step_memory::watch now(memory_);
        body();
      }
      require_same_uploads(device_->watch_uploads(false));
      memory_.end();
      for (auto& [group, traffic] : traffic_) {
        traffic = group->counters().since(traffic);
        traffic.seconds = 0;                             // later runs wait for each other on the device
      }
      step_ = self.world ? self.world->end_capture(*device_) : device_->end_capture();
    } catch (...) {
      device_->watch_uploads(false);
      memory_.abandon();
      if (self.world) self.world->abandon_capture(*device_);
      else device_->abandon_capture();
      throw;
    }
  }
  /// What the body sends again must be what it sent; the first call may have sent more (tables that later calls share).
  void require_same_uploads(const std::vector<std::uint64_t>& sent) const {
    std::size_t at = 0;
    for (const std::uint64_t u : sent) {
      while (at < sent_before_.size() && sent_before_[at] != u) ++at;
      if (at == sent_before_.size())
        throw error(code::usage, "a captured step sends numbers of the host to the device that were others when it was called first: they would stay as they are.",
                    "take what changes out of it: sp::assign for inputs, next() of a cache, advance() of an optimizer.");
      ++at;
    }
  }
};

}  // namespace shardproof

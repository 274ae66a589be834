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
#include <shardproof/runtime/context.hpp>
namespace shardproof {

class replay {
  void* step_ = nullptr;
  backend* device_ = nullptr;
  bool warm_ = false;
  std::vector<std::pair<communicator*, traffic_counters>> sent_;   // by the collectives of one run

 public:
  replay() = default;
  replay(const replay&) = delete;
  replay& operator=(const replay&) = delete;
  ~replay() { clear(); }

  /// Has the body been captured?
  bool captured() const { return step_ != nullptr; }
  /// Forgets what was captured: for other shapes.
  void clear() {
    if (step_) device_->drop_captured(std::exchange(step_, nullptr));
    warm_ = false;
    sent_.clear();
  }
  template <class F> void operator()(F&& body) {
    if (!device().captures() || !std::exchange(warm_, true)) return void(body());
    if (!step_) capture(body);
    else for (const auto& [group, traffic] : sent_) group->count(traffic);
    if (self.world) self.world->run_captured(*device_, step_);
    else device_->run_captured(step_);
  }

 private:
  template <class F> void capture(F& body) {
    device_ = &device();
    sent_.clear();
    if (self.world) sent_.emplace_back(self.world, self.world->counters());
    for (communicator* c : self.on)
      if (c && c != self.world) sent_.emplace_back(c, c->counters());
    if (self.world) self.world->begin_capture(*device_);
    else device_->begin_capture(true);
    try {
      body();
      for (auto& [group, traffic] : sent_) {
        traffic = group->counters().since(traffic);
        traffic.seconds = 0;                             // later runs wait for each other on the device
      }
      step_ = self.world ? self.world->end_capture(*device_) : device_->end_capture();
    } catch (...) {
      if (self.world) self.world->abandon_capture(*device_);
      else device_->abandon_capture();
      throw;
    }
  }
};

}  // namespace shardproof

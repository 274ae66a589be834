#pragma once
/// @file
/// What a captured step uses that was there before it. It reads and writes those addresses whenever it runs, so they are kept as long as
/// it is, and refused once nobody else holds them: what the step would read then is no longer what the program means.
///
///     sp::step_memory used;
///     { const sp::step_memory::watch now(used); body(); }                                // while it is captured
///     used.end();  used.require_all();                     // after the body; before each run
#include <cstdio>
#include <vector>
#include <shardproof/runtime/node.hpp>
namespace shardproof {

/// Of one step of one rank; sp::replay has one.
class step_memory final : public step_watcher {
  std::vector<buffer> used_;
  std::vector<ref> summed_;                              // parameters whose gradients it adds to
  std::vector<ref> viewed_;                              // values of which it made conversions that consumers share
  unsigned long capture_ = 0;                            // of this rank, the first is 1: what it has seen it made itself, or has in used_

 public:
  step_memory() = default;
  step_memory(const step_memory&) = delete;
  ~step_memory() { clear(); }

  /// Notes what this rank does in a scope.
  class watch {
   public:
    explicit watch(step_memory& m) {
      static thread_local unsigned long captures = 0;
      m.capture_ = ++captures;
      self.step = &m;
    }
    watch(const watch&) = delete;
    ~watch() { self.step = nullptr; }
  };
  void makes(const buffer& b) override { (void)b.seen_by(capture_); }
  void uses(const buffer& b) override {
    if (!b.on_device() || b.seen_by(capture_)) return;
    used_.push_back(b);
    b.hold(1);
  }
  void adds_to(node& parameter) override { summed_.push_back(ref(&parameter)); }
  void keeps_view_of(node& value) override { viewed_.push_back(ref(&value)); }

  void clear() {
    for (const buffer& b : used_) b.hold(-1);
    used_.clear();
    summed_.clear();
    viewed_.clear();
  }
  /// After a body that threw: what it would have computed was never computed, so nobody may find it.
  void abandon() {
    for (const ref& p : summed_) p->clear_gradient();
    for (const ref& x : viewed_) x->forget_views();
    clear();
  }
  /// After the body. @error SP001 it left gradients: outside of it nobody would know that later runs add to them.
  void end() {
    for (const ref& p : summed_)
      if (p->has_gradient())
        throw error(code::usage, "a captured step leaves gradients of parameters behind, and nothing outside of it would know that it adds to them again.",
                    "call the optimizer's update inside of it; or do not capture the backward pass.");
    for (const ref& x : viewed_) x->forget_views();      // made when the step runs, not now
    summed_.clear();
    viewed_.clear();
  }
  /// Before each run. @error SP001 something that it uses has been let go.
  void require_all() const {
    for (const buffer& b : used_)
      if (b.only_held()) [[unlikely]] refuse(b.bytes());
  }

 private:
  [[noreturn]] static void refuse(std::size_t bytes) {
    char what[200];
    std::snprintf(what, sizeof what, "a captured step uses %zu bytes that nothing else holds any more: a tensor was let go, or replaced (weights loaded or filled again).", bytes);
    throw error(code::usage, what, "keep what it uses and write into it, as sp::assign does; or clear() the step, which is then captured again.");
  }
};

}  // namespace shardproof

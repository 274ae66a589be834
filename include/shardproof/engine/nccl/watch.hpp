#pragma once
/// @file
/// NCCL's communicators of this process: every call to them goes through here, and a thread watches what they have queued.
///
///     nccl::watch w(fate, device, 300);
///     ncclComm_t c = w.open("the world", 60, nullptr, [&](ncclComm_t* made) { return ncclCommInitRankConfig(made, n, id, rank, &config); });
///     w.call(c, label, [&] { return ncclAllReduce(p, p, n, ncclFloat, ncclSum, c, stream); });
///     w.queued(stream, label);                             // from here on it has its time to finish
///
/// Communicators do not block: a call is polled until NCCL has taken it, the queue until it has passed. Where NCCL says that something
/// is wrong, where another rank is lost, or where nothing moves for the time limit, all communicators are aborted, so that their kernels
/// end and whoever waits for the queue goes on; every call from then on throws.
#include <algorithm>
#include <deque>
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <shardproof/engine/nccl/failure.hpp>
#include <shardproof/runtime/device_stream.hpp>
namespace shardproof::nccl {

/// A collective, for messages: kept by value, as it is looked at much later.
struct label {
  in_process::operation what = in_process::operation::barrier;
  unsigned index = 0;                                    ///< calls of this rank in this group, this one included
  char layer[48] = {};
  std::shared_ptr<const std::vector<int>> members;       ///< world ranks of its group
  std::string text() const {
    if (what == in_process::operation::captured_step) return in_process::name_of(what);
    in_process::call c;
    c.what = what;
    c.index = index;
    c.layer = layer;
    return in_process::describe(c);
  }
};

/// @error SP502 a connection broke; SP503 ranks that share a device; SP506 anything else
[[noreturn]] inline void refuse_nccl(ncclResult_t r, const std::string& what, ncclComm_t c) {
  const char* more = ncclGetLastError(c);
  const std::string said = std::string("NCCL failed at ") + what + ": " + ncclGetErrorString(r) + (more && *more ? " (" + io::shown(more) + ")" : "") + ".";
  if (r == ncclRemoteError || r == ncclSystemError)
    throw error(code::rank_lost, "a rank was lost, or its connection: " + said, "read the first error of the other ranks; NCCL_DEBUG=INFO tells more.");
  if (r == ncclInvalidUsage)
    throw error(code::no_launcher, said,
                "give each rank a device of its own (NCCL wants that), or run ranks that share one by sp::run; NCCL_DEBUG=WARN tells more.");
  throw error(code::device_failed, said, "read the first error of any rank; NCCL_DEBUG=INFO tells more.");
}
inline void check_cuda(cudaError_t e, const char* what) {
  if (e != cudaSuccess) [[unlikely]]
    throw error(code::device_failed, std::string("device cuda failed at ") + what + ": " + cudaGetErrorName(e) + ", " + cudaGetErrorString(e) + ".",
                "read the first error of any rank.");
}

class watch {
 public:
  watch(fate& f, int rank, int device, double timeout) : fate_(f), rank_(rank), device_(device), timeout_(timeout), thread_([this] { look(); }) {}
  watch(const watch&) = delete;
  /// What has not been closed is aborted.
  ~watch() {
    ending_.store(true);
    thread_.join();
    abort();
    for (const queued_work& w : work_) (void)cudaEventDestroy(w.passed);
    for (cudaEvent_t e : free_) (void)cudaEventDestroy(e);
  }
  fate& of_run() { return fate_; }

  /// A communicator that `make(&c)` begins to make, out of `parent` if it is a part of one; it is this object's.
  template <class F> ncclComm_t open(const std::string& what, double seconds, ncclComm_t parent, F make) {
    const auto late = [&](double waited) {
      if (waited >= seconds)
        throw error(code::rank_lost, "a rank was lost or did not reach " + what + " within " + seconds_text(seconds) + ".",
                    "start all ranks; read their first errors; NCCL_DEBUG=INFO tells more.");
    };
    ncclComm_t* c = nullptr;
    ncclResult_t r;
    {
      const std::lock_guard guard(lock_);
      want(what);
      c = &comms_.emplace_back(nullptr);                 // NCCL may write there later
      r = make(c);
    }
    if (r != ncclSuccess && r != ncclInProgress) refuse_nccl(r, what, parent);
    if (parent) settle(parent, what, late);     // only then is there a part
    settle(*c, what, late);
    return *c;
  }
  /// Calls of NCCL, and waits until it has taken them.
  template <class F> void call(ncclComm_t c, const label& what, F calls) {
    ncclResult_t r;
    {
      const std::lock_guard guard(lock_);
      if (aborted_) [[unlikely]] fate_.stop(what.text());
      r = calls();
    }
    if (r == ncclSuccess) [[likely]] return;
    if (r != ncclInProgress) refuse_nccl(r, what.text(), c);
    settle(c, what.text(), [&](double waited) { refuse_to_wait(what, waited); });
  }
  /// Throws where the run has failed.
  void require_running(const label& what) {
    const std::lock_guard guard(lock_);
    want(what.text());
  }
  /// The stream passes here once `what` is done.
  void queued(cudaStream_t stream, const label& what) {
    const std::lock_guard guard(lock_);
    if (free_.empty()) {
      cudaEvent_t e = nullptr;
      check_cuda(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "an event");
      free_.push_back(e);
    }
    check_cuda(cudaEventRecord(free_.back(), stream), "an event");
    if (work_.empty()) moved_ = now();
    work_.push_back({free_.back(), what});
    free_.pop_back();
  }
  /// Until the stream has passed all that is queued; throws where that does not come.
  void wait(const label& what) {
    for (int i = 0;; ++i) {
      {
        const std::lock_guard guard(lock_);
        if (aborted_ || fate_.failed()) fate_.stop(what.text());
        sweep();
        if (work_.empty()) return;
      }
      rest(i);
    }
  }
  /// At the end of a run without failures: closes all communicators, the youngest first.
  void close() {
    for (;;) {
      ncclComm_t c = nullptr;
      {
        const std::lock_guard guard(lock_);
        want("the end of the run");
        if (comms_.empty()) return;
        c = comms_.back();
        const ncclResult_t r = ncclCommFinalize(c);
        if (r != ncclSuccess && r != ncclInProgress) refuse_nccl(r, "the end of the run", c);
      }
      settle(c, "the end of the run", [&](double waited) {
        if (waited >= timeout_) throw error(code::rank_lost, "a rank was lost or did not reach the end of the run in time.", in_process::fix_lost);
      });
      const std::lock_guard guard(lock_);
      if (aborted_) return;
      comms_.pop_back();
      (void)ncclCommDestroy(c);
    }
  }
  void abort() {
    const std::lock_guard guard(lock_);
    if (std::exchange(aborted_, true)) return;
    for (auto c = comms_.rbegin(); c != comms_.rend(); ++c)
      if (*c) (void)ncclCommAbort(*c);
    comms_.clear();
  }

 private:
  struct queued_work {
    cudaEvent_t passed;
    label what;
  };
  void want(const std::string& what) const {
    if (aborted_ || fate_.failed()) fate_.stop(what);
  }
  static void rest(int turns) {
    if (turns < 200) std::this_thread::yield();
    else std::this_thread::sleep_for(std::chrono::microseconds(turns < 2000 ? 50 : 1000));
  }
  /// Throws where waiting for `what` is in vain, or has lasted too long.
  void refuse_to_wait(const label& what, double waited) const {
    // A member that has returned has passed everything it takes part in; a moment is left for what ends elsewhere.
    if (what.members && waited >= std::min(1.0, timeout_))
      for (int r : *what.members)
        if (r != rank_ && fate_.has_returned(r))
          throw error(code::rank_lost,
                      "rank " + std::to_string(r) + " was lost: it returned from its body and does not reach " + what.text() + ", where rank " +
                          std::to_string(rank_) + " waits.",
                      "make the same collective calls on every rank of a group; do not return early on some.");
    if (waited >= timeout_)
      throw error(
          code::rank_lost,
          "a rank was lost or did not reach " + what.text() + " within " + seconds_text(timeout_) + ": rank " + std::to_string(rank_) + " waits there.",
          in_process::fix_lost);
  }
  static double seconds_since(moment t) { return std::chrono::duration<double>(now() - t).count(); }
  /// Polls until NCCL has taken a call; `limit(seconds waited)` throws where that is too long. Whoever aborts meanwhile holds the lock,
  /// and c is looked at no more.
  template <class F> void settle(ncclComm_t c, const std::string& what, F limit) {
    const moment begun = now();
    for (int i = 0;; ++i) {
      ncclResult_t state = ncclSuccess;
      {
        const std::lock_guard guard(lock_);
        if (aborted_) fate_.stop(what);
        const ncclResult_t r = ncclCommGetAsyncError(c, &state);
        if (r != ncclSuccess) state = r;
        if (state != ncclSuccess && state != ncclInProgress) refuse_nccl(state, what, c);
      }
      if (state == ncclSuccess) return;
      if (fate_.failed()) fate_.stop(what);
      if (i > 100) limit(seconds_since(begun));
      rest(i);
    }
  }
  /// Forgets what the queue has passed.
  void sweep() {
    while (!work_.empty() && cudaEventQuery(work_.front().passed) != cudaErrorNotReady) {
      free_.push_back(work_.front().passed);
      work_.pop_front();
      moved_ = now();
    }
  }
  /// What is wrong now; none if nothing is.
  std::exception_ptr judge() {
    const std::lock_guard guard(lock_);
    if (aborted_) return nullptr;
    try {
      for (ncclComm_t c : comms_) {
        ncclResult_t state = ncclSuccess;
        if (c && ncclCommGetAsyncError(c, &state) == ncclSuccess && state != ncclSuccess && state != ncclInProgress)
          refuse_nccl(state, work_.empty() ? "work" : work_.front().what.text(), c);
      }
      sweep();
      if (work_.empty()) return nullptr;
      refuse_to_wait(work_.front().what, seconds_since(moved_));
    } catch (...) { return std::current_exception(); }
    return nullptr;
  }
  void look() {
    (void)cudaSetDevice(device_);
    while (!ending_.load()) {
      fate_.listen(10);
      if (const auto wrong = fate_.failed() ? nullptr : judge()) fate_.fail(wrong);
      if (fate_.failed()) abort();
    }
  }

  fate& fate_;
  const int rank_, device_;
  const double timeout_;
  std::mutex lock_;
  std::deque<ncclComm_t> comms_;                         ///< null where NCCL has not made it yet
  bool aborted_ = false;
  std::deque<queued_work> work_;
  std::vector<cudaEvent_t> free_;
  moment moved_ = now();                                 ///< when the queue last passed something, or began
  std::atomic<bool> ending_{false};
  std::thread thread_;                                   ///< last: it uses all of the above
};

}  // namespace shardproof::nccl

#pragma once
/// @file
/// What the ranks of one run know of each other's fate: who waits where, who has returned, and the error that ended the run.
///
///     board.waits(rank, meeting, phase, limit);           // from here on others may reason about this rank
///     if (auto verdict = board.judge(rank, 1.5)) board.fail(*verdict);
///
/// Only ranks that have waited about a millisecond come here; a rendezvous in time costs one load of `failed()`.
#include <exception>
#include <optional>
#include <shardproof/engine/threads/meeting.hpp>
namespace shardproof::in_process {

class board {
 public:
  board(int ranks, double limit) : limit_(limit), entries_(std::size_t(ranks)) {}

  /// The run has failed; every collective from now on throws.
  bool failed() const { return failed_.load(std::memory_order_seq_cst); }
  /// A rank's body threw, before any other did. Later failures are consequences and are dropped.
  void fail(int rank, std::exception_ptr what) {
    std::string words = "it threw an exception";
    try {
      std::rethrow_exception(what);
    } catch (const std::exception& e) { words = std::string("it threw: ") + e.what(); } catch (...) {
    }
    settle(rank, what, words, std::nullopt);
  }
  /// The engine found what is wrong; all ranks throw this.
  void fail(const error& e) { settle(-1, std::make_exception_ptr(e), e.what(), e); }
  /// What a rank throws that is stopped at `c` because the run has failed.
  [[noreturn]] void stop(const call& c) const {
    const std::lock_guard guard(lock_);
    if (found_) throw *found_;
    throw error(
        code::rank_lost,
        "rank " + std::to_string(culprit_) + " was lost (" + reason_ + "), so that this rank stops at " + describe(c) + ".",
        fix_lost);
  }
  /// The root cause; null if all went well.
  std::exception_ptr cause() const {
    const std::lock_guard guard(lock_);
    return cause_;
  }

  void waits(int rank, const meeting& where, phase_number n, const call& at) {
    const std::lock_guard guard(lock_);
    entries_[std::size_t(rank)] = {&where, n, &at, false};
  }
  void goes_on(int rank) {
    const std::lock_guard guard(lock_);
    entries_[std::size_t(rank)].where = nullptr;
  }
  void returned(int rank) {
    const std::lock_guard guard(lock_);
    entries_[std::size_t(rank)].returned = true;
  }

  /// Follows who waits for whom from `rank`, which has waited for `seconds`. The chain ends at a rank that has returned (SP502 at
  /// once), at one that is busy (SP502 if the time is up), or in a circle of ranks in different groups (SP501). A rank on the
  /// board cannot move without the lock, so a circle is no snapshot of something that passes.
  std::optional<error> judge(int rank, double seconds) const {
    const std::lock_guard guard(lock_);
    std::vector<char> seen(entries_.size());
    for (int waiter = rank;;) {
      seen[std::size_t(waiter)] = 1;
      const entry& w = entries_[std::size_t(waiter)];
      const int r = w.where ? w.where->missing(w.phase) : -1;
      if (r < 0) return std::nullopt;
      const int absent = w.where->world_rank(r);
      const entry& a = entries_[std::size_t(absent)];
      if (a.returned)
        return error(code::rank_lost,
                     "rank " + std::to_string(absent) + " was lost: it returned from its body and does not reach " +
                         describe(*w.at) + ", where rank " + std::to_string(waiter) + " waits.",
                     "make the same collective calls on every rank of a group; do not return early on some. [group " +
                         w.where->name() + "]");
      if (!a.where) {
        if (!(seconds >= limit_)) return std::nullopt;
        return error(
            code::rank_lost,
            "rank " + std::to_string(absent) + " was lost or did not reach " + describe(*w.at) + " within " + time() + ".",
            fix_lost + std::string(" [group ") + w.where->name() + "; rank " + std::to_string(waiter) + " waits there]");
      }
      if (seen[std::size_t(absent)])
        return disagreement(waiter, *w.at, absent, *a.at,
                            "they wait for each other, in group " + w.where->name() + " and in group " + a.where->name());
      waiter = absent;
    }
  }

 private:
  struct entry {
    const meeting* where = nullptr;  ///< null: the rank does not wait
    phase_number phase = 0;
    const call* at = nullptr;
    bool returned = false;
  };
  void settle(int rank, std::exception_ptr what, const std::string& words, std::optional<error> found) {
    const std::lock_guard guard(lock_);
    if (cause_) return;
    cause_ = what;
    culprit_ = rank;
    reason_ = words;
    found_ = found;
    failed_.store(true, std::memory_order_seq_cst);
  }
  std::string time() const {
    std::string s = std::to_string(limit_);
    s.erase(s.find_last_not_of('0') + 1);
    if (s.back() == '.') s.pop_back();
    return s + " s";
  }

  const double limit_;
  alignas(128) std::atomic<bool> failed_{false};
  alignas(128) mutable std::mutex lock_;
  std::vector<entry> entries_;
  std::exception_ptr cause_;
  std::optional<error> found_;
  int culprit_ = -1;
  std::string reason_;
};

}  // namespace shardproof::in_process

#pragma once
/// @file
/// One rank's side of the meetings of its group: it announces a collective, waits for the others, and compares.
///
///     call& c = begin(operation::all_reduce, t); lend(c, p, bytes);
///     meet();                                             // all announce the same; theirs(r).source is readable
///     part();                                             // nobody uses a lent buffer any more
///
/// Each collective begins with one rendezvous. Small operands are copied into memory of the engine first, in two alternating
/// blocks, so that nothing else is needed. Large ones are used where they lie, and a second rendezvous ends their use.
///
/// How a failure unwinds ranks whose buffers others may be using: a rank leaves at once only if, after the run has been marked as
/// failed, someone is still missing. Then nobody passes this rendezvous any more with lent buffers, because whoever completes it
/// looks at the mark afterwards. If nobody is missing, some may have passed, so it leaves through the second rendezvous, which all
/// of them reach.
#include <span>
#include <shardproof/engine/threads/board.hpp>
#include <shardproof/runtime/context.hpp>
namespace shardproof::in_process {

class rendezvous {
 protected:
  rendezvous(board& b, meeting& m, int rank) : board_(b), meeting_(m), rank_(rank), size_(m.size()), phase_(m.first()) {
    for (auto& c : counts_) c.resize(2 * std::size_t(size_) + 1);
  }

  /// The announcement of the next collective, to be completed before `meet`. Throws if the run has failed.
  call& begin(operation what, dtype t) {
    if (board_.failed()) [[unlikely]]
      refuse(what);
    ++phase_;
    auto& name = names_[phase_ & 1];
    call& c = meeting_.announcement(rank_, phase_);
    c = call{.what = what, .type = t, .index = ++index_, .layer_hash = keep_name(name, self.layer), .layer = name};
    return c;
  }
  /// What rank r has announced; after `meet`.
  const call& theirs(int r) const { return meeting_.announcement(r, phase_); }
  /// Offers `bytes` at p to the others: a copy, or the buffer itself.
  void lend(call& c, const void* p, std::size_t bytes) {
    c.source = p;
    c.staged = bytes <= meeting_.small_bytes();
    if (!c.staged || bytes == 0) return;
    auto& room = rooms_[phase_ & 1];
    if (!room) room = std::make_unique<block[]>((meeting_.small_bytes() + sizeof(block) - 1) / sizeof(block));
    std::memcpy(room.get(), p, bytes);
    c.source = room.get();
  }
  /// Counts that the others may look at.
  void keep(call& c, std::span<const long> counts, std::span<const long> more = {}) {
    auto& kept = counts_[phase_ & 1];
    std::copy(more.begin(), more.end(), std::copy(counts.begin(), counts.end(), kept.begin()));
    c.counts = kept.data();
    std::uint64_t h = 0;
    for (long n : counts) h = mix(h, std::uint64_t(n));
    c.amount = std::int64_t(h);
  }

  /// Announces how far this rank's queue on its device has come: the others' queues wait for that, not the others.
  void carry(call& c, phase_number n, void* mark) {
    auto& kept = counts_[n & 1];
    kept.back() = long(reinterpret_cast<std::intptr_t>(mark));
    c.counts = kept.data();
  }
  /// Of rank r, in the present phase; null if it has none.
  void* mark_of(int r) const {
    const long* counts = theirs(r).counts;
    return counts ? reinterpret_cast<void*>(std::intptr_t(counts[2 * size_])) : nullptr;
  }

  /// Waits for all, and compares what they announce.
  void meet() {
    meeting_.publish(rank_, phase_);
    wait(phase_, true);
    lent_ = false;
    for (int r = 0; r < size_; ++r) {
      if (differ(theirs(0), theirs(r))) [[unlikely]]
        quarrel(0, r, "");
      lent_ |= !theirs(r).staged;
    }
    // Copies are complete and stay; they need no care.
    if (lent_ && board_.failed()) [[unlikely]]
      withdraw();
  }
  bool has_lent() const { return lent_; }
  /// Ends the use of lent buffers, if there were any.
  void part(void* mark = nullptr) {
    if (!lent_) return;
    const call c = theirs(rank_);
    ++phase_;
    if (mark) carry(meeting_.announcement(rank_, phase_) = c, phase_, mark);
    meeting_.publish(rank_, phase_);
    wait(phase_, false);
    if (board_.failed()) [[unlikely]]
      board_.stop(c);  // someone may have withdrawn, and its share of the result is missing
  }
  /// Until all have reached phase n. At the entry of a collective others may be missing for good, so the wait may throw; at its
  /// end all are inside of it and will come.
  void wait(phase_number n, bool entry) {
    patience p;
    bool listed = false;
    const int me = meeting_.world_rank(rank_);
    for (int r = 0;;) {
      while (r < size_ && meeting_.arrived(r, n)) ++r;
      if (r == size_) break;
      if (p.rest()) {
        if (entry && p.yielding() && board_.failed()) [[unlikely]]
          give_up(n, false);
        continue;
      }
      if (entry && !listed) board_.waits(me, meeting_, n, meeting_.announcement(rank_, n));
      listed |= entry;
      meeting_.sleep(r, n, slice);
      if (!entry || meeting_.arrived(r, n)) continue;
      if (!board_.failed())
        if (const auto verdict = board_.judge(me, p.seconds())) board_.fail(*verdict);
      if (board_.failed()) give_up(n, true);
    }
    if (listed) board_.goes_on(me);
  }
  /// The run has failed while this rank waits at phase n. Returns if nobody is missing any more (see the top of this file).
  void give_up(phase_number n, bool listed) {
    if (meeting_.missing(n) < 0) return;
    if (listed) board_.goes_on(meeting_.world_rank(rank_));
    meeting_.leave(rank_, n);
    board_.stop(meeting_.announcement(rank_, n));
  }
  /// The run has failed, and all have arrived with buffers lent to each other.
  [[noreturn]] void withdraw() {
    meeting_.leave(rank_, phase_);
    wait(phase_ + 1, false);
    board_.stop(theirs(rank_));
  }
  /// Ranks a and b differ; all ranks see it.
  [[noreturn]] void quarrel(int a, int b, const std::string& more) {
    const call &x = theirs(a), &y = theirs(b);
    const std::string known = facts(x, y, size_);
    board_.fail(disagreement(meeting_.world_rank(a), x, meeting_.world_rank(b), y,
                             "group " + meeting_.name() + (known.empty() ? "" : "; " + known) + more));
    meeting_.leave(rank_, phase_);
    board_.stop(theirs(rank_));
  }
  /// Ranks that share a buffer by mistake (one captured by reference) would reduce it into itself.
  [[noreturn]] void same_buffer(int other) {
    board_.fail(error(code::usage,
                      "ranks " + std::to_string(meeting_.world_rank(std::min(rank_, other))) + " and " +
                          std::to_string(meeting_.world_rank(std::max(rank_, other))) + " pass one and the same buffer to " +
                          describe(theirs(rank_)) + ".",
                      "give each rank a buffer of its own, made inside the body of sp::run."));
    if (lent_) withdraw();
    meeting_.leave(rank_, phase_);
    board_.stop(theirs(rank_));
  }
  [[noreturn]] void refuse(operation what) const {
    board_.stop(call{.what = what, .index = index_ + 1, .layer = self.layer ? self.layer : ""});
  }

  board& board_;
  meeting& meeting_;
  const int rank_, size_;
  phase_number phase_;

 private:
  struct alignas(64) block {
    std::byte bytes[64];
  };
  static constexpr std::chrono::milliseconds slice{10};  ///< between two looks at the board while asleep

  std::uint32_t index_ = 0;
  bool lent_ = false;
  std::vector<long> counts_[2];
  alignas(8) char names_[2][120] = {};
  std::unique_ptr<block[]> rooms_[2];
};

}  // namespace shardproof::in_process

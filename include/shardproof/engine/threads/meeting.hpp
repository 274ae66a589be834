#pragma once
/// @file
/// The memory in which the ranks of one group meet: a flag and an announcement for each rank, in two copies.
///
///     in_process::meeting m({0, 1}, "tp");
///     m.publish(0, 1);                                    // rank 0 has reached phase 1
///     m.missing(1);                                       // 1: rank 1 has not
///
/// A rank's flag is the number of the last phase it reached. Lines alternate between odd and even phases: a rank overwrites its
/// line of phase n at phase n + 2, and it gets there only when all have reached n + 1, that is, have done with n. Hence one
/// rendezvous is one store and one look at every other rank's line, without any counter that all of them write.
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <shardproof/engine/threads/call.hpp>
#include <shardproof/engine/threads/waiting.hpp>
namespace shardproof::in_process {

using phase_number = std::uint32_t;
/// Phases wrap around (after half an hour of nothing but collectives), so they are compared by difference.
constexpr bool reached(phase_number have, phase_number want) { return std::int32_t(have - want) >= 0; }

/// 128 bytes apart, because cores fetch lines in pairs.
struct alignas(128) line {
  std::atomic<phase_number> phase{0};
  call what;
};
static_assert(sizeof(line) == 128);

/// Where others sleep until this rank arrives.
struct alignas(128) bed {
  std::atomic<int> sleepers{0};
  std::mutex lock;
  std::condition_variable awake;
};

class meeting {
 public:
  /// Operands up to this many bytes are cheaper to copy than a second rendezvous: while ranks have a core each (a rendezvous takes
  /// 0.1 us), and where they share cores (3 us with four ranks on two cores).
  static constexpr std::size_t small = 1024, small_if_crowded = 4096;

  /// `members` are the world ranks of the group, in the order of its ranks; `first` is the number before the first phase.
  meeting(std::vector<int> members, std::string name, std::size_t small_bytes = small, phase_number first = 0)
      : members_(std::move(members)),
        name_(std::move(name)),
        small_bytes_(small_bytes),
        first_(first),
        lines_(2 * members_.size()),
        beds_(members_.size()) {
    for (line& l : lines_) l.phase.store(first, std::memory_order_relaxed);
  }
  int size() const { return int(members_.size()); }
  int world_rank(int r) const { return members_[std::size_t(r)]; }
  const std::vector<int>& members() const { return members_; }
  const std::string& name() const { return name_; }
  std::size_t small_bytes() const { return small_bytes_; }
  phase_number first() const { return first_; }

  call& announcement(int r, phase_number n) { return at(r, n).what; }
  const call& announcement(int r, phase_number n) const { return at(r, n).what; }

  /// Whether rank r has reached phase n. Sequentially consistent, as `publish`: leaving a rendezvous early relies on it (board.hpp).
  bool arrived(int r, phase_number n) const { return reached(at(r, n).phase.load(std::memory_order_seq_cst), n); }
  /// The first rank that has not reached phase n, or -1.
  int missing(phase_number n) const {
    for (int r = 0; r < size(); ++r)
      if (!arrived(r, n)) return r;
    return -1;
  }
  /// Rank r has reached phase n; what it wrote before is visible to whom sees it.
  void publish(int r, phase_number n) {
    at(r, n).phase.store(n, std::memory_order_seq_cst);
    wake(r);
  }
  /// Rank r will not take part any more, and nobody shall wait for it: it has reached every phase to come.
  void leave(int r, phase_number n) {
    for (phase_number k : {n, n + 1}) at(r, k).phase.store(n + (1u << 30), std::memory_order_seq_cst);
    wake(r);
  }
  /// Sleeps until rank r reaches phase n, at most this long.
  void sleep(int r, phase_number n, std::chrono::milliseconds limit) {
    bed& b = beds_[std::size_t(r)];
    std::unique_lock guard(b.lock);
    b.sleepers.fetch_add(1, std::memory_order_seq_cst);
    b.awake.wait_for(guard, limit, [&] { return arrived(r, n); });
    b.sleepers.fetch_sub(1, std::memory_order_seq_cst);
  }
  /// The meeting of a part of this group; the same one for the same members.
  meeting& part(const std::vector<int>& ranks) {
    const std::lock_guard guard(parts_lock_);
    auto& p = parts_[ranks];
    if (!p) {
      std::vector<int> members;
      for (int r : ranks) members.push_back(world_rank(r));
      p = std::make_unique<meeting>(std::move(members), "part of " + name_, small_bytes_);
    }
    return *p;
  }

 private:
  line& at(int r, phase_number n) { return lines_[2 * std::size_t(r) + (n & 1)]; }
  const line& at(int r, phase_number n) const { return lines_[2 * std::size_t(r) + (n & 1)]; }
  // The store of the flag and this load, like a sleeper's increment and its look at the flag, are in one total order: at least
  // one of the two ranks sees the other.
  void wake(int r) {
    bed& b = beds_[std::size_t(r)];
    if (b.sleepers.load(std::memory_order_seq_cst) == 0) return;
    { const std::lock_guard guard(b.lock); }
    b.awake.notify_all();
  }

  std::vector<int> members_;
  std::string name_;
  std::size_t small_bytes_;
  phase_number first_;
  std::vector<line> lines_;
  std::vector<bed> beds_;
  std::mutex parts_lock_;
  std::map<std::vector<int>, std::unique_ptr<meeting>> parts_;
};

}  // namespace shardproof::in_process

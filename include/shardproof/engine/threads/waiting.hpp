#pragma once
/// @file
/// How a rank waits: by spinning while the ranks have a core each, by yielding when they share cores, asleep when it takes long.
///
///     in_process::patience p;
///     while (!flag.load(std::memory_order_acquire))
///       if (!p.rest()) break;                            // waited about a millisecond: lie down now
///
/// The stages follow measurements: a spinning barrier of two ranks on two cores takes 0.1 us and one through the kernel 25 us;
/// with four ranks on two cores spinning takes milliseconds and yielding 3 us.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>
#if defined(__linux__)
# include <pthread.h>
# include <sched.h>
#endif
namespace shardproof::in_process {

/// The cores this thread may use, in ascending order (not `hardware_concurrency`, which ignores taskset and containers).
inline std::vector<int> allowed_cores() {
  std::vector<int> ids;
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int c = 0; c < CPU_SETSIZE; ++c)
      if (CPU_ISSET(std::size_t(c), &set)) ids.push_back(c);
#endif
  if (ids.empty()) ids.resize(std::thread::hardware_concurrency() ? std::thread::hardware_concurrency() : 1);
  return ids;
}

/// Binds the calling thread to these cores; a refusal is of no consequence.
inline void bind_to([[maybe_unused]] const std::vector<int>& ids) {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int c : ids) CPU_SET(std::size_t(c), &set);
  (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
#endif
}

/// Cores of a rank before it was pinned, so that a run inside a rank is not confined to that rank's core; empty elsewhere.
inline thread_local std::vector<int> cores_before_pinning;
inline std::vector<int> usable_cores() { return cores_before_pinning.empty() ? allowed_cores() : cores_before_pinning; }

/// Ranks of all runs of this process, and the cores they share.
inline std::atomic<int> live_ranks{0};
inline std::atomic<int> live_cores{1};

inline void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// One wait of one rank. Starts no clock until it has lasted about 0.1 ms.
class patience {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr int spins = 4000;
  static constexpr std::chrono::microseconds before_sleep{1000};

  /// Passes a moment; false once the wait is long enough that sleeping is better.
  bool rest() {
    if (spun_ < spins) {
      if (live_ranks.load(std::memory_order_relaxed) <= live_cores.load(std::memory_order_relaxed)) {
        ++spun_;
        pause_briefly();
        return true;
      }
      spun_ = spins;
    }
    const auto now = clock::now();
    if (start_ == clock::time_point{}) start_ = now;
    if (now - start_ >= before_sleep) return false;
    std::this_thread::yield();
    return true;
  }
  /// Spinning has ended: from here on a look at shared state costs nothing that matters.
  bool yielding() const { return spun_ >= spins; }
  double seconds() const {
    return start_ == clock::time_point{} ? 0 : std::chrono::duration<double>(clock::now() - start_).count();
  }

 private:
  int spun_ = 0;
  clock::time_point start_{};
};

}  // namespace shardproof::in_process

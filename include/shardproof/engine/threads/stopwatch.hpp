#pragma once
/// @file
/// Seconds spent inside collectives, at a price that a collective of 0.3 us can bear.
///
///     in_process::stopwatch w;
///     counters.seconds += w.seconds();
///
/// On x86 two readings of the time stamp counter take 20 ns and two of steady_clock 52 ns.
#include <chrono>
#if defined(__x86_64__)
# include <x86intrin.h>
#endif
namespace shardproof::in_process {

#if defined(__x86_64__)
class stopwatch {
 public:
  double seconds() const { return double(__rdtsc() - start_) * rate(); }
  /// Seconds a tick; measured once, over 0.2 ms, by the first run of the process.
  static double rate() {
    static const double seconds_per_tick = [] {
      using clock = std::chrono::steady_clock;
      const auto from = clock::now();
      const auto first = __rdtsc();
      auto now = from;
      while (now - from < std::chrono::microseconds(200)) now = clock::now();
      return std::chrono::duration<double>(now - from).count() / double(__rdtsc() - first);
    }();
    return seconds_per_tick;
  }

 private:
  unsigned long long start_ = __rdtsc();
};
#else
class stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  static double rate() { return 0; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};
#endif

}  // namespace shardproof::in_process

#pragma once
/// @file
/// How every bench measures: undisturbed repetitions, this machine's limits in the same run, rows with a gate as text and JSON.
///
///     bench::series t;  { const bench::repetition r(t); work(); }        // t.median(): seconds of the undisturbed ones
///     const double peak = bench::multiply_adds(100000);                  // FLOP/s of one core, from registers
///     bench::row({.what = "decode", .ratio = 0.9, .gate = 0.8});         // one line of text, one of JSON
///
/// A repetition counts if its thread was not preempted while it ran. With fewer than half undisturbed the run fails, not the code:
/// the row says "disturbed", and its figure is none to publish.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>
#if defined(__linux__)
# include <sched.h>
# include <sys/resource.h>
#endif
#include <shardproof/backend/cpu/vector.hpp>
namespace bench {

inline double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
/// How often this thread has had to leave its core so far.
inline long preemptions() {
#if defined(__linux__)
  rusage use{};
  getrusage(RUSAGE_THREAD, &use);
  return use.ru_nivcsw;
#else
  return 0;
#endif
}

/// Seconds of the repetitions of one thing.
struct series {
  std::vector<double> clean, all;
  void add(double seconds, bool undisturbed) {
    all.push_back(seconds);
    if (undisturbed) clean.push_back(seconds);
  }
  bool disturbed() const { return clean.size() * 2 < all.size(); }
  /// Of the undisturbed ones, or of all if hardly any was.
  double median() const { return quantile(0.5); }
  double best() const { return quantile(0); }
  double quantile(double q) const {
    std::vector<double> t = disturbed() ? all : clean;
    if (t.empty()) return 0;
    std::sort(t.begin(), t.end());
    return t[std::min(t.size() - 1, std::size_t(q * double(t.size())))];
  }
};
/// One repetition, for the length of a scope, on one thread.
class repetition {
  series& to_;
  long before_ = preemptions();
  double start_ = seconds();

 public:
  explicit repetition(series& to) : to_(to) {}
  ~repetition() {
    const double taken = seconds() - start_;
    to_.add(taken, preemptions() == before_);
  }
  repetition(const repetition&) = delete;
};

// ---- limits of one core; two cores run them at the same time
inline volatile float sink;
/// FLOP/s of independent multiply-adds that never leave the registers: four cycles of latency on two units need eight of them.
inline double multiply_adds(long rounds) {
  using shardproof::cpu::vec;
  constexpr int sums = 12;
  vec<float> s[sums];
  shardproof::cpu::unrolled<sums>([&](auto i) SHARDPROOF_INLINE { s[i] = shardproof::cpu::broadcast(1.0f); });
  const vec<float> by = shardproof::cpu::broadcast(0.999f);
  const double start = seconds();
  for (long r = 0; r < rounds; ++r)
    shardproof::cpu::unrolled<sums>([&](auto i) SHARDPROOF_INLINE {
      s[i] = s[i] * by + by;
      shardproof::cpu::keep(s[i]);
    });
  const double taken = seconds() - start;
  float all = 0;
  shardproof::cpu::unrolled<sums>([&](auto i) SHARDPROOF_INLINE { all += shardproof::cpu::sum<float>(s[i]); });
  sink = all;
  return double(rounds) * sums * shardproof::cpu::lanes<float> * 2 / taken;
}
/// Reads n floats by eight independent sums.
inline void read_all(const float* p, long n) {
  using namespace shardproof::cpu;
  constexpr int width = lanes<float>, sums = 8;
  vec<float> s[sums]{};
  for (long i = 0; i + sums * width <= n; i += sums * width)
    unrolled<sums>([&](auto j) SHARDPROOF_INLINE { s[j] += load<float>(p + i + j * width); });
  sink = sum<float>(add_up<float>(s));
}

// ---- rows
struct row_values {
  std::string what;
  double ratio = 0, gate = 0;                                ///< gate 0: none
  std::string facts;                                         ///< the two absolute values, with units
  std::size_t clean = 0, total = 0;
  bool lower_is_better = false;
  int scoreboard = 0;                                        ///< the row's number there; 0: none
};
inline int gates_missed = 0;
inline std::FILE* json_lines = nullptr;                      ///< null: standard output
inline void row(const row_values& r) {
  const bool disturbed = r.total && r.clean * 2 < r.total;
  const bool kept = r.gate <= 0 || (r.lower_is_better ? r.ratio <= r.gate : r.ratio >= r.gate);
  if (!kept) ++gates_missed;
  std::printf("%-66s %7.3f  %s", r.what.c_str(), r.ratio, r.facts.c_str());
  if (r.total) std::printf("  clean %zu/%zu%s", r.clean, r.total, disturbed ? " DISTURBED" : "");
  if (r.gate > 0) std::printf("  gate %s%g: %s", r.lower_is_better ? "<= " : ">= ", r.gate, kept ? "kept" : "MISSED");
  std::printf("\n");
  std::fprintf(json_lines ? json_lines : stdout,
               "{\"row\": %d, \"what\": \"%s\", \"ratio\": %.4f, \"gate\": %g, \"kept\": %s, \"clean\": %zu, \"total\": %zu, \"facts\": \"%s\"}\n",
               r.scoreboard, r.what.c_str(), r.ratio, r.gate, kept ? "true" : "false", r.clean, r.total, r.facts.c_str());
  std::fflush(stdout);
}
template <class... A> std::string text(const char* format, A... values) {
  char line[240];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}
/// The machine, in one line.
inline void describe_machine() {
  std::string line, model = "unknown processor", huge = "unknown";
  for (std::ifstream in("/proc/cpuinfo"); std::getline(in, line);)
    if (line.rfind("model name", 0) == 0) {
      model = line.substr(line.find(':') + 2);
      break;
    }
  if (std::ifstream in("/sys/kernel/mm/transparent_hugepage/enabled"); in) std::getline(in, huge);
  double load = 0;
  if (std::ifstream in("/proc/loadavg"); in) in >> load;
  int cores = 1;
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
#endif
  std::printf("%s, %d usable cores, vectors of %d bytes, huge pages %s, load %.1f, compiler %s\n", model.c_str(), cores,
              shardproof::cpu::vector_bytes, huge.c_str(), load, __VERSION__);
}

}  // namespace bench

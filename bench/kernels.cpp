/// @file
/// The CPU kernels against this core's limits and against Eigen, as ratios of things timed alternately in one run.
///
///     kernels [seconds per figure]
///
/// Rows, named as in the scoreboard: 1 products of 64 and 512 rows over the multiply-add peak; 2 products of 8 rows with cold
/// weights over Eigen's; 3 one row with cold weights over the read bandwidth, f32 and bf16. "Cold" rotates through 1 GiB of
/// weights. A repetition in which this thread was preempted does not count; medians of the others are compared. On a machine so
/// busy that fewer than half are undisturbed the line says so, and the best of each is compared: it is no figure to publish.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>
#if defined(__linux__)
#include <sched.h>
#include <sys/resource.h>
#endif
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"      // g++ 12 on the AVX-512 intrinsics that Eigen uses
#include <Eigen/Core>
#include <shardproof/backend/cpu.hpp>
namespace {
namespace sp = shardproof;
using clock_type = std::chrono::steady_clock;
using rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

double seconds() { return std::chrono::duration<double>(clock_type::now().time_since_epoch()).count(); }
long preemptions() {
#if defined(__linux__)
  rusage use{};
  getrusage(RUSAGE_THREAD, &use);
  return use.ru_nivcsw;
#else
  return 0;
#endif
}

/// Things to time alternately; afterwards `taken[i]` is seconds per call of the i-th: the median of undisturbed repetitions.
struct contest {
  std::vector<std::function<void()>> run;
  std::vector<double> taken;
  int clean = 0, total = 0;
  bool disturbed() const { return clean * 2 < total; }
  void time(double budget) {
    const std::size_t n = run.size();
    std::vector<long> calls(n);
    std::vector<std::vector<double>> undisturbed(n);
    taken.assign(n, 1e9);
    for (std::size_t i = 0; i < n; ++i) {
      run[i]();
      const double start = seconds();
      do run[i](), ++calls[i];
      while (seconds() - start < 0.002);
    }
    const double end = seconds() + budget * double(n);
    do
      for (std::size_t i = 0; i < n; ++i) {
        const long before = preemptions();
        const double start = seconds();
        for (long c = 0; c < calls[i]; ++c) run[i]();
        const double per_call = (seconds() - start) / double(calls[i]);
        taken[i] = std::min(taken[i], per_call);
        if (preemptions() == before) undisturbed[i].push_back(per_call), ++clean;
        ++total;
      }
    while (seconds() < end);
    if (disturbed()) return;
    for (std::size_t i = 0; i < n; ++i)
      if (auto& t = undisturbed[i]; t.size() > 2) {
        std::nth_element(t.begin(), t.begin() + long(t.size() / 2), t.end());
        taken[i] = t[t.size() / 2];
      }
  }
};

/// Eight independent multiply-adds a round, all in registers.
volatile float sink;
double multiply_add_peak_once() {
  using sp::cpu::vec;
  constexpr int sums = 8;                                    // four cycles of latency on two units
  constexpr long rounds = 200000;
  vec<float> s[sums];
  sp::cpu::unrolled<sums>([&](auto i) SHARDPROOF_INLINE { s[i] = sp::cpu::broadcast(1.0f); });
  vec<float> by = sp::cpu::broadcast(0.999f);
  const double start = seconds();
  for (long r = 0; r < rounds; ++r)
    sp::cpu::unrolled<sums>([&](auto i) SHARDPROOF_INLINE {
      s[i] = s[i] * by + by;
      sp::cpu::keep(s[i]);
    });
  const double taken = seconds() - start;
  sink = sp::cpu::sum<float>(sp::cpu::add_up<float>(s));
  return double(rounds) * sums * sp::cpu::lanes<float> * 2 / taken;
}
float read_all(const float* p, long n) {
  using sp::cpu::load;
  constexpr int width = sp::cpu::lanes<float>, sums = 8;
  sp::cpu::vec<float> s[sums]{};
  for (long i = 0; i + sums * width <= n; i += sums * width)
    sp::cpu::unrolled<sums>([&](auto j) SHARDPROOF_INLINE { s[j] += load<float>(p + i + j * width); });
  return sp::cpu::sum<float>(sp::cpu::add_up<float>(s));
}

struct case_of { long k, n; };
constexpr case_of shapes[] = {{768, 768}, {768, 3072}, {3072, 768}, {2048, 2048}, {2048, 5632}, {4096, 1024}};
constexpr long pool_bytes = 1l << 30;
float* pool;

sp::view matrix_view(void* p, sp::dtype t, long a, long b) { return {p, t, sp::shape{a, b}}; }
void ours(const float* x, void* w, sp::dtype t, float* y, long m, case_of s) {
  sp::backend_of(sp::device_kind::cpu).matmul({matrix_view(const_cast<float*>(x), sp::dtype::f32, m, s.k), matrix_view(w, t, s.n, s.k),
                                               matrix_view(y, sp::dtype::f32, m, s.n), m, s.n, s.k, false, true, false});
}
void eigen(const float* x, const float* w, float* y, long m, case_of s) {
  Eigen::Map<const rows> a(x, m, s.k), b(w, s.n, s.k);
  Eigen::Map<rows> c(y, m, s.n);
  if (m == 1) c.row(0).transpose().noalias() = b * a.row(0).transpose();
  else c.noalias() = a * b.transpose();
}

void print(int row, const char* what, double ratio, const std::string& facts, double gate, const contest& c) {
  std::printf("%-58s %6.3f   %s", what, ratio, facts.c_str());
  if (c.total) std::printf("   clean %d/%d%s", c.clean, c.total, c.disturbed() ? " DISTURBED" : "");
  std::puts(gate > 0 ? ratio >= gate ? "   pass" : "   BELOW GATE" : "");
  std::printf("{\"row\": %d, \"what\": \"%s\", \"ratio\": %.4f, \"gate\": %.2f, \"clean\": %d, \"total\": %d}\n", row, what, ratio, gate, c.clean, c.total);
}
std::string text(const char* format, double a, double b, double c = 0) {
  char line[160];
  std::snprintf(line, sizeof line, format, a, b, c);
  return line;
}

/// Hot: one copy of the weights. Returns the ratio to the peak.
void hot(int row, long m, double budget, double gate) {
  double log_peak = 0, log_eigen = 0;
  for (const case_of s : shapes) {
    std::vector<float> x(std::size_t(m * s.k), 0.5f), y(std::size_t(m * s.n));
    double peak = 0;
    contest c;
    c.run = {[&] { ours(x.data(), pool, sp::dtype::f32, y.data(), m, s); }, [&] { eigen(x.data(), pool, y.data(), m, s); },
             [&] { peak = std::max(peak, multiply_add_peak_once()); }};
    c.time(budget);
    const double flops = 2.0 * double(m) * double(s.k) * double(s.n), us = flops / c.taken[0], theirs = flops / c.taken[1];
    const std::string what = "hot M=" + std::to_string(m) + " K=" + std::to_string(s.k) + " N=" + std::to_string(s.n) + ": ours / peak";
    print(row, what.c_str(), us / peak, text("%.1f GFLOP/s, Eigen %.1f, peak %.1f", us / 1e9, theirs / 1e9, peak / 1e9), 0, c);
    log_peak += std::log(us / peak) / 6;
    log_eigen += std::log(us / theirs) / 6;
  }
  const std::string what = "hot M=" + std::to_string(m) + ", geometric mean: ours / peak";
  print(row, what.c_str(), std::exp(log_peak), text("ours / Eigen %.2f%.0s", std::exp(log_eigen), 0), gate, {});
}

void cold(int row, long m, sp::dtype t, double budget, double gate, bool against_eigen) {
  double log_read = 0, log_eigen = 0;
  for (const case_of s : shapes) {
    const long count = s.k * s.n, bytes = count * long(sp::bytes_of(t)), copies = pool_bytes / bytes, copies_f32 = pool_bytes / (count * 4);
    std::vector<float> x(std::size_t(m * s.k), 0.5f), y(std::size_t(m * s.n));
    long turn = 0;
    contest c;
    c.run = {[&] { ours(x.data(), reinterpret_cast<char*>(pool) + ++turn % copies * bytes, t, y.data(), m, s); },
             [&] { eigen(x.data(), pool + ++turn % copies_f32 * count, y.data(), m, s); },
             [&] { sink = read_all(pool + ++turn % copies_f32 * count, count); }};
    c.time(budget);
    const double us = double(bytes) / c.taken[0], theirs = double(count) * 4 / c.taken[1], read = double(count) * 4 / c.taken[2];
    const std::string what = "cold M=" + std::to_string(m) + " K=" + std::to_string(s.k) + " N=" + std::to_string(s.n) + " " + sp::name_of(t) + ": weight bytes / read";
    print(row, what.c_str(), us / read, text("%.1f GB/s, Eigen f32 %.1f, read %.1f", us / 1e9, theirs / 1e9, read / 1e9), 0, c);
    log_read += std::log(us / read) / 6;
    log_eigen += std::log(c.taken[1] / c.taken[0]) / 6;
  }
  const std::string what = "cold M=" + std::to_string(m) + " " + sp::name_of(t) + ", geometric mean: " + (against_eigen ? "ours / Eigen f32" : "ours / read");
  const double ratio = std::exp(against_eigen ? log_eigen : log_read);
  print(row, what.c_str(), ratio, text("of read %.2f, of Eigen %.2f", std::exp(log_read), std::exp(log_eigen)), gate, {});
}
}  // namespace

int main(int count, char** words) {
  const double budget = count > 1 ? std::atof(words[1]) : 0.15;
#if defined(__linux__)
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(std::size_t(sched_getcpu()), &one);
  sched_setaffinity(0, sizeof one, &one);
#endif
  pool = static_cast<float*>(sp::cpu::take(pool_bytes));
  for (long i = 0; i < pool_bytes / 4; ++i) pool[i] = float(i % 251 - 125) / 128;
  std::printf("vectors of %d bytes\n", sp::cpu::vector_bytes);
  hot(1, 8, budget, 0);
  hot(1, 64, budget, 0.80);
  hot(1, 128, budget, 0.80);
  hot(1, 512, budget, 0.80);
  cold(3, 1, sp::dtype::f32, budget, 0.92, false);
  cold(3, 1, sp::dtype::bf16, budget, 0, false);
  cold(2, 2, sp::dtype::f32, budget, 1.6, true);
  cold(2, 4, sp::dtype::f32, budget, 1.6, true);
  cold(2, 8, sp::dtype::f32, budget, 1.6, true);
  cold(2, 8, sp::dtype::bf16, budget, 1.6, true);
  cold(2, 16, sp::dtype::f32, budget, 1.6, true);
  cold(2, 64, sp::dtype::f32, budget, 1.6, true);
  sp::cpu::give(pool, pool_bytes);
}

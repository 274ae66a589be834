/// @file
/// The CPU kernels against this core's limits and against Eigen, as ratios of things timed alternately in one run.
///
///     kernels [seconds per figure]
///     kernels --classes [seconds per figure]                  # ours over Eigen for each class of products of a layer
///
/// Rows, named as in the scoreboard: 1 products of 64 and 512 rows over the multiply-add peak; 2 products of 8 rows with cold
/// weights over Eigen's; 3 one row with cold weights over the read bandwidth, f32 and bf16. "Cold" rotates through 1 GiB of
/// weights.
#include <cstdlib>
#include <cstring>
#include <functional>
#include <shardproof/backend/cpu.hpp>
#include <shardproof/backend/cpu/eigen_product.hpp>
#include "measure.hpp"
namespace {
namespace sp = shardproof;
using sp::cpu::matrix;

/// Things to time alternately, about 2 ms a repetition.
struct contest {
  std::vector<std::function<void()>> run;
  std::vector<bench::series> taken;                          ///< seconds per call
  void time(double budget) {
    const std::size_t n = run.size();
    std::vector<long> calls(n);
    taken.assign(n, {});
    for (std::size_t i = 0; i < n; ++i) {
      run[i]();
      const double start = bench::seconds();
      do run[i](), ++calls[i];
      while (bench::seconds() - start < 0.002);
    }
    const double end = bench::seconds() + budget * double(n);
    do
      for (std::size_t i = 0; i < n; ++i) {
        const long before = bench::preemptions();
        const double start = bench::seconds();
        for (long c = 0; c < calls[i]; ++c) run[i]();
        taken[i].add((bench::seconds() - start) / double(calls[i]), bench::preemptions() == before);
      }
    while (bench::seconds() < end);
  }
  double seconds(std::size_t i) const { return taken[i].median(); }
};

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
  sp::cpu::eigen_product<float>(m, s.n, s.k, {x, s.k, 1}, matrix<const float>{w, 1, s.k}, {y, s.n, 1}, false);
}

void print(int number, std::string what, double ratio, std::string facts, double gate, const contest* c = nullptr) {
  bench::row({.what = std::move(what), .ratio = ratio, .gate = gate, .facts = std::move(facts), .clean = c ? c->taken[0].clean.size() : 0,
              .total = c ? c->taken[0].all.size() : 0, .scoreboard = number});
}
std::string named(const char* kind, long m, case_of s, const char* rest) {
  return bench::text("%s M=%ld K=%ld N=%ld %s", kind, m, s.k, s.n, rest);
}

/// Hot: one copy of the weights.
void hot(int number, long m, double budget, double gate) {
  double log_peak = 0, log_eigen = 0;
  for (const case_of s : shapes) {
    std::vector<float> x(std::size_t(m * s.k), 0.5f), y(std::size_t(m * s.n));
    constexpr long rounds = 100000;
    contest c;
    c.run = {[&] { ours(x.data(), pool, sp::dtype::f32, y.data(), m, s); }, [&] { eigen(x.data(), pool, y.data(), m, s); },
             [&] { (void)bench::multiply_adds(rounds); }};
    c.time(budget);
    const double flops = 2.0 * double(m) * double(s.k) * double(s.n), us = flops / c.seconds(0), theirs = flops / c.seconds(1);
    const double peak = double(rounds) * 12 * sp::cpu::lanes<float> * 2 / c.seconds(2);
    print(number, named("hot", m, s, ": ours / peak"), us / peak, bench::text("%.1f GFLOP/s, Eigen %.1f, peak %.1f", us / 1e9, theirs / 1e9, peak / 1e9), 0, &c);
    log_peak += std::log(us / peak) / 6;
    log_eigen += std::log(us / theirs) / 6;
  }
  print(number, bench::text("hot M=%ld, geometric mean: ours / peak", m), std::exp(log_peak), bench::text("ours / Eigen %.2f", std::exp(log_eigen)), gate);
}

/// Cold: the weights rotate through 1 GiB of copies.
void cold(int number, long m, sp::dtype t, double budget, double gate, bool against_eigen) {
  double log_read = 0, log_eigen = 0;
  for (const case_of s : shapes) {
    const long count = s.k * s.n, bytes = count * long(sp::bytes_of(t)), copies = pool_bytes / bytes, copies_f32 = pool_bytes / (count * 4);
    std::vector<float> x(std::size_t(m * s.k), 0.5f), y(std::size_t(m * s.n));
    long turn = 0;
    contest c;
    c.run = {[&] { ours(x.data(), reinterpret_cast<char*>(pool) + ++turn % copies * bytes, t, y.data(), m, s); },
             [&] { eigen(x.data(), pool + ++turn % copies_f32 * count, y.data(), m, s); },
             [&] { bench::read_all(pool + ++turn % copies_f32 * count, count); }};
    c.time(budget);
    const double us = double(bytes) / c.seconds(0), theirs = double(count) * 4 / c.seconds(1), read = double(count) * 4 / c.seconds(2);
    print(number, named("cold", m, s, (std::string(sp::name_of(t)) + ": weight bytes / read").c_str()), us / read,
          bench::text("%.1f GB/s, Eigen f32 %.1f, read %.1f", us / 1e9, theirs / 1e9, read / 1e9), 0, &c);
    log_read += std::log(us / read) / 6;
    log_eigen += std::log(c.seconds(1) / c.seconds(0)) / 6;
  }
  print(number, bench::text("cold M=%ld %s, geometric mean: %s", m, sp::name_of(t), against_eigen ? "ours / Eigen f32" : "ours / read"),
        std::exp(against_eigen ? log_eigen : log_read), bench::text("of read %.2f, of Eigen %.2f", std::exp(log_read), std::exp(log_eigen)), gate);
}

/// The classes of products that a layer makes, forward and backward: which of the two is faster decides cpu/product.hpp.
enum class use { forward, input_gradient, weight_gradient };
template <class T> void against_eigen(use u, long m, bool is_cold, double budget) {
  double log_ratio = 0;
  T* const weights = reinterpret_cast<T*>(pool);
  std::size_t clean = 0, total = 0;
  for (const case_of s : shapes) {
    const long count = s.k * s.n, copies = is_cold ? pool_bytes / (count * long(sizeof(T))) : 1;
    std::vector<T> x(std::size_t(m * s.k), T(0.5)), dy(std::size_t(m * s.n), T(0.25)), out(std::size_t(std::max({m * s.n, m * s.k, count})));
    long turn = 0;
    const auto call = [&](auto product) {
      const T* const w = weights + ++turn % copies * count;
      if (u == use::forward) product(m, s.n, s.k, matrix<const T>{x.data(), s.k, 1}, matrix<const T>{w, 1, s.k}, matrix<T>{out.data(), s.n, 1});
      else if (u == use::input_gradient) product(m, s.k, s.n, matrix<const T>{dy.data(), s.n, 1}, matrix<const T>{w, s.k, 1}, matrix<T>{out.data(), s.k, 1});
      else product(s.n, s.k, m, matrix<const T>{dy.data(), 1, s.n}, matrix<const T>{x.data(), s.k, 1}, matrix<T>{out.data(), s.k, 1});
    };
    contest c;
    c.run = {[&] { call([](auto... a) { sp::cpu::product<T>(a..., false); }); }, [&] { call([](auto... a) { sp::cpu::eigen_product<T>(a..., false); }); }};
    c.time(budget);
    log_ratio += std::log(c.seconds(1) / c.seconds(0)) / 6;
    clean += c.taken[0].clean.size();
    total += c.taken[0].all.size();
  }
  constexpr const char* names[] = {"x W^T", "dy W", "dy^T x"};
  bench::row({.what = bench::text("%s, M=%ld, %s, %s: ours / Eigen", names[int(u)], m, sizeof(T) == 4 ? "f32" : "f64", is_cold ? "cold" : "hot"),
              .ratio = std::exp(log_ratio), .facts = "", .clean = clean, .total = total});
}
}  // namespace

int main(int count, char** words) {
  const bool classes = count > 1 && std::strcmp(words[1], "--classes") == 0;
  const int at = classes ? 2 : 1;
  const double budget = count > at ? std::atof(words[at]) : 0.15;
#if defined(__linux__)
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(std::size_t(sched_getcpu()), &one);
  sched_setaffinity(0, sizeof one, &one);
#endif
  pool = static_cast<float*>(sp::cpu::take(pool_bytes));
  for (long i = 0; i < pool_bytes / 4; ++i) pool[i] = float(i % 251 - 125) / 128;
  bench::describe_machine();
  if (classes) {
    constexpr use all[] = {use::forward, use::input_gradient, use::weight_gradient};
    for (const use u : all)
      for (const long m : {1l, 8l, 64l, 512l}) against_eigen<float>(u, m, m <= 8, budget);
    double* const numbers = reinterpret_cast<double*>(pool);
    for (long i = 0; i < pool_bytes / 8; ++i) numbers[i] = double(i % 251 - 125) / 128;
    for (const use u : all)
      for (const long m : {1l, 8l, 64l, 512l}) against_eigen<double>(u, m, m <= 8, budget);
  } else {
    hot(1, 8, budget, 0);
    for (const long m : {64l, 128l, 512l}) hot(1, m, budget, 0.80);
    cold(3, 1, sp::dtype::f32, budget, 0.92, false);
    cold(3, 1, sp::dtype::bf16, budget, 0, false);
    for (const long m : {2l, 4l, 8l}) cold(2, m, sp::dtype::f32, budget, 1.6, true);
    cold(2, 8, sp::dtype::bf16, budget, 1.6, true);
    for (const long m : {16l, 64l}) cold(2, m, sp::dtype::f32, budget, 1.6, true);
  }
  sp::cpu::give(pool, pool_bytes);
}

/// @file
/// All-reduce between thread ranks against what bounds it, a spinning barrier and memcpy, and against MPI_Allreduce.
///
///     collectives [--rounds N] [--mpi PATH/mpi_allreduce] [--strict]
///
/// Rows of the scoreboard: 4 (4 KiB, two ranks, over one barrier; lower is better), 5 (1 MiB, memcpy of as many bytes on both cores
/// at once over ours), 7 (64 KiB between four ranks on two cores, MPI with yield over ours); and MPI over ours for the first two.
/// Rounds alternate between ours, the limits and MPI. Ours is timed through `sp::self`, as a model calls it.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <shardproof/engine/threads.hpp>
#include "measure.hpp"

namespace {
namespace sp = shardproof;

/// The least that ranks can do to meet: one counter, one flag, both spun on.
class spinning_barrier {
  alignas(128) std::atomic<int> arrived_{0};
  alignas(128) std::atomic<int> turn_{0};
  const int ranks_;

 public:
  explicit spinning_barrier(int ranks) : ranks_(ranks) {}
  void wait() {
    const int turn = turn_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == ranks_) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
    } else
      while (turn_.load(std::memory_order_acquire) == turn) sp::in_process::pause_briefly();
  }
};

/// Seconds per call of `what` on all ranks, into `to`; rank 0 keeps the slowest rank's.
template <class F> void timed(bench::series& to, long calls, F&& what) {
  sp::communicator& c = *sp::self.on[0];
  c.barrier();
  const long before = bench::preemptions();
  const double start = bench::seconds();
  for (long i = 0; i < calls; ++i) what();
  double taken = (bench::seconds() - start) / double(calls), disturbed = double(bench::preemptions() - before);
  c.all_reduce(&taken, 1, sp::dtype::f64, sp::reduction::max);
  c.all_reduce(&disturbed, 1, sp::dtype::f64);
  // Ranks that share cores take them from each other: that is what is measured, and no disturbance.
  const bool shared = sp::ranks_on() > int(sp::in_process::usable_cores().size());
  if (sp::rank_on() == 0) to.add(taken, shared || disturbed == 0);
}

struct figures {
  std::map<long, bench::series> ours, copy, mpi;
  bench::series barrier;
  bool wrong = false;
};

/// A wrong sum is no figure: multiples of 1/256 are summed exactly.
bool right(long n) {
  std::vector<float> x(std::size_t(n), 0.0f);
  for (long i = 0; i < n; ++i) x[std::size_t(i)] = float(i % 511 + sp::rank_on()) / 256;
  sp::self.on[0]->all_reduce(x.data(), n, sp::dtype::f32);
  const int ranks = sp::ranks_on();
  for (long i = 0; i < n; ++i)
    if (x[std::size_t(i)] != float(ranks * (i % 511) + ranks * (ranks - 1) / 2) / 256) return false;
  return true;
}

void round_of(int ranks, const std::vector<long>& sizes, figures& f) {
  spinning_barrier gate(ranks);
  const bool limits = ranks <= int(sp::in_process::usable_cores().size());
  sp::run(ranks, [&] {
    for (long bytes : sizes) {
      if (!right(bytes / 4)) f.wrong = true;
      std::vector<float> data(std::size_t(bytes / 4), 0.0f), other(std::size_t(bytes / 4), 0.0f);
      const long calls = std::max(5l, std::min(4000l, (256l << 20) / ranks / (bytes + 8192)));
      for (int r = 0; r < 9; ++r) {
        const auto reduce = [&] { sp::self.on[0]->all_reduce(data.data(), bytes / 4, sp::dtype::f32); };
        if (r == 0) {
          for (long i = 0; i < calls / 4; ++i) reduce();
          continue;
        }
        timed(f.ours[bytes], calls, reduce);
        if (!limits) continue;
        timed(f.copy[bytes], calls, [&] {
          std::memcpy(other.data(), data.data(), std::size_t(bytes));
          asm volatile("" : : "r"(other.data()) : "memory");
        });
        timed(f.barrier, 20000, [&] { gate.wait(); });
      }
    }
  });
}

void run_mpi(const std::string& path, int ranks, const std::vector<long>& sizes, figures& f) {
  std::string line = "mpirun --allow-run-as-root -n " + std::to_string(ranks);
  line += ranks > 2 ? " --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 " : " --bind-to core --mca mpi_yield_when_idle 0 ";
  line += path;
  for (long b : sizes) line += " " + std::to_string(b);
  std::FILE* const out = ::popen((line + " 2>/dev/null").c_str(), "r");
  if (!out) return;
  long bytes = 0;
  double seconds = 0;
  std::size_t clean = 0, all = 0;
  // One figure a start, undisturbed if most of its repetitions were.
  while (std::fscanf(out, "%ld %lf %zu %zu", &bytes, &seconds, &clean, &all) == 4) f.mpi[bytes].add(seconds, clean * 2 >= all);
  ::pclose(out);
}
}  // namespace

int main(int count, char** words) {
  int rounds = 5;
  std::string mpi;
  bool strict = false;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--rounds" && i + 1 < count) rounds = std::atoi(words[++i]);
    else if (word == "--mpi" && i + 1 < count) mpi = words[++i];
    else if (word == "--strict") strict = true;
    else return std::fprintf(stderr, "collectives [--rounds N] [--mpi PATH] [--strict]\n"), 2;
  }
  bench::describe_machine();
  constexpr long small = 4 << 10, middle = 64 << 10, large = 1 << 20;
  const std::vector<long> of_two{small, middle, large}, of_four{middle};
  figures two, four;
  for (auto* f : {&two, &four})
    for (long b : of_two) f->ours[b], f->copy[b], f->mpi[b];           // here: the ranks only look them up
  for (int r = 0; r < rounds; ++r) {
    round_of(2, of_two, two);
    if (!mpi.empty()) run_mpi(mpi, 2, of_two, two);
    round_of(4, of_four, four);
    if (!mpi.empty()) run_mpi(mpi, 4, of_four, four);
  }
  if (two.wrong || four.wrong) return std::fprintf(stderr, "an all-reduce gave a wrong sum\n"), 1;

  const auto add = [](const char* what, double ratio, double gate, const bench::series& s, std::string facts, int number, bool lower) {
    bench::row({.what = what, .ratio = ratio, .gate = gate, .facts = std::move(facts), .clean = s.clean.size(), .total = s.all.size(), .lower_is_better = lower, .scoreboard = number});
  };
  const auto us = [](const bench::series& s) { return s.median() * 1e6; };
  const bench::series &a = two.ours[small], &b = two.ours[large], &c = four.ours[middle];
  add("all-reduce 4 KiB, 2 ranks / one spinning barrier (lower is better)", us(a) / us(two.barrier), 4, a, bench::text("%.2f and %.3f us", us(a), us(two.barrier)), 4, true);
  add("memcpy of 1 MiB on both cores / all-reduce 1 MiB, 2 ranks", us(two.copy[large]) / us(b), 1.0, b, bench::text("%.1f and %.1f us", us(two.copy[large]), us(b)), 5, false);
  if (mpi.empty()) std::printf("not measured against MPI: pass --mpi\n");
  else {
    for (long bytes : of_two)
      add(bench::text("MPI_Allreduce %ld KiB / ours, 2 ranks", bytes >> 10).c_str(), us(two.mpi[bytes]) / us(two.ours[bytes]), bytes == middle ? 0 : 1.0, two.ours[bytes],
          bench::text("%.2f and %.2f us", us(two.mpi[bytes]), us(two.ours[bytes])), bytes == middle ? 6 : 0, false);
    add("MPI_Allreduce 64 KiB with yield / ours, 4 ranks on 2 cores", us(four.mpi[middle]) / us(c), 3.5, c, bench::text("%.1f and %.1f us", us(four.mpi[middle]), us(c)), 7, false);
  }
  return strict && bench::gates_missed ? 1 : 0;
}

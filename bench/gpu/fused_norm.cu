/// @file
/// All-reduce, residual addition and RMS norm of virtual ranks in one kernel, against the three kernels, in a CUDA graph.
///
///     nvcc -std=c++20 -O3 --expt-relaxed-constexpr --extended-lambda -arch=native -Iinclude bench/gpu/fused_norm.cu -o fused_norm
///     ./fused_norm [--turns N] [--steps N] [--hidden N]    // a JSON line for each number of ranks and tokens
///
/// Row G4 of the scoreboard: separate / fused (higher is better), 2 and 4 ranks on one GPU, f32 rows of 4096. A graph is a chain of
/// steps; a rank has a stream, ranks wait for each other by events before each sum, and the normed rows of one step are the addends
/// of the next. `limit` is that of one node instead of three, where rows are few; the bytes allow (P + 6) / (P + 3).
/// Both are first compared: the residual bit for bit. Exits 2 without a GPU (SP504), 1 if they differ.
#include <cstdlib>
#include <memory>
#include <vector>
#include <shardproof/backend/cuda/elementwise.cuh>
#include <shardproof/backend/cuda/norm.cuh>
#include <shardproof/engine/cuda/fused_norm.cuh>
#include "rows.hpp"
#include "timed_graph.cuh"

namespace {
using namespace bench;
using sp::dtype;

/// P ranks of one device, each with a stream, addends in two buffers that take turns, and a residual.
class virtual_ranks {
 public:
  const int count;
  const long rows, n;
  std::vector<cudaStream_t> streams;
  cu::peer_table parity[2];                              ///< the addends of even and of odd steps

  virtual_ranks(int p, long tokens, long hidden) : count(p), rows(tokens), n(hidden) {
    for (int r = 0; r < p; ++r) {
      cudaStream_t s = nullptr;
      cu::check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "a stream");
      streams.push_back(s);
      for (auto& t : parity) t.data[r] = block();
      residual_.push_back(block());
      sum_.push_back(block());
      weight_.push_back(block());
    }
    for (auto& t : parity) t.ranks = t.ranks_here = p;
  }
  virtual_ranks(const virtual_ranks&) = delete;
  ~virtual_ranks() {
    cu::wait();
    for (const cudaStream_t s : streams) (void)cudaStreamDestroy(s);
  }
  /// The same for both ways: addends that differ from rank to rank, a residual, gains.
  void reset() const {
    std::vector<float> host(std::size_t(rows * n));
    const auto set = [&](void* p, long salt) {
      for (std::size_t i = 0; i < host.size(); ++i) host[i] = float((long(i) * 31 + salt * 17) % 257 - 128) / 256;
      cu::upload(of(p), host.data());
    };
    for (int r = 0; r < count; ++r) {
      for (const auto& t : parity) set(t.data[r], r);
      set(residual_[std::size_t(r)], 100);
      set(weight_[std::size_t(r)], 200);
    }
  }
  std::vector<float> residual(int r) const { return host_of(residual_[std::size_t(r)]); }
  std::vector<float> normed(int r, int step) const { return host_of(parity[(step + 1) % 2].data[r]); }

  /// Rank r's part of step k, on this queue's stream.
  void step(int r, int k, bool fused) const {
    const std::size_t i = std::size_t(r);
    const sp::view residual = of(residual_[i]), sum = of(sum_[i]), y = of(parity[(k + 1) % 2].data[r]), w{weight_[i], dtype::f32, {n}};
    if (fused) return cu::all_reduce_norm<cu::events>(parity[k % 2], r, nullptr, residual, y, w, 1e-5, 0, blocks());
    cu::way how = cu::way_for(count, rows * n * 4, blocks());
    how.how = cu::shots::one;
    cu::all_reduce<cu::events>(parity[k % 2], r, nullptr, sum.p, rows * n, dtype::f32, sp::reduction::sum, how);
    cu::add(residual, residual, sum);
    cu::rms_norm(y, residual, w, 1e-5, 0);
  }

 private:
  std::vector<void*> residual_, sum_, weight_;
  std::vector<std::unique_ptr<memory>> blocks_;
  void* block() { return blocks_.emplace_back(std::make_unique<memory>(rows * n * 4))->p; }
  unsigned blocks() const { return cu::most_blocks / unsigned(count); }
  sp::view of(void* p) const { return {p, dtype::f32, {rows, n}}; }
  std::vector<float> host_of(void* p) const {
    std::vector<float> host(std::size_t(rows * n));
    cu::download(host.data(), of(p));
    return host;
  }
};

/// Every stream of `to` waits for every stream of `from`.
class marks {
  std::vector<cudaEvent_t> all_;

 public:
  marks() = default;
  marks(const marks&) = delete;
  ~marks() {
    for (const cudaEvent_t e : all_) (void)cudaEventDestroy(e);
  }
  void join(const std::vector<cudaStream_t>& from, const std::vector<cudaStream_t>& to) {
    const std::size_t first = all_.size();
    for (const cudaStream_t f : from) {
      cu::check(cudaEventCreateWithFlags(&all_.emplace_back(), cudaEventDisableTiming), "an event");
      cu::check(cudaEventRecord(all_.back(), f), "an event");
    }
    for (std::size_t f = 0; f < from.size(); ++f)
      for (const cudaStream_t t : to)
        if (t != from[f]) cu::check(cudaStreamWaitEvent(t, all_[first + f], 0), "an event");
  }
};
/// This queue launches on another stream.
struct on_stream {
  cudaStream_t before = cu::own_queue().stream;
  explicit on_stream(cudaStream_t s) { cu::own_queue().stream = s; }
  on_stream(const on_stream&) = delete;
  ~on_stream() { cu::own_queue().stream = before; }
};

void queue_chain(const virtual_ranks& v, marks& m, int steps, bool fused) {
  const std::vector<cudaStream_t> own{cu::own_queue().stream};
  m.join(own, v.streams);
  for (int k = 0; k < steps; ++k) {
    if (k) m.join(v.streams, v.streams);
    for (int r = 0; r < v.count; ++r) {
      const on_stream there(v.streams[std::size_t(r)]);
      v.step(r, k, fused);
    }
  }
  m.join(v.streams, own);
}

/// Of a chain of three steps.
bool agree(const virtual_ranks& v) {
  constexpr int steps = 3;
  std::vector<std::vector<float>> sums, norms;
  for (const bool fused : {false, true}) {
    v.reset();
    marks m;
    timed_graph([&] { queue_chain(v, m, steps, fused); }).microseconds();
    for (int r = 0; r < v.count; ++r) sums.push_back(v.residual(r)), norms.push_back(v.normed(r, steps - 1));
  }
  // A norm's last bit may differ (its squares are summed in another order), and with it what follows: not in the first step.
  const std::size_t p = std::size_t(v.count);
  for (std::size_t r = 0; r < p; ++r)
    for (std::size_t i = 0; i < norms[r].size(); ++i) {
      const float a = norms[r][i], b = norms[p + r][i], c = sums[r][i], d = sums[p + r][i];
      if (!(std::abs(a - b) <= 1e-4f * (1 + std::abs(a)) && std::abs(c - d) <= 1e-4f * (1 + std::abs(c)) && a == norms[0][i] && b == norms[p][i])) return false;
    }
  return true;
}
bool first_step_agrees(const virtual_ranks& v) {
  std::vector<float> sums[2];
  for (const bool fused : {false, true}) {
    v.reset();
    marks m;
    timed_graph([&] { queue_chain(v, m, 1, fused); }).microseconds();
    sums[fused] = v.residual(v.count - 1);
  }
  return sums[0] == sums[1];
}

bool measure(int ranks, long tokens, long hidden, int turns, int steps) {
  const virtual_ranks v(ranks, tokens, hidden);
  cu::wait();                                            // the blocks are there for every stream
  if (!first_step_agrees(v) || !agree(v)) return false;
  v.reset();
  marks m;
  const timed_graph separate([&] { queue_chain(v, m, steps, false); }), fused([&] { queue_chain(v, m, steps, true); });
  bench::pairs t;
  for (int i = 0; i < turns + 2; ++i) {
    const double a = separate.microseconds() / steps, b = fused.microseconds() / steps;
    if (i >= 2) t.add(a, b);
  }
  const double bytes = double(ranks * (ranks + 3)) * double(tokens * hidden) * 4;
  line("G4", "separate / fused all-reduce, add, norm", std::to_string(ranks) + " ranks").add("tokens", tokens).add("hidden", hidden)
      .add("us", t.second.median()).add("best_us", t.second.best()).add("separate_us", t.first.median())
      .add("tb_s", bytes / t.second.median() / 1e6).add("limit_by_bytes", double(ranks + 6) / double(ranks + 3)).add("steps", steps)
      .ratio(t.ratios, {.limit = 3, .gate = 1.2}).print();
  return true;
}
}  // namespace

int main(int count, char** words) {
  int turns = 21, steps = 100;
  long hidden = 4096;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--turns" && i + 1 < count) turns = std::max(1, std::atoi(words[++i]));
    else if (word == "--steps" && i + 1 < count) steps = std::max(1, std::atoi(words[++i]));
    else if (word == "--hidden" && i + 1 < count) hidden = std::max(1l, std::atol(words[++i]));
    else return std::fprintf(stderr, "fused_norm [--turns N] [--steps N] [--hidden N]\n"), 1;
  }
  ::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);      // a queue of its own for each stream
  return run([&] {
    for (const int ranks : {2, 4})
      for (long tokens = 1; tokens <= 64; tokens *= 2)
        if (!measure(ranks, tokens, hidden, turns, steps)) return std::fprintf(stderr, "fused and separate differ (%d ranks, %ld tokens)\n", ranks, tokens), 1;
    return 0;
  });
}

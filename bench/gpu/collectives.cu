/// @file
/// One-shot all-reduce of virtual ranks on one GPU inside a CUDA graph, against empty kernels of the same geometry in the same graph.
///
///     nvcc -std=c++20 -O3 --expt-relaxed-constexpr --extended-lambda -arch=native -Iinclude bench/gpu/collectives.cu -o collectives
///     ./collectives [--pairs N] [--steps N] [--flags]      // a JSON line for each number of ranks, size and way of waiting
///
/// Row G2 of the scoreboard: up to 64 KiB, with 2 and 4 ranks, time / empty kernel node (lower is better). A graph is a chain of steps
/// in which the sum of one step is the addend of the next. `events`: a node for each rank, each after all of the step before, as the
/// host would order them. `one grid`: one cooperative node with a meeting inside, so that it also copies its addends. `flags`: a
/// chain of nodes for each rank, which wait for each other; nothing guarantees that all run at once, hence only if asked. Runs of
/// ours and of empty kernels alternate; the ratio is the median of pairs. Exits 2 without a GPU (SP504), 1 if a sum is wrong or the device fails.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>
#include <shardproof/engine/cuda/all_reduce.cuh>

namespace {
namespace sp = shardproof;
namespace cu = shardproof::cuda;

/// Takes what the all-reduce takes, and does nothing.
template <class Sync>
__global__ void nothing(const __grid_constant__ cu::peer_detail::party, const __grid_constant__ cu::peer_detail::pieces, long, sp::reduction,
                        const __grid_constant__ Sync) {}
/// One node: the all-reduce of a rank (under one grid of all), or an empty kernel of its geometry.
template <class Sync> void queue_step(const cu::peer_detail::party& who, const cu::way& w, const Sync& sync, long count, bool empty) {
  constexpr auto sum = sp::reduction::sum;
  auto kernel = cu::peer_detail::kernel_for<float>(who.peers.ranks, sum, [](auto ranks) { return cu::peer_detail::reduce_one_shot<float, ranks(), Sync>; });
  const unsigned blocks = cu::peer_detail::allowed_blocks<Sync>(kernel, who.peers, w.blocks, w.threads);
  if (empty) kernel = nothing<Sync>;
  cu::peer_detail::launch_meeting<Sync>("all_reduce", kernel, who, blocks, w.threads, cu::peer_detail::pieces{{}, {count}, 1}, 0, sum, sync);
}

enum class waiting { events, one_grid, flags };
constexpr const char* name_of(waiting w) { return w == waiting::events ? "events" : w == waiting::one_grid ? "one grid" : "flags"; }

double quantile(std::vector<double> v, double q) {
  std::sort(v.begin(), v.end());
  return v[std::min(v.size() - 1, std::size_t(q * double(v.size())))];
}

/// Streams of P ranks, and their addends in two buffers each, which take turns.
class virtual_ranks {
 public:
  const int count;
  const long bytes;
  std::vector<cudaStream_t> streams;
  cu::peer_table parity[2];                              // events: data of even and of odd steps
  cu::peer_table slots;                                  // one grid and flags
  cu::ends own;                                          // one grid

  virtual_ranks(int p, long n) : count(p), bytes(n) {
    const long room = (n + 127) / 128 * 128;
    for (int r = 0; r < p; ++r) {
      cudaStream_t s = nullptr;
      cu::check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "a stream");
      streams.push_back(s);
      for (auto& t : parity) cu::check(cudaMalloc(&t.data[r], std::size_t(room)), "memory");
      regions_.push_back(cu::make_region(std::max(room, 128l * p)));
      slots.data[r] = regions_.back().data;
      slots.flags[r] = regions_.back().flags;
      own.from[r] = own.to[r] = parity[0].data[r];
    }
    for (auto* t : {&parity[0], &parity[1], &slots}) t->ranks = t->ranks_here = p;
    slots.slot_bytes = std::max(room, 128l * p);
  }
  virtual_ranks(const virtual_ranks&) = delete;
  ~virtual_ranks() {
    for (int r = 0; r < count; ++r) {
      (void)cudaStreamDestroy(streams[std::size_t(r)]);
      for (auto& t : parity) (void)cudaFree(t.data[r]);
      cu::free_region(regions_[std::size_t(r)]);
    }
  }
  void set(float (*value)(int rank, long i)) const {
    std::vector<float> host(std::size_t(bytes / 4));
    for (int r = 0; r < count; ++r) {
      for (std::size_t i = 0; i < host.size(); ++i) host[i] = value(r, long(i));
      cu::check(cudaMemcpy(parity[0].data[r], host.data(), std::size_t(bytes), cudaMemcpyHostToDevice), "a copy");
    }
  }
  /// Is `data` of every rank the sum of what `set` put there?
  bool holds_sum(const cu::peer_table& t, float (*value)(int rank, long i)) const {
    std::vector<float> host(std::size_t(bytes / 4));
    for (int r = 0; r < count; ++r) {
      cu::check(cudaMemcpy(host.data(), t.data[r], std::size_t(bytes), cudaMemcpyDeviceToHost), "a copy");
      for (std::size_t i = 0; i < host.size(); ++i) {
        float sum = 0;
        for (int q = 0; q < count; ++q) sum += value(q, long(i));
        if (host[i] != sum) return false;
      }
    }
    return true;
  }

 private:
  std::vector<cu::peer_region> regions_;
};

/// A chain of steps as a graph, and how long it takes.
class chain {
  cudaGraphExec_t graph_ = nullptr;
  cudaStream_t stream_;
  cudaEvent_t from_ = nullptr, to_ = nullptr;

  static void join(const std::vector<cudaStream_t>& streams, std::vector<cudaEvent_t>& marks, bool all) {
    for (std::size_t r = 0; r < streams.size(); ++r) {
      cudaEvent_t e = nullptr;
      cu::check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "an event");
      cu::check(cudaEventRecord(e, streams[r]), "an event");
      marks.push_back(e);
    }
    for (std::size_t r = 0; r < (all ? streams.size() : 1); ++r)
      for (std::size_t q = 0; q < streams.size(); ++q)
        if (q != r) cu::check(cudaStreamWaitEvent(streams[r], marks[marks.size() - streams.size() + q], 0), "an event");
  }
  static void step(const virtual_ranks& v, waiting w, const cu::way& way, int k, int rank, bool empty) {
    using cu::peer_detail::party_of;
    const long n = v.bytes / 4;
    if (w == waiting::one_grid) queue_step(party_of(v.slots, v.own), way, cu::one_grid{}, n, empty);
    else if (w == waiting::events) queue_step(party_of(v.parity[k % 2], rank, nullptr, v.parity[(k + 1) % 2].data[rank]), way, cu::events{}, n, empty);
    else {
      void* const x = v.parity[0].data[rank];
      cu::flags f = cu::flags::here();
      f.looks = 1u << 20;
      queue_step(party_of(v.slots, rank, x, x), way, f, n, empty);
    }
  }

 public:
  chain(const virtual_ranks& v, waiting w, const cu::way& way, int steps, bool empty) : stream_(v.streams[0]) {
    cu::queue& q = cu::own_queue();
    const cudaStream_t before = q.stream;
    std::vector<cudaEvent_t> marks;
    cudaGraph_t g = nullptr;
    const bool apart = w != waiting::one_grid && v.count > 1;
    cu::check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "the begin of a capture");
    if (apart) {                                         // the other streams begin after the first one
      cudaEvent_t e = nullptr;
      cu::check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "an event");
      cu::check(cudaEventRecord(e, stream_), "an event");
      marks.push_back(e);
      for (std::size_t r = 1; r < v.streams.size(); ++r) cu::check(cudaStreamWaitEvent(v.streams[r], e, 0), "an event");
    }
    for (int k = 0; k < steps; ++k) {
      for (int r = 0; r < (w == waiting::one_grid ? 1 : v.count); ++r) {
        q.stream = v.streams[std::size_t(r)];
        step(v, w, way, k, r, empty);
      }
      if (apart && w == waiting::events && k + 1 < steps) join(v.streams, marks, true);
    }
    if (apart) join(v.streams, marks, false);
    q.stream = before;
    cu::check(cudaStreamEndCapture(stream_, &g), "the end of a capture");
    cu::check(cudaGraphInstantiate(&graph_, g, 0), "a graph");
    (void)cudaGraphDestroy(g);
    for (cudaEvent_t e : marks) (void)cudaEventDestroy(e);
    cu::check(cudaEventCreateWithFlags(&from_, cudaEventDefault), "an event");
    cu::check(cudaEventCreateWithFlags(&to_, cudaEventDefault), "an event");
  }
  chain(const chain&) = delete;
  ~chain() {
    (void)cudaGraphExecDestroy(graph_);
    (void)cudaEventDestroy(from_);
    (void)cudaEventDestroy(to_);
  }
  /// Microseconds of a run.
  double run() const {
    float ms = 0;
    cu::check(cudaEventRecord(from_, stream_), "an event");
    cu::check(cudaGraphLaunch(graph_, stream_), "a graph");
    cu::check(cudaEventRecord(to_, stream_), "an event");
    cu::check(cudaEventSynchronize(to_), "a graph");
    cu::report_lost_peers();
    cu::check(cudaEventElapsedTime(&ms, from_, to_), "a time");
    return double(ms) * 1e3;
  }
};

/// Multiples of 1/256 are summed exactly.
float some_value(int rank, long i) { return float(i % 511 + rank) / 256; }
float zero(int, long) { return 0; }

bool measure(int ranks, long bytes, waiting w, int pairs, int steps) {
  const virtual_ranks v(ranks, bytes);
  cu::way way = cu::way_for(ranks, bytes, w == waiting::events ? cu::most_blocks / unsigned(ranks) : cu::usual_blocks);
  way.how = cu::shots::one;
  v.set(some_value);
  chain(v, w, way, 1, false).run();
  if (!v.holds_sum(w == waiting::events ? v.parity[1] : v.parity[0], some_value)) return false;
  v.set(zero);
  const int some = bytes > 256 << 10 ? std::max(1, steps / 8) : steps;
  const chain ours(v, w, way, some, false), empty(v, w, way, some, true);
  std::vector<double> a, b, ratios;
  for (int i = 0; i < pairs + 2; ++i) {
    const double x = ours.run() / some, y = empty.run() / some;
    if (i < 2) continue;                                 // the first runs warm up
    a.push_back(x);
    b.push_back(y);
    ratios.push_back(x / y);
  }
  const bool row = bytes <= 64 << 10 && ranks <= 4;
  std::printf("{\"row\": \"%s\", \"what\": \"one-shot all-reduce in a graph / empty kernel nodes\", \"waiting\": \"%s\", \"ranks\": %d, \"bytes\": %ld, ",
              row ? "G2" : "-", name_of(w), ranks, bytes);
  std::printf("\"blocks\": %u, \"threads\": %u, \"us\": %.3f, \"best_us\": %.3f, \"empty_us\": %.3f, \"ratio\": %.3f, \"ratio_25\": %.3f, \"ratio_75\": %.3f, ",
              way.blocks, way.threads, quantile(a, 0.5), quantile(a, 0), quantile(b, 0.5), quantile(ratios, 0.5), quantile(ratios, 0.25),
              quantile(ratios, 0.75));
  std::printf("\"pairs\": %d, \"steps\": %d", pairs, some);
  if (row) std::printf(", \"gate\": 3, \"pass\": %s", quantile(ratios, 0.5) <= 3 ? "true" : "false");
  std::printf("}\n");
  std::fflush(stdout);
  return true;
}
}  // namespace

int main(int count, char** words) {
  int pairs = 21, steps = 200;
  bool flags = false;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--pairs" && i + 1 < count) pairs = std::max(1, std::atoi(words[++i]));
    else if (word == "--steps" && i + 1 < count) steps = std::max(1, std::atoi(words[++i]));
    else if (word == "--flags") flags = true;
    else return std::fprintf(stderr, "collectives [--pairs N] [--steps N] [--flags]\n"), 2;
  }
  ::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);      // a queue of its own for each stream
  try {
    const cu::queue& q = cu::own_queue();
    cudaDeviceProp device{};
    int driver = 0, runtime = 0;
    cu::check(cudaGetDeviceProperties(&device, q.device), "the device's properties");
    cu::check(cudaDriverGetVersion(&driver), "the driver");
    cu::check(cudaRuntimeGetVersion(&runtime), "the runtime");
    std::printf("{\"device\": \"%s\", \"processors\": %d, \"driver\": %d, \"runtime\": %d}\n", device.name, q.processors, driver, runtime);
    for (int ranks : {2, 4, 8})
      for (waiting w : {waiting::events, waiting::one_grid, waiting::flags})
        for (long bytes = 512; bytes <= 4 << 20; bytes *= 2)
          if ((w != waiting::flags || flags) && !measure(ranks, bytes, w, pairs, steps))
            return std::fprintf(stderr, "a sum of %d ranks is wrong (%s, %ld bytes)\n", ranks, name_of(w), bytes), 1;
  } catch (const sp::error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return e.which() == sp::code::no_device ? 2 : 1;
  }
}

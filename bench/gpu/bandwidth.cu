/// @file
/// Limits of this GPU, in the same run as what is compared with them: memory bandwidth, and an empty kernel in a graph.
///
///     nvcc -std=c++20 -O3 --expt-relaxed-constexpr --extended-lambda -arch=native -Iinclude bench/gpu/bandwidth.cu -o bandwidth
///     ./bandwidth [--bytes N] [--turns N]                  // copy (read + written), read, and microseconds of a node
///
/// 1 GiB, many times the L2. Exits 2 without a GPU (SP504): the shortest of the benches asks first.
#include <cstdlib>
#include <vector>
#include <shardproof/backend/cuda/map.cuh>
#include "rows.hpp"
#include "timed_graph.cuh"

namespace {
using namespace bench;

template <class T> __global__ void read_all(T* sums, const T* x, long packs) {
  constexpr int N = 16 / int(sizeof(T)), together = 8;
  T s = 0;
  long i = cu::first_index();
  const long step = cu::index_stride();
  for (; i + (together - 1) * step < packs; i += together * step) {
    cu::pack<T, N> p[together];
#pragma unroll
    for (int k = 0; k < together; ++k) p[k] = cu::pack_at<N>(x, i + k * step);
#pragma unroll
    for (int k = 0; k < together; ++k)
#pragma unroll
      for (int e = 0; e < N; ++e) s += p[k].of[e];
  }
  for (; i < packs; i += step) s += x[i * N];
  if (s == T(-1)) sums[0] = s;                           // never: they are positive, and the compiler does not know
}
template <class T> __global__ void nothing(T*) {}

int measure(long bytes, int turns) {
  const memory x(bytes), y(bytes);
  const sp::view of_x{x.p, sp::dtype::f32, {bytes / 4}};
  cu::check(cudaMemsetAsync(x.p, 0x3c, x.bytes, cu::own_queue().stream), "a clear");
  const cu::queue& q = cu::own_queue();
  constexpr int nodes = 200;
  const timed_graph copy([&] { cu::check(cudaMemcpyAsync(y.p, x.p, x.bytes, cudaMemcpyDeviceToDevice, cu::own_queue().stream), "a copy"); });
  const timed_graph read([&] {
    const cu::geometry g{.blocks = unsigned(cu::own_queue().processors) * 8, .threads = 256};
    cu::launch("read_all", read_all<float>, g, static_cast<float*>(y.p), static_cast<const float*>(x.p), of_x.count() / 4);
  });
  const timed_graph empty([&] {
    for (int i = 0; i < nodes; ++i) cu::launch("nothing", nothing<float>, cu::geometry{.blocks = 1, .threads = 32}, static_cast<float*>(y.p));
  });
  numbers copied, was_read, node;
  for (int i = 0; i < turns + 2; ++i) {
    const double a = copy.microseconds(), b = read.microseconds(), c = empty.microseconds() / nodes;
    if (i < 2) continue;                                 // the first ones warm up
    copied.add(2 * double(bytes) / a / 1e6);
    was_read.add(double(bytes) / b / 1e6);
    node.add(c);
  }
  line("limit", "device copy, read and written", "TB/s").add("processors", q.processors).add("bytes", bytes)
      .add("copy_tb_s", copied.median()).add("ratio", copied.median() / 4.8).print();
  line("limit", "device read", "TB/s").add("bytes", bytes).add("read_tb_s", was_read.median()).add("ratio", was_read.median() / 4.8).print();
  line("limit", "empty kernel node in a graph", "us").add("nodes", nodes).add("node_us", node.median()).print();
  return 0;
}
}  // namespace

int main(int count, char** words) {
  long bytes = 1l << 30;
  int turns = 15;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--bytes" && i + 1 < count) bytes = std::max(1024l, std::atol(words[++i]) / 1024 * 1024);
    else if (word == "--turns" && i + 1 < count) turns = std::max(1, std::atoi(words[++i]));
    else return std::fprintf(stderr, "bandwidth [--bytes N] [--turns N]\n"), 1;
  }
  return run([&] { return measure(bytes, turns); });
}

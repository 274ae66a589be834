/// @file
/// Matrix products of a transformer block: ours, as the library calls them, against the best of cuBLASLt's algorithms.
///
///     nvcc -std=c++20 -O3 --expt-relaxed-constexpr --extended-lambda -arch=native -Iinclude bench/gpu/products.cu -o products -lcublasLt
///     ./products [--turns N] [--quick] [--tiny]            // a JSON line for each product; --tiny: small ones, for the emulator
///     SHARDPROOF_CUDA_TUNE=1 ./products                    // ours choose by time too
///
/// Row G1 of the scoreboard: best cuBLASLt / ours, for y[m,n] = x[m,k] w[n,k]^T of Llama-8B and Llama-1B. `bf16`: both operands bf16,
/// sums and y f32; `f32`: exact. `f32 x bf16` is what a model calls, activations in f32 and weights in bf16, against the same
/// algorithms on activations that are bf16 already; it has no gate. The peer has descriptors of its own and up to 256 proposals, each
/// timed by itself as a graph; the best of them and ours then take turns. Up to 16 rows the weights rotate through copies that exceed
/// the L2. Operands are multiples of 1/16, so that sums are exact and sampled elements must be equal. Exits 2 without a GPU, 1 if one is wrong.
#include <vector>
#include <shardproof/backend/cuda/matmul.cuh>
#include "rows.hpp"
#include "timed_graph.cuh"

namespace {
using namespace bench;
using sp::dtype;

struct problem {
  const char* model;
  long m, n, k;
  dtype a, b;                                            ///< of x and w; the result is f32
  std::string types() const { return a == b ? (a == dtype::f32 ? "f32" : "bf16") : "f32 x bf16"; }
  double flop() const { return 2.0 * double(m) * double(n) * double(k); }
  double bytes() const { return double(m * k) * double(sp::bytes_of(a)) + double(n * k) * double(sp::bytes_of(b)) + 4.0 * double(m * n); }
};
/// Multiples of 1/16 up to a half: exact in bf16, and so are their sums in f32.
__host__ __device__ constexpr float element(long i, long salt) { return float((i * 2654435761l + salt * 40503l) / 65536 % 17 - 8) / 16; }

template <class T> __global__ void set_elements(T* p, long n, long salt) {
  for (long i = cu::first_index(); i < n; i += cu::index_stride()) cu::store(p, i, element(i, salt));
}
void set(void* p, dtype t, long n, long salt) {
  if (t == dtype::bf16) cu::launch("set_elements", set_elements<sp::bf16>, cu::over(n), static_cast<sp::bf16*>(p), n, salt);
  else cu::launch("set_elements", set_elements<float>, cu::over(n), static_cast<float*>(p), n, salt);
}

/// x, copies of w that take turns, and y.
class operands {
 public:
  const problem p;
  const int copies;
  const memory x, narrow, w, y;                          ///< narrow: x in bf16, for the peer
  operands(const problem& q, int n)
      : p(q), copies(n), x(q.m * q.k * long(sp::bytes_of(q.a))), narrow(q.a == q.b ? 0 : q.m * q.k * 2),
        w(n * q.n * q.k * long(sp::bytes_of(q.b))), y(q.m * q.n * 4) {
    set(x.p, p.a, p.m * p.k, 1);
    if (narrow.p) set(narrow.p, p.b, p.m * p.k, 1);
    for (int i = 0; i < copies; ++i) set(weights(i), p.b, p.n * p.k, 2);
  }
  void* weights(int i) const { return static_cast<char*>(w.p) + std::size_t(i % copies) * std::size_t(p.n * p.k) * sp::bytes_of(p.b); }
  const void* of_peer() const { return narrow.p ? narrow.p : x.p; }
  void spoil() const { cu::check(cudaMemsetAsync(y.p, 0xff, y.bytes, cu::own_queue().stream), "a clear"); }
  /// Sampled elements of y.
  bool is_right() const {
    std::vector<float> host(std::size_t(p.m * p.n));
    cu::download(host.data(), {y.p, dtype::f32, {p.m, p.n}});
    for (long s = 0; s < 97; ++s) {
      const long i = s == 0 ? 0 : s == 1 ? p.m * p.n - 1 : s * 7919 * 104729 % (p.m * p.n), row = i / p.n, column = i % p.n;
      double sum = 0;
      for (long l = 0; l < p.k; ++l) sum += double(element(row * p.k + l, 1)) * double(element(column * p.k + l, 2));
      if (double(host[std::size_t(i)]) != sum) return false;
    }
    return true;
  }
};

void ours(const operands& o, int i) {
  const problem& p = o.p;
  const sp::view x{o.x.p, p.a, {p.m, p.k}}, w{o.weights(i), p.b, {p.n, p.k}}, y{o.y.p, dtype::f32, {p.m, p.n}};
  cu::matmul({.a = x, .b = w, .c = y, .m = p.m, .n = p.n, .k = p.k, .tb = true});
}

void need(cublasStatus_t s, const char* what) {
  if (s != CUBLAS_STATUS_SUCCESS) cu::refuse_lt(s, what, "the peer's product");
}
/// Named, since nvcc 13 stops at a vector of an unnamed type.
struct proposal : cublasLtMatmulHeuristicResult_t {};
/// cuBLASLt by itself: column-major, y^T[n,m] = (w^T)^T[n,k] x^T[k,m].
class peer {
  static constexpr std::size_t workspace_bytes = std::size_t(64) << 20;
  static constexpr int wanted = 256;
  static cublasLtHandle_t new_handle() {
    cublasLtHandle_t h = nullptr;
    need(cublasLtCreate(&h), "the start of cuBLASLt");
    return h;
  }
  static cublasLtHandle_t handle() {
    static const cublasLtHandle_t h = new_handle();
    return h;
  }
  cublasLtMatmulDesc_t what_ = nullptr;
  cublasLtMatrixLayout_t w_ = nullptr, x_ = nullptr, y_ = nullptr;
  memory workspace_{long(workspace_bytes)};

 public:
  std::vector<proposal> found;
  explicit peer(const problem& p) {
    need(cublasLtMatmulDescCreate(&what_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a description");
    const cublasOperation_t turned = CUBLAS_OP_T;
    need(cublasLtMatmulDescSetAttribute(what_, CUBLASLT_MATMUL_DESC_TRANSA, &turned, sizeof turned), "a description");
    const cudaDataType_t t = p.b == dtype::bf16 ? CUDA_R_16BF : CUDA_R_32F;
    need(cublasLtMatrixLayoutCreate(&w_, t, std::uint64_t(p.k), std::uint64_t(p.n), p.k), "a layout");
    need(cublasLtMatrixLayoutCreate(&x_, t, std::uint64_t(p.k), std::uint64_t(p.m), p.k), "a layout");
    need(cublasLtMatrixLayoutCreate(&y_, CUDA_R_32F, std::uint64_t(p.n), std::uint64_t(p.m), p.n), "a layout");
    cublasLtMatmulPreference_t wish = nullptr;
    need(cublasLtMatmulPreferenceCreate(&wish), "a wish");
    const std::uint64_t most = workspace_bytes;
    need(cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most), "a wish");
    static cublasLtMatmulHeuristicResult_t list[wanted];
    int count = 0;
    need(cublasLtMatmulAlgoGetHeuristic(handle(), what_, w_, x_, y_, y_, wish, wanted, list, &count), "the proposals");
    for (int i = 0; i < count; ++i) found.push_back({list[i]});
    (void)cublasLtMatmulPreferenceDestroy(wish);
  }
  peer(const peer&) = delete;
  ~peer() {
    for (const auto l : {w_, x_, y_}) (void)cublasLtMatrixLayoutDestroy(l);
    (void)cublasLtMatmulDescDestroy(what_);
  }
  cublasStatus_t run(const operands& o, int i, const proposal& how) {
    const float one = 1, zero = 0;
    return cublasLtMatmul(handle(), what_, &one, o.weights(i), w_, o.of_peer(), x_, &zero, o.y.p, y_, o.y.p, y_, &how.algo, workspace_.p,
                          how.workspaceSize, cu::own_queue().stream);
  }
  /// The fastest proposal first; those that do not run, or not rightly, are left out.
  void sort(const operands& o, int runs) {
    std::vector<std::pair<double, std::size_t>> times;
    for (std::size_t f = 0; f < found.size(); ++f) {
      o.spoil();
      if (found[f].state != CUBLAS_STATUS_SUCCESS || run(o, 0, found[f]) != CUBLAS_STATUS_SUCCESS || !(o.p.m * o.p.n > 1 << 22 || o.is_right())) continue;
      const timed_graph g([&] { for (int i = 0; i < runs; ++i) need(run(o, i, found[f]), "a product"); });
      const double first = g.microseconds(), second = g.microseconds();
      times.emplace_back(std::min(first, second), f);
    }
    std::sort(times.begin(), times.end());
    std::vector<proposal> sorted;
    for (const auto& [us, f] : times) sorted.push_back(found[f]);
    found = sorted;
    if (found.empty()) need(CUBLAS_STATUS_NOT_SUPPORTED, "every proposal");
  }
};

bool measure(const problem& p, const settings& s) {
  cu::use_products(p.b == dtype::bf16 ? cu::products::bf16 : cu::products::exact);
  const long stored = p.n * p.k * long(sp::bytes_of(p.b));
  const int copies = p.m > 16 || s.tiny ? 1 : int(std::max(1l, std::min(128l, (256l << 20) / stored)));
  const operands o(p, copies);
  o.spoil();
  ours(o, 0);
  if (!o.is_right()) return false;
  const double expected = std::max(p.flop() / (p.b == dtype::bf16 ? 600e12 : 40e12), p.bytes() / 4e12) + 2e-6;
  const double of_graph = s.quick ? 1e-3 : 2e-3;         // seconds, about
  const int runs = s.tiny ? 2 : std::max({2, copies, std::min(200, int(of_graph / expected))});
  peer best(p);
  const int proposals = int(best.found.size());
  best.sort(o, std::max(1, s.quick ? runs / 2 : runs));
  const timed_graph mine([&] { for (int i = 0; i < runs; ++i) ours(o, i); });
  const timed_graph theirs([&] { for (int i = 0; i < runs; ++i) need(best.run(o, i, best.found[0]), "a product"); });
  bench::pairs t;
  for (int i = 0; i < s.turns + 2; ++i) {
    const double b = theirs.microseconds() / runs, a = mine.microseconds() / runs;
    if (i >= 2) t.add(b, a);
  }
  const bool gated = p.a == p.b;
  const char* const what = cu::products_are_tuned() ? "block products, tuned: best cuBLASLt / ours" : "block products: best cuBLASLt / ours";
  line(gated ? "G1" : "-", what, std::string(p.model) + " " + p.types())
      .add("m", p.m).add("n", p.n).add("k", p.k).add("us", t.second.median()).add("best_us", t.second.best()).add("peer_us", t.first.median())
      .add("tflop_s", p.flop() / t.second.median() / 1e6).add("peer_tflop_s", p.flop() / t.first.median() / 1e6)
      .add("tb_s", p.bytes() / t.second.median() / 1e6)
      .add("proposals", proposals).add("ran", long(best.found.size())).add("copies", copies).add("runs", runs)
      .ratio(t.ratios, {.limit = 1, .gate = gated ? 0.95 : 0}).print();
  return true;
}

struct weights { const char* model; long n, k; };
int measure_all(const settings& s) {
  // q and o, k and v, gate and up, down
  const std::vector<weights> shapes = s.tiny ? std::vector<weights>{{"tiny", 24, 40}, {"tiny", 17, 33}}
                                           : std::vector<weights>{{"8B", 4096, 4096}, {"8B", 1024, 4096}, {"8B", 14336, 4096}, {"8B", 4096, 14336},
                                                                {"1B", 2048, 2048}, {"1B", 512, 2048},  {"1B", 8192, 2048},  {"1B", 2048, 8192}};
  const std::vector<long> rows = s.tiny ? std::vector<long>{1, 16, 20} : std::vector<long>{1, 16, 512, 4096};
  for (const auto& [a, b] : {std::pair{dtype::bf16, dtype::bf16}, std::pair{dtype::f32, dtype::f32}, std::pair{dtype::f32, dtype::bf16}})
    for (const weights& x : shapes)
      for (const long m : rows) {
        const problem p{x.model, m, x.n, x.k, a, b};
        if (s.quick && std::string(x.model) == "1B") continue;
        if (!measure(p, s)) return std::fprintf(stderr, "wrong: %s of [%ld,%ld] and [%ld,%ld]\n", p.types().c_str(), m, x.k, x.n, x.k), 1;
      }
  return 0;
}
}  // namespace

int main(int count, char** words) {
  settings s;
  if (!s.read("products", count, words)) return 1;
  return run([&] { return measure_all(s); });
}

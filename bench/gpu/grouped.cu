/// @file
/// Products of experts: all groups in one launch, against a cuBLASLt product for each expert that has rows.
///
///     nvcc -std=c++20 -O3 --expt-relaxed-constexpr --extended-lambda -arch=native -Iinclude bench/gpu/grouped.cu -o grouped -lcublasLt
///     ./grouped [--turns N] [--quick] [--tiny]             // a JSON line for each product; --tiny: small ones, for the emulator
///
/// No row of the scoreboard. The peer knows on the host how many rows each expert has, for which a step has to wait; that wait is not in
/// its time, and it multiplies as `matmul` does in the same precision. Qwen3-30B-A3B: 128 experts, 8 of each token, hidden 2048, 768
/// features; tokens choose at random. Operands are multiples of 1/16, so that sums are exact and both must agree in every bit.
/// Exits 2 without a GPU, 1 if they differ.
#include <vector>
#include <shardproof/backend/cuda/grouped.cuh>
#include <shardproof/backend/cuda/grouped_matmul.cuh>
#include <shardproof/backend/cuda/matmul.cuh>
#include "rows.hpp"
#include "timed_graph.cuh"

namespace {
using namespace bench;
using sp::dtype;

struct problem {
  const char* what;
  long tokens, chosen, experts, n, k;
  dtype b;
  long rows() const { return tokens * chosen; }
};
template <class T> __global__ void set_elements(T* p, long n, long salt) {
  for (long i = cu::first_index(); i < n; i += cu::index_stride()) cu::store(p, i, float((i * 2654435761l + salt * 40503l) / 65536 % 17 - 8) / 16);
}
void set(const sp::view& v, long salt) {
  if (v.type == dtype::bf16) cu::launch("set_elements", set_elements<sp::bf16>, cu::over(v.count()), v.as<sp::bf16>(), v.count(), salt);
  else cu::launch("set_elements", set_elements<float>, cu::over(v.count()), v.as<float>(), v.count(), salt);
}
/// `chosen` different experts for each token.
std::vector<std::int64_t> choices(const problem& p) {
  std::vector<std::int64_t> ids;
  std::uint64_t state = 88172645463325252ull;
  for (long t = 0; t < p.tokens; ++t)
    for (long c = 0; c < p.chosen; ++c) {
      std::int64_t e = 0;
      do {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        e = std::int64_t(state % std::uint64_t(p.experts));
      } while (std::find(ids.end() - c, ids.end(), e) != ids.end());
      ids.push_back(e);
    }
  return ids;
}

class operands {
 public:
  const problem p;
  const memory x, w, y, other, lists;
  std::vector<long> at;
  explicit operands(const problem& q)
      : p(q), x(q.rows() * q.k * 4), w(q.experts * q.n * q.k * long(sp::bytes_of(q.b))), y(q.rows() * q.n * 4), other(q.rows() * q.n * 4),
        lists((3 * q.rows() + q.experts + 1) * 8), at(std::size_t(q.experts + 1)) {
    set(rows(0, q.rows()), 1);
    set({w.p, q.b, {q.experts * q.n * q.k}}, 2);
    cu::upload(list(2 * q.rows() + q.experts + 1, q.rows()), choices(q).data());
    group();
    cu::download(at.data(), offsets());
  }
  sp::view list(long from, long count) const { return {static_cast<std::int64_t*>(lists.p) + from, dtype::i64, {count}}; }
  sp::view offsets() const { return list(2 * p.rows(), p.experts + 1); }
  sp::view rows(long from, long to) const { return {static_cast<float*>(x.p) + from * p.k, dtype::f32, {to - from, p.k}}; }
  sp::view of_expert(long e) const { return {static_cast<char*>(w.p) + std::size_t(e * p.n * p.k) * sp::bytes_of(p.b), p.b, {p.n, p.k}}; }
  sp::view result(const memory& m, long from, long to) const { return {static_cast<float*>(m.p) + from * p.n, dtype::f32, {to - from, p.n}}; }
  void group() const {
    cu::group_ids({.choice = list(p.rows(), p.rows()), .token = list(0, p.rows()), .offsets = offsets(), .ids = list(2 * p.rows() + p.experts + 1, p.rows()),
                   .chosen = p.chosen});
  }
  void ours() const {
    cu::grouped_matmul({.a = rows(0, p.rows()), .b = {w.p, p.b, {p.experts, p.n, p.k}}, .c = result(y, 0, p.rows()), .offsets = offsets(), .rows = p.rows(), .n = p.n,
                        .k = p.k, .tb = true});
  }
  void theirs() const {
    for (long e = 0; e < p.experts; ++e)
      if (const long a = at[std::size_t(e)], b = at[std::size_t(e + 1)]; a < b)
        cu::matmul({.a = rows(a, b), .b = of_expert(e), .c = result(other, a, b), .m = b - a, .n = p.n, .k = p.k, .tb = true});
  }
  bool agree() const {
    std::vector<float> a(std::size_t(p.rows() * p.n)), b(a.size());
    cu::download(a.data(), result(y, 0, p.rows()));
    cu::download(b.data(), result(other, 0, p.rows()));
    return a == b;
  }
  long busy() const {
    long n = 0;
    for (std::size_t e = 0; e + 1 < at.size(); ++e) n += at[e] < at[e + 1];
    return n;
  }
};

bool measure(const problem& p, const settings& s) {
  cu::use_products(p.b == dtype::bf16 ? cu::products::bf16 : cu::products::exact);
  const operands o(p);
  o.ours();
  o.theirs();
  if (!o.agree()) return false;
  const int runs = s.tiny ? 1 : 10;
  const timed_graph mine([&] { for (int i = 0; i < runs; ++i) o.ours(); });
  const timed_graph others([&] { for (int i = 0; i < runs; ++i) o.theirs(); });
  const timed_graph sorting([&] { for (int i = 0; i < runs; ++i) o.group(); });
  pairs t;
  numbers sorts;
  for (int i = 0; i < s.turns + 2; ++i) {
    const double b = others.microseconds() / runs, a = mine.microseconds() / runs, c = sorting.microseconds() / runs;
    if (i >= 2) t.add(b, a), sorts.add(c);
  }
  const double flop = 2.0 * double(p.rows()) * double(p.n) * double(p.k), us = t.second.median();
  const double bytes = double(o.busy() * p.n * p.k) * double(sp::bytes_of(p.b)) + 4.0 * double(p.rows()) * double(p.n + p.k);
  line("-", "experts: a product each / all in one launch", std::string(p.what) + (p.b == dtype::bf16 ? " f32 x bf16" : " f32"))
      .add("tokens", p.tokens).add("experts", o.busy()).add("n", p.n).add("k", p.k).add("us", us).add("peer_us", t.first.median()).add("sort_us", sorts.median())
      .add("tflop_s", flop / us / 1e6).add("tb_s", bytes / us / 1e6)
      .ratio(t.ratios, {}).print();
  return true;
}

int measure_all(const settings& s) {
  for (const dtype b : {dtype::bf16, dtype::f32})
    for (const long tokens : s.tiny ? std::vector<long>{1, 40} : s.quick ? std::vector<long>{1, 64, 4096} : std::vector<long>{1, 8, 64, 512, 4096})
      for (const bool down : {false, true}) {
        problem p = s.tiny ? problem{"tiny", tokens, 2, 5, 24, 40, b} : problem{"gate and up", tokens, 8, 128, 1536, 2048, b};
        if (down && !s.tiny) p.what = "down", p.n = 2048, p.k = 768;
        if (!measure(p, s)) return std::fprintf(stderr, "wrong: %s, %ld tokens\n", p.what, tokens), 1;
      }
  return 0;
}
}  // namespace

int main(int count, char** words) {
  settings s;
  if (!s.read("grouped", count, words)) return 1;
  return run([&] { return measure_all(s); });
}

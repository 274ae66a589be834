// backend/cuda/product_plan.hpp, without CUDA: a row-major product as a column-major problem.
#include <set>
#include <vector>
#include <catch2/catch.hpp>
#include <shardproof/backend/cuda/product_plan.hpp>
namespace sp = shardproof;
namespace cu = sp::cuda;

namespace {
cu::product contiguous(long m, long n, long k, bool ta, bool tb) { return {m, n, k, ta, tb, false, ta ? m : k, tb ? k : n, n}; }
/// Element (i, j) of op(x).
std::size_t at(const cu::column_major& x, long i, long j) { return std::size_t(x.transposed ? j + i * x.ld : i + j * x.ld); }
}  // namespace

TEST_CASE("the column-major problem is the row-major product", "[product plan]") {
  for (int flags = 0; flags < 4; ++flags)
    for (const long pad : {0l, 3l}) {
      const bool ta = flags & 1, tb = flags & 2;
      const long m = 4, n = 5, k = 3;
      cu::product p = contiguous(m, n, k, ta, tb);
      p.lda += pad, p.ldb += pad, p.ldc += pad;
      const cu::column_major first = cu::first_of(p), second = cu::second_of(p), result = cu::result_of(p);
      CHECK((first.ld >= first.rows && second.ld >= second.rows && result.ld >= result.rows));
      CHECK((first.transposed ? first.columns : first.rows) == n);
      CHECK((second.transposed ? second.rows : second.columns) == m);
      for (long i = 0; i < m; ++i)
        for (long j = 0; j < n; ++j) {
          CHECK(at(result, j, i) == std::size_t(i * p.ldc + j));
          for (long l = 0; l < k; ++l) {
            CHECK(at(first, j, l) == std::size_t(tb ? j * p.ldb + l : l * p.ldb + j));
            CHECK(at(second, l, i) == std::size_t(ta ? l * p.lda + i : i * p.lda + l));
          }
        }
    }
}

TEST_CASE("both operands get one type, which rounds as the switch allows", "[product plan]") {
  using cu::products, cu::arithmetic, sp::dtype;
  for (const dtype b : {dtype::f32, dtype::bf16, dtype::f16}) CHECK(cu::types_of(products::exact, b, dtype::f32) == cu::product_types{dtype::f32, arithmetic::f32});
  CHECK(cu::types_of(products::tf32, dtype::f32, dtype::f32) == cu::product_types{dtype::f32, arithmetic::tf32});
  CHECK(cu::types_of(products::tf32, dtype::f16, dtype::f32) == cu::product_types{dtype::f32, arithmetic::tf32});
  CHECK(cu::types_of(products::tf32, dtype::bf16, dtype::f32) == cu::product_types{dtype::bf16, arithmetic::f32});
  for (const dtype b : {dtype::f32, dtype::bf16, dtype::f16}) CHECK(cu::types_of(products::bf16, b, dtype::f32) == cu::product_types{dtype::bf16, arithmetic::f32});
  for (const products p : {products::exact, products::tf32, products::bf16})
    for (const dtype b : {dtype::f64, dtype::bf16}) CHECK(cu::types_of(p, b, dtype::f64) == cu::product_types{dtype::f64, arithmetic::f64});
  CHECK(cu::most_few_rows(dtype::f32, dtype::f32) == 8);
  CHECK(cu::most_few_rows(dtype::bf16, dtype::bf16) == 8);
  CHECK(cu::most_few_rows(dtype::bf16, dtype::f32) == 32);
  CHECK(cu::most_few_rows(dtype::f32, dtype::bf16) == 16);
  CHECK(cu::most_few_rows(dtype::f64, dtype::f64) == 8);
  CHECK(cu::has_few_rows(contiguous(1, 5, 5, true, false), dtype::f32, dtype::f32));
  CHECK_FALSE(cu::has_few_rows(contiguous(2, 5, 5, true, false), dtype::f32, dtype::f32));
  CHECK_FALSE(cu::has_few_rows(contiguous(9, 5, 5, false, false), dtype::f32, dtype::f32));
}

TEST_CASE("parts of a product add up to the whole, with one epilogue", "[product plan]") {
  for (int flags = 0; flags < 8; ++flags) {
    const bool ta = flags & 1, tb = flags & 2;
    const long m = 5, n = 7, k = 6;
    cu::product p = contiguous(m, n, k, ta, tb);
    p.accumulate = flags & 4;
    p.after = cu::epilogue::bias;
    std::vector<double> a(std::size_t(m * k)), b(std::size_t(n * k)), c(std::size_t(m * n), 1000.0), whole = c;
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = double(i % 7) - 3;
    for (std::size_t i = 0; i < b.size(); ++i) b[i] = double(i % 5) - 2;
    const auto run = [&](const cu::product_part& x, std::vector<double>& to) {
      const cu::column_major f = cu::first_of(x.p), s = cu::second_of(x.p), r = cu::result_of(x.p);
      for (long i = 0; i < x.p.m; ++i)
        for (long j = 0; j < x.p.n; ++j) {
          double& o = to[std::size_t(x.c) + at(r, j, i)];
          double sum = x.p.accumulate ? o : 0;
          for (long l = 0; l < x.p.k; ++l) sum += a[std::size_t(x.a) + at(s, l, i)] * b[std::size_t(x.b) + at(f, j, l)];
          o = sum + (cu::has_bias(x.p.after) ? 0.5 : 0);
        }
    };
    run({p, 0, 0, 0}, whole);
    for (const long mm : {1l, 2l, 5l})
      for (const long nn : {1l, 3l, 7l})
        for (const long kk : {1l, 4l, 6l}) {
          std::vector<double> to = c;
          cu::in_pieces(k, kk, [&](cu::span_of z) {
            cu::in_pieces(m, mm, [&](cu::span_of x) { cu::in_pieces(n, nn, [&](cu::span_of y) { run(cu::part_of(p, x, y, z), to); }); });
          });
          CHECK(to == whole);
        }
  }
}

TEST_CASE("extents beyond int are cut, and offsets do not overflow", "[product plan]") {
  const long huge = 5'000'000'000;
  std::vector<long> counts;
  cu::in_pieces(huge, cu::longest_extent, [&](cu::span_of s) { counts.push_back(s.count); });
  CHECK(counts == std::vector<long>{1l << 30, 1l << 30, 1l << 30, 1l << 30, huge - (4l << 30)});
  cu::in_pieces(0, cu::longest_extent, [&](cu::span_of) { FAIL(); });
  const cu::product_part x = cu::part_of(contiguous(huge, 3, 2, false, true), {4l << 30, 10}, {1, 1}, {0, 2});
  CHECK(x.a == (8l << 30));
  CHECK(x.c == (12l << 30) + 1);
  CHECK(x.p.ldc == 3);
}

TEST_CASE("slices of weights fit the scratch, are alike, and cover all rows", "[product plan]") {
  for (const long rows : {0l, 1l, 7l, 8l, 9l, 100l, 151936l})
    for (const long width : {1l, 4096l, 100000000l})
      for (const std::size_t limit : {std::size_t(1), std::size_t(100000), cu::scratch_bytes}) {
        const long some = cu::rows_of_slice(rows, width, sp::dtype::f32, limit);
        CAPTURE(rows, width, limit, some);
        CHECK((some >= 1 || rows == 0));
        CHECK(some <= rows);
        CHECK((some <= 1 || std::size_t(some * width * 4) <= limit));
      }
  CHECK(cu::rows_of_slice(14336, 4096, sp::dtype::f32) == 3584);           // four alike
  CHECK(cu::rows_of_slice(4100, 4096, sp::dtype::f32) == 2056);            // not 4096 and 4
}

TEST_CASE("keys differ where algorithms may, and alignments are what an address has", "[product plan]") {
  CHECK(cu::alignment_of(std::uintptr_t(0x1000)) == 256);
  CHECK(cu::alignment_of(std::uintptr_t(0x1080)) == 16);
  CHECK(cu::alignment_of(std::uintptr_t(0x1010)) == 16);
  CHECK(cu::alignment_of(std::uintptr_t(0x1008)) == 8);
  CHECK(cu::alignment_of(std::uintptr_t(0x1001)) == 1);
  const cu::product p = contiguous(3, 4, 5, false, true);
  std::vector<cu::product_key> keys{cu::key_of(p, {}, 1), cu::key_of(p, {}, 2), cu::key_of(p, {.a = 16}, 1), cu::key_of(p, {.b = 16}, 1), cu::key_of(p, {.c = 16}, 1), cu::key_of(p, {.bias = 16}, 1)};
  const auto with = [&](auto change) {
    cu::product q = p;
    change(q);
    keys.push_back(cu::key_of(q, {}, 1));
  };
  with([](auto& q) { q.m = 4; });
  with([](auto& q) { q.n = 3; });
  with([](auto& q) { q.k = 4; });
  with([](auto& q) { q.ta = true; });
  with([](auto& q) { q.tb = false; });
  with([](auto& q) { q.lda = 9; });
  with([](auto& q) { q.ldb = 9; });
  with([](auto& q) { q.ldc = 9; });
  with([](auto& q) { q.operands = sp::dtype::bf16; });
  with([](auto& q) { q.result = sp::dtype::f64; });
  with([](auto& q) { q.how = cu::arithmetic::tf32; });
  with([](auto& q) { q.after = cu::epilogue::gelu_bias; });
  std::set<std::array<std::uint64_t, 8>> distinct;
  std::set<std::size_t> hashes;
  for (const auto& k : keys) distinct.insert(k.words), hashes.insert(cu::hash_of_key{}(k));
  CHECK(distinct.size() == keys.size());
  CHECK(hashes.size() == keys.size());
  cu::product q = p;
  q.accumulate = true;
  CHECK(cu::key_of(q, {}, 1) == cu::key_of(p, {}, 1));
}

TEST_CASE("a product is described for messages", "[product plan]") {
  cu::product p = contiguous(5, 40, 83, true, true);
  CHECK(cu::describe(p) == "c[5,40] F32 = a[83,5]^T b[40,83]^T, operands F32, f32 arithmetic");
  p.accumulate = true, p.operands = sp::dtype::bf16, p.ldb = 100, p.after = cu::epilogue::gelu_bias;
  CHECK(cu::describe(p) == "c[5,40] F32 += a[83,5]^T b[40,83]^T, operands BF16, f32 arithmetic, then a bias and gelu, leading dimensions 5, 100 and 40");
}

// backend/cuda/matmul.cuh beyond the conformance suite: precisions, slices, the algorithm table, tuning, captures, errors, epilogues.
#include <thread>
#include <shardproof/backend/cuda/capture.cuh>
#include <shardproof/backend/cuda/matmul.cuh>
#include "conformance.hpp"
#include "gpu/thrown.hpp"
using namespace conformance;
using sp::dtype;
namespace cu = sp::cuda;
namespace lt = cublaslt_emulated;

namespace {
struct restored {
  lt::behaviour before = lt::now;
  ~restored() {
    lt::now = before;
    cu::use_products(cu::products::exact);
    cu::tune_products(false);
  }
};
double narrow(double x, int bits) {          // to so many bits behind the leading one
  if (x == 0) return 0;
  int e = 0;
  std::frexp(x, &e);
  const double unit = std::ldexp(1.0, e - 1 - bits);
  return std::nearbyint(x / unit) * unit;
}
/// What the product must be where the sides are rounded to so many bits; 52: nothing.
numbers expected(const numbers& p, const numbers& q, const numbers& c, long m, long n, long k, bool ta, bool tb, bool adds, int bits_a, int bits_b) {
  numbers out = c;
  for (long i = 0; i < m; ++i)
    for (long j = 0; j < n; ++j) {
      double s = adds ? c[std::size_t(i * n + j)] : 0;
      for (long l = 0; l < k; ++l) s += narrow(p[std::size_t(ta ? l * m + i : i * k + l)], bits_a) * narrow(q[std::size_t(tb ? j * k + l : l * n + j)], bits_b);
      out[std::size_t(i * n + j)] = s;
    }
  return out;
}
}  // namespace

TEST_CASE("each precision rounds what the table says and nothing else", "[matmul]") {
  const restored after;
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  struct row { cu::products how; dtype b; int bits_a, bits_b; };
  const row table[] = {{cu::products::exact, dtype::f32, 52, 52}, {cu::products::exact, dtype::bf16, 52, 52}, {cu::products::exact, dtype::f16, 52, 52},
                       {cu::products::tf32, dtype::f32, 10, 10},  {cu::products::tf32, dtype::bf16, 7, 52},   {cu::products::tf32, dtype::f16, 10, 52},
                       {cu::products::bf16, dtype::f32, 7, 7},    {cu::products::bf16, dtype::bf16, 7, 52},   {cu::products::bf16, dtype::f16, 7, 7},
                       {cu::products::exact, dtype::f64, 52, 52}};
  for (const row& r : table)
    for (int flags = 0; flags < 8; ++flags)
      for (const long m : {37l, 64l}) {
        const bool ta = flags & 1, tb = flags & 2, adds = flags & 4;
        const long n = 21, k = 35;
        CAPTURE(cu::name_of(r.how), sp::name_of(r.b), ta, tb, adds, m);
        cu::use_products(r.how);
        const on_device a(d, dtype::f32, ta ? sp::shape{k, m} : sp::shape{m, k}, noise(m * k, 1)), b(d, r.b, tb ? sp::shape{n, k} : sp::shape{k, n}, noise(n * k, 2));
        const on_device c(d, dtype::f32, {m, n}, noise(m * n, 3));
        const numbers want = expected(a.values(), b.values(), c.values(), m, n, k, ta, tb, adds, r.bits_a, r.bits_b);
        d.matmul({a.v, b.v, c.v, m, n, k, ta, tb, adds});
        CHECK(off(c.values(), want) < 3e-6);
      }
  // few rows and f64 are never rounded
  for (const cu::products how : {cu::products::tf32, cu::products::bf16})
    for (const dtype t : {dtype::f32, dtype::f64})
      for (const long m : {3l, 40l}) {
        if (t == dtype::f32 && m == 40) continue;
        cu::use_products(how);
        const on_device a(d, t, {m, 35}, noise(m * 35, 1)), b(d, t, {21, 35}, noise(21 * 35, 2)), c(d, t, {m, 21});
        const numbers want = expected(a.values(), b.values(), c.values(), m, 21, 35, false, true, false, 52, 52);
        d.matmul({a.v, b.v, c.v, m, 21, 35, false, true, false});
        CHECK(off(c.values(), want) < (t == dtype::f64 ? 1e-14 : 1e-6));
      }
}

TEST_CASE("products of groups are rounded to bf16 where the table says so, and no few rows are", "[matmul]") {
  const restored after;
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  struct row { cu::products how; dtype b; long rows; int bits_a, bits_b; };
  const row table[] = {{cu::products::exact, dtype::f32, 90, 52, 52}, {cu::products::tf32, dtype::f32, 90, 52, 52}, {cu::products::tf32, dtype::bf16, 90, 7, 52},
                       {cu::products::bf16, dtype::f32, 90, 7, 7},    {cu::products::bf16, dtype::f16, 90, 7, 7},   {cu::products::bf16, dtype::bf16, 20, 52, 52}};
  for (const row& r : table)
    for (const auto& [n, k] : {std::pair{24l, 35l}, {150l, 70l}})
      for (const bool tb : {false, true})
        for (const bool adds : {false, true}) {
          CAPTURE(cu::name_of(r.how), sp::name_of(r.b), r.rows, n, k, tb, adds);
          cu::use_products(r.how);
          const long first = r.rows / 3, groups = 3;                         // the second has none, and two rows are nobody's
          const on_device at(d, dtype::i64, {groups + 1}, {0, double(first), double(first), double(r.rows - 2)});
          const on_device a(d, dtype::f32, {r.rows, k}, noise(r.rows * k, 1)), b(d, r.b, {groups, n, k}, noise(groups * n * k, 2)), c(d, dtype::f32, {r.rows, n}, noise(r.rows * n, 3));
          const numbers p = a.values(), q = b.values(), old = c.values();
          const auto part = [](const numbers& v, long from, long to, long width) { return numbers(v.begin() + from * width, v.begin() + to * width); };
          numbers want = expected(part(p, 0, first, k), part(q, 0, 1, n * k), part(old, 0, first, n), first, n, k, false, tb, adds, r.bits_a, r.bits_b);
          const numbers more = expected(part(p, first, r.rows - 2, k), part(q, 2, 3, n * k), part(old, first, r.rows - 2, n), r.rows - 2 - first, n, k, false, tb, adds, r.bits_a, r.bits_b);
          want.insert(want.end(), more.begin(), more.end());
          for (long i = (r.rows - 2) * n; i < r.rows * n; ++i) want.push_back(adds ? old[std::size_t(i)] : 0);
          d.grouped_matmul({.a = a.v, .b = b.v, .c = c.v, .offsets = at.v, .rows = r.rows, .n = n, .k = k, .tb = tb, .accumulate = adds});
          CHECK(off(c.values(), want) < 5e-6);

          if (r.b != dtype::f32) continue;
          const on_device y(d, dtype::f32, {r.rows, n}, noise(r.rows * n, 4)), sums(d, dtype::f32, {groups, k, n}, noise(groups * n * k, 5));
          const numbers g = y.values();
          numbers s = sums.values();
          for (long row = 0; row < r.rows - 2; ++row)
            for (long i = 0; i < k; ++i)
              for (long j = 0; j < n; ++j)
                s[std::size_t(((row < first ? 0 : 2) * k + i) * n + j)] += narrow(p[std::size_t(row * k + i)], r.bits_a) * narrow(g[std::size_t(row * n + j)], r.bits_b);
          d.grouped_outer({.a = a.v, .b = y.v, .c = sums.v, .offsets = at.v, .rows = r.rows, .n = n, .k = k});
          CHECK(off(sums.values(), s) < 5e-6);
        }
}

TEST_CASE("weights are converted in slices of whole stored rows", "[matmul]") {
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  for (int flags = 0; flags < 8; ++flags)
    for (const std::size_t limit : {1ul, 900ul, 4000ul, 100000000ul}) {
      const bool ta = flags & 1, tb = flags & 2, adds = flags & 4;
      const long m = 33, n = 29, k = 50;
      CAPTURE(ta, tb, adds, limit);
      const on_device a(d, dtype::f32, ta ? sp::shape{k, m} : sp::shape{m, k}, noise(m * k, 1)), b(d, dtype::f16, tb ? sp::shape{n, k} : sp::shape{k, n}, noise(n * k, 2));
      const on_device c(d, dtype::f32, {m, n}, noise(m * n, 3)), bias(d, dtype::f32, {n}, noise(n, 4));
      const numbers want = expected(a.values(), b.values(), c.values(), m, n, k, ta, tb, adds, 52, 52);
      cu::product p = cu::product_of({a.v, b.v, c.v, m, n, k, ta, tb, adds});
      p.after = cu::epilogue::bias;
      cu::detail::product_by_slices(p, a.v.p, b.v.p, dtype::f16, c.v.p, bias.v.as<const float>(), limit);
      numbers biased = want;
      const numbers add = bias.values();
      for (std::size_t i = 0; i < biased.size(); ++i) biased[i] += add[i % add.size()];
      CHECK(off(c.values(), biased) < 1e-5);
    }
}

TEST_CASE("a few rows have the same bits in any company and at any place", "[matmul]") {
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  for (const dtype t : {dtype::f32, dtype::bf16, dtype::f16, dtype::f64})
    for (const bool tb : {false, true})
      for (const long k : {1l, 3l, 8l, 64l, 83l, 1000l, 1030l}) {
        const dtype ct = t == dtype::f64 ? t : dtype::f32;
        const long n = 77, most = 32;
        CAPTURE(sp::name_of(t), tb, k);
        const on_device a(d, ct, {most, k}, noise(most * k, 1)), b(d, t, {n * k}, noise(n * k, 2)), c(d, ct, {most, n});
        const long rows = cu::most_few_rows(t, ct);
        d.matmul({a.v, b.v, c.v, rows, n, k, false, tb, false});
        const numbers all = c.values();
        const long before = lt::counts.products;
        for (const long m : {1l, 2l, 3l, 5l, 8l}) {
          const on_device some(d, ct, {m, n});
          d.matmul({a.v, b.v, some.v, m, n, k, false, tb, false});
          CHECK(some.values() == numbers(all.begin(), all.begin() + m * n));
        }
        CHECK(lt::counts.products == before);                            // no library is called
        // other columns, elsewhere
        for (const long shift : {1l, 2l, 8l}) {
          const long first = 5, count = 30;
          numbers moved(std::size_t(shift), 0.0);
          const numbers w = noise(n * k, 2);
          if (tb) moved.insert(moved.end(), w.begin() + first * k, w.begin() + (first + count) * k);
          else for (long l = 0; l < k; ++l) moved.insert(moved.end(), w.begin() + l * n + first, w.begin() + l * n + first + count);
          const on_device part(d, t, {long(moved.size())}, moved), some(d, ct, {4, count});
          sp::view at = part.v;
          at.p = part.v.as<char>() + shift * long(sp::bytes_of(t));
          d.matmul({a.v, at, some.v, 4, count, k, false, tb, false});
          const numbers s = some.values();
          bool equal = true;
          for (long i = 0; i < 4; ++i)
            for (long j = 0; j < count; ++j) equal = equal && s[std::size_t(i * count + j)] == all[std::size_t(i * n + first + j)];
          CHECK(equal);
        }
      }
}

TEST_CASE("a few rows of more columns than blocks", "[matmul]") {
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  for (const bool tb : {true, false})
    for (const bool adds : {false, true}) {
      const long m = adds ? 2 : 1, n = tb ? 4300 : 67700, k = tb ? 300 : 130;
      const on_device a(d, dtype::f32, {m, k}, noise(m * k, 1)), b(d, dtype::f32, {n * k}, noise(n * k, 2)), c(d, dtype::f32, {m, n}, noise(m * n, 3));
      const numbers want = expected(a.values(), b.values(), c.values(), m, n, k, false, tb, adds, 60, 60);
      d.matmul({a.v, b.v, c.v, m, n, k, false, tb, adds});
      CHECK(off(c.values(), want) < 1e-5);
    }
}

TEST_CASE("NaN and infinity reach the result, from the last row and column too", "[matmul]") {
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  for (const bool tb : {false, true})
    for (const long m : {1l, 3l, 40l}) {
      const long n = 34, k = 37;
      numbers x = noise(m * k, 1), w = noise(n * k, 2);
      x[std::size_t(m * k - 1)] = nan;
      w[tb ? std::size_t(3 * k) : 3] = inf;
      w[tb ? std::size_t(5 * k - 1) : std::size_t((k - 1) * n + 4)] = -inf;
      const on_device a(d, dtype::f32, {m, k}, x), b(d, dtype::bf16, {n * k}, w), c(d, dtype::f32, {m, n});
      const numbers want = expected(a.values(), b.values(), c.values(), m, n, k, false, tb, false, 60, 60);
      d.matmul({a.v, b.v, c.v, m, n, k, false, tb, false});
      const numbers got = c.values();
      bool same = true;
      for (std::size_t i = 0; i < got.size(); ++i) same = same && std::isnan(got[i]) == std::isnan(want[i]) && std::isinf(got[i]) == std::isinf(want[i]);
      CHECK(same);
    }
}

TEST_CASE("an algorithm is asked for once a problem in the process, and differs by type, shape and alignment", "[matmul]") {
  const restored after;
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  const on_device a(d, dtype::f32, {50, 200}), b(d, dtype::f32, {100 * 200}), c(d, dtype::f32, {50, 200});
  const auto asks = [&](const sp::matmul_args& x) {
    const long before = lt::counts.heuristics;
    d.matmul(x);
    return lt::counts.heuristics - before;
  };
  const sp::matmul_args x{a.v, b.v, c.v, 41, 43, 47, false, true, false};
  CHECK(asks(x) == 1);
  CHECK(asks(x) == 0);
  sp::matmul_args y = x;
  y.accumulate = true;
  CHECK(asks(y) == 0);
  y.m = 42;
  CHECK(asks(y) == 1);
  y = x, y.tb = false;
  CHECK(asks(y) == 1);
  y = x, y.b.p = b.v.as<char>() + 4;
  CHECK(asks(y) == 1);
  y.b.p = b.v.as<char>() + 20;
  CHECK(asks(y) == 0);
  cu::use_products(cu::products::tf32);
  CHECK(asks(x) == 1);
  cu::use_products(cu::products::bf16);
  CHECK(asks(x) == 1);
  cu::use_products(cu::products::exact);
  const long before = lt::counts.heuristics, handles = lt::counts.handles;
  std::vector<std::thread> ranks;
  for (int r = 0; r < 4; ++r)
    ranks.emplace_back([&] {
      const on_device p(d, dtype::f32, {50, 200}), q(d, dtype::f32, {100 * 200}), o(d, dtype::f32, {50, 200});
      for (long m = 41; m < 45; ++m) d.matmul({p.v, q.v, o.v, m, 43, 47, false, true, false});
    });
  for (auto& t : ranks) t.join();
  CHECK(lt::counts.heuristics == before + 2);                            // 43 and 44 rows
  CHECK(lt::counts.handles - handles <= 4);
}

TEST_CASE("a candidate that refuses is passed over, and errors name the status and the product", "[matmul]") {
  const restored after;
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  const on_device a(d, dtype::f32, {50, 200}, noise(10000, 1)), b(d, dtype::f32, {20000}, noise(20000, 2)), c(d, dtype::f32, {50, 200});
  lt::now.unsupported = 2;
  const sp::matmul_args x{a.v, b.v, c.v, 34, 36, 38, false, true, false};
  d.matmul(x);
  CHECK(lt::counts.last == 2);
  lt::now.unsupported = 0;
  d.matmul(x);
  CHECK(lt::counts.last == 2);
  lt::now.unsupported = 4;
  sp::matmul_args y = x;
  y.m = 35;
  std::string said = thrown([&] { d.matmul(y); });
  CHECK(contains(said, "shardproof[SP506] device cuda failed at a product: CUBLAS_STATUS_NOT_SUPPORTED, in c[35,36] F32 = a[35,38] b[36,38]^T, operands F32, f32 arithmetic. Fix: "));
  lt::now.unsupported = 0;
  lt::now.proposed = 0;
  said = thrown([&] { d.matmul(y); });
  CHECK(contains(said, "at the choice of an algorithm: CUBLAS_STATUS_NOT_SUPPORTED"));
  lt::now.proposed = 4;
  lt::now.fails = CUBLAS_STATUS_EXECUTION_FAILED;
  const long before = lt::counts.products;
  said = thrown([&] { d.matmul(y); });
  CHECK(contains(said, "CUBLAS_STATUS_EXECUTION_FAILED"));
  said = thrown([&] { d.matmul(x); });
  CHECK(contains(said, "CUBLAS_STATUS_EXECUTION_FAILED"));
  lt::now.fails = CUBLAS_STATUS_SUCCESS;
  CHECK(lt::counts.products == before);
  d.matmul(y);
  lt::now.no_handle = CUBLAS_STATUS_NOT_INITIALIZED;
  std::thread([&] {
    cu::queue other;
    cu::detail::mine = &other;                                            // a queue that has no handle yet
    said = thrown([&] { d.matmul(y); });
    cu::detail::mine = nullptr;
  }).join();
  CHECK(said == "shardproof[SP506] device cuda failed at the start of cuBLASLt: CUBLAS_STATUS_NOT_INITIALIZED. Fix: free memory of the device: use more ranks, a smaller batch, or fewer positions.");
}

TEST_CASE("tuning keeps the fastest, spares c, and is not done inside a capture", "[matmul]") {
  const restored after;
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  const on_device a(d, dtype::f32, {60, 200}, noise(12000, 1)), b(d, dtype::f32, {20000}, noise(20000, 2)), c(d, dtype::f32, {50, 100}, noise(5000, 3));
  cu::tune_products(true);
  lt::now.milliseconds[2] = 0.5f;
  lt::now.milliseconds[3] = 0.495f;                                       // no fiftieth less
  const sp::matmul_args x{a.v, b.v, c.v, 50, 100, 60, false, true, true};
  const numbers want = expected(a.values(), b.values(), c.values(), 50, 100, 60, false, true, true, 52, 52);
  const std::size_t used = cuda_emulated::memory_used;
  const long tensors = cu::own_queue().bytes;
  d.matmul(x);
  CHECK(lt::counts.last == 2);
  CHECK(off(c.values(), want) < 1e-5);
  CHECK(cu::own_queue().bytes == tensors);
  CHECK((cuda_emulated::memory_used == used || cuda_emulated::memory_used == used + cu::detail::lt_workspace_bytes));
  cu::begin_capture(true);
  sp::matmul_args y = x;
  y.m = 49;
  d.matmul(y);
  CHECK(lt::counts.last == 0);
  cu::captured* step = cu::end_capture();
  const numbers once = c.values();
  cu::run_captured(step);
  const numbers twice = expected(a.values(), b.values(), once, 49, 100, 60, false, true, true, 52, 52);
  const numbers got = c.values();
  CHECK(off(numbers(got.begin(), got.begin() + 4900), numbers(twice.begin(), twice.begin() + 4900)) < 1e-5);
  cu::drop_captured(step);
  // without room for a second result the first proposal is taken
  cuda_emulated::memory_limit = cuda_emulated::memory_used + 100;
  y.m = 48, y.n = 99;
  d.matmul(y);
  CHECK(lt::counts.last == 0);
  cuda_emulated::memory_limit = std::size_t(1) << 40;
}

TEST_CASE("captured products of every kind run again on new numbers", "[matmul]") {
  const restored after;
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  for (const cu::products how : {cu::products::exact, cu::products::tf32, cu::products::bf16})
    for (const dtype t : {dtype::f32, dtype::bf16, dtype::f16})
      for (const long m : {2l, 40l}) {
        cu::use_products(how);
        const on_device a(d, dtype::f32, {m, 70}, noise(m * 70, 1)), b(d, t, {30, 70}, noise(2100, 2)), c(d, dtype::f32, {m, 30}), o(d, dtype::f32, {m, 30});
        lt::now.unsupported = 3;                                          // the last one wants a workspace
        cu::begin_capture(true);
        d.matmul({a.v, b.v, c.v, m, 30, 70, false, true, false});
        const std::size_t room = cu::own_queue().capture->bytes();
        cu::captured* step = cu::end_capture();
        CHECK((room >= cublaslt_emulated::workspace_of(3)) == (m == 40));
        a.set(noise(m * 70, 7));
        cu::run_captured(step);
        d.matmul({a.v, b.v, o.v, m, 30, 70, false, true, false});
        CHECK(c.values() == o.values());
        cu::drop_captured(step);
        CHECK(cu::own_queue().arenas.empty());
      }
}

TEST_CASE("epilogues add a bias and bend, in any precision, over slices too", "[matmul]") {
  const restored after;
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  const long m = 5, n = 20, k = 30;
  const auto gelu = [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x))); };
  for (const dtype t : {dtype::f32, dtype::bf16})
    for (const cu::epilogue e : {cu::epilogue::none, cu::epilogue::bias, cu::epilogue::gelu, cu::epilogue::gelu_bias})
      for (const bool tb : {false, true}) {
        const on_device a(d, dtype::f32, {m, k}, noise(m * k, 1)), b(d, t, {n * k}, noise(n * k, 2)), c(d, dtype::f32, {m, n}), bias(d, dtype::f32, {n}, noise(n, 4)), other(d, dtype::f32, {n}, noise(n, 5));
        numbers want = expected(a.values(), b.values(), c.values(), m, n, k, false, tb, false, 52, 52);
        for (const on_device* with : {&bias, &other}) {
          numbers w = want;
          const numbers add = with->values();
          for (std::size_t i = 0; i < w.size(); ++i) {
            if (cu::has_bias(e)) w[i] += add[i % add.size()];
            if (e == cu::epilogue::gelu || e == cu::epilogue::gelu_bias) w[i] = gelu(w[i]);
          }
          cu::product_with(e, with->v, {a.v, b.v, c.v, m, n, k, false, tb, false});
          CHECK(off(c.values(), w) < 1e-5);
        }
      }
}

TEST_CASE("descriptors are freed, and many shapes do not pile up", "[matmul]") {
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  const on_device a(d, dtype::f32, {5000}), b(d, dtype::f32, {5000}), c(d, dtype::f32, {5000});
  for (long m = 9; m < 4500; ++m) d.matmul({a.v, b.v, c.v, m, 1, 1, false, true, false});
  CHECK(cu::detail::own_lt().known.size() <= cu::detail::most_known);
  CHECK(lt::counts.live <= long(8 * 4 * cu::detail::most_known));
}

TEST_CASE("a nonsense precision in the environment is one error at the first product", "[matmul]") {
  const restored after;
  sp::backend& d = sp::backend_of(sp::device_kind::cuda);
  const on_device a(d, dtype::f32, {5}), b(d, dtype::f32, {5}), c(d, dtype::f32, {1});
  cu::detail::chosen_products = -1;
  ::setenv("SHARDPROOF_CUDA_PRODUCTS", "fp8", 1);
  for (int i = 0; i < 2; ++i)
    CHECK(thrown([&] { d.matmul({a.v, b.v, c.v, 1, 1, 5, false, true, false}); }) ==
          "shardproof[SP001] SHARDPROOF_CUDA_PRODUCTS is \"fp8\", not a precision of matrix products. Fix: set it to exact, tf32 or bf16.");
  cu::use_products(cu::products::bf16);
  CHECK(cu::products_in_use() == cu::products::bf16);
  cu::detail::chosen_products = -1;
  ::setenv("SHARDPROOF_CUDA_PRODUCTS", "tf32", 1);
  CHECK(cu::products_in_use() == cu::products::tf32);
  ::unsetenv("SHARDPROOF_CUDA_PRODUCTS");
  CHECK(cu::products_in_use() == cu::products::tf32);
  cu::detail::chosen_products = -1;
  CHECK(cu::products_in_use() == cu::products::exact);
  cu::detail::chosen_tuning = -1;
  ::setenv("SHARDPROOF_CUDA_TUNE", "yes", 1);
  CHECK(contains(thrown([] { cu::products_are_tuned(); }), "SHARDPROOF_CUDA_TUNE is \"yes\", neither yes nor no. Fix: set it to 1 or 0."));
  ::setenv("SHARDPROOF_CUDA_TUNE", "1", 1);
  CHECK(cu::products_are_tuned());
  ::unsetenv("SHARDPROOF_CUDA_TUNE");
}

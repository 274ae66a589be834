// backend/cpu/product.hpp: the kernels of the backend against Eigen in double, over random shapes, strides, types and layouts.
#include <cmath>
#include <random>
#include <string>
#include <vector>
#include <catch2/catch.hpp>
#include <shardproof/backend/cpu/eigen_product.hpp>
#include <shardproof/backend/cpu/product.hpp>
namespace sp = shardproof;
using namespace sp::cpu;

namespace {
enum class products { measured, eigen };                     ///< what the backend does by itself, and what it does on request
/// A matrix in memory of its own: rows or columns adjacent, with a gap between them and guards around.
template <class T> struct stored {
  long rows, columns, gap;
  bool by_rows;
  std::vector<T> memory;
  std::vector<double> exact;                                 ///< what is stored, row by row
  stored(long m, long n, bool rows_adjacent, long between, std::mt19937& random, bool zeros = false)
      : rows(m), columns(n), gap(between), by_rows(rows_adjacent),
        memory(std::size_t((by_rows ? m : n) * ((by_rows ? n : m) + gap) + 2 * guard), T(float(poison))), exact(std::size_t(m * n)) {
    for (long i = 0; i < m; ++i)
      for (long j = 0; j < n; ++j) {
        const float x = zeros ? 0 : float(double(random()) / 2147483648.0 - 1);
        at(i, j) = T(x);
        exact[std::size_t(i * n + j)] = double(float(at(i, j)));
      }
  }
  static constexpr long guard = 40;
  static constexpr double poison = 776;                   // exact in every type
  long stride() const { return (by_rows ? columns : rows) + gap; }
  T& at(long i, long j) { return memory[std::size_t(guard + (by_rows ? i * stride() + j : j * stride() + i))]; }
  matrix<T> view() {
    T* const p = memory.data() + guard;
    return by_rows ? matrix<T>{p, stride(), 1} : matrix<T>{p, 1, stride()};
  }
  matrix<const T> constant() {
    const matrix<T> v = view();
    return {v.p, v.row, v.column};
  }
  /// Elements outside of the matrix that no longer hold what they held.
  long damaged() {
    long all = 0, inside = 0;
    for (const T& x : memory) all += float(x) != float(poison);
    for (long i = 0; i < rows; ++i)
      for (long j = 0; j < columns; ++j) inside += float(at(i, j)) != float(poison);
    return all - inside;
  }
};

/// The largest error of a product as a multiple of what rounding may cost: eps (k + 1) |a| |b|, plus |c| where it is added to.
template <class T, class B, products By> double error_of(long m, long n, long k, int layout, bool add, std::mt19937& random) {
  const auto gap = [&] { return long(random() % 3) * 5; };
  stored<T> a(m, k, layout & 1, gap(), random);
  stored<B> b(k, n, layout & 2, gap(), random);
  stored<T> c(m, n, layout & 4, gap(), random);
  const std::vector<double> before = c.exact;
  if (By == products::eigen) eigen_product<T, B>(m, n, k, a.constant(), b.constant(), c.view(), add);
  else product<T, B>(m, n, k, a.constant(), b.constant(), c.view(), add);
  if (c.damaged() || a.damaged() || b.damaged()) return 1e9;

  std::vector<double> sum(std::size_t(m * n)), size(std::size_t(m * n)), positive_a = a.exact, positive_b = b.exact;
  for (double& x : positive_a) x = std::fabs(x);
  for (double& x : positive_b) x = std::fabs(x);
  eigen_product<double>(m, n, k, {a.exact.data(), k, 1}, {b.exact.data(), n, 1}, {sum.data(), n, 1}, false);
  eigen_product<double>(m, n, k, {positive_a.data(), k, 1}, {positive_b.data(), n, 1}, {size.data(), n, 1}, false);
  double worst = 0;
  for (long i = 0; i < m; ++i)
    for (long j = 0; j < n; ++j) {
      const std::size_t e = std::size_t(i * n + j);
      const double old = add ? before[e] : 0, wanted = sum[e] + old;
      const double allowed = double(std::numeric_limits<T>::epsilon()) * (size[e] + std::fabs(old)) * std::sqrt(double(k) + 1) + 1e-300;
      worst = std::max(worst, std::fabs(double(c.at(i, j)) - wanted) / allowed);
      if (!(std::fabs(double(c.at(i, j))) < 1e6)) return 1e9;
    }
  return worst;
}

template <class T, class B, products By> void many(unsigned seed, int count) {
  std::mt19937 random(seed);
  const auto extent = [&](int kind) -> long {
    constexpr long round[] = {1, 2, 8, 9, 16, 48, 49, 64, 96, 97, 128};
    switch (kind % 4) {
      case 0: return long(random() % 5);                     // empty, one row, a few
      case 1: return round[random() % 11];
      case 2: return 1 + long(random() % 40);
      default: return 1 + long(random() % 200);
    }
  };
  for (int i = 0; i < count; ++i) {
    const long m = extent(int(random() % 4)), n = extent(int(random() % 4)), k = i % 25 == 0 ? 1000 + long(random() % 1200) : extent(int(random() % 4));
    const int layout = int(random() % 8);
    const bool add = random() % 2;
    const double e = error_of<T, B, By>(m, n, k, layout, add, random);
    INFO("m " << m << " n " << n << " k " << k << " layout " << layout << " add " << add);
    if (!(e <= 2)) FAIL("the error is " << e << " times what rounding allows");
  }
  SUCCEED();
}
}  // namespace

TEST_CASE("products of f32 are what Eigen says in double", "[cpu]") { many<float, float, products::measured>(1, 1500); }
TEST_CASE("products of f64 are what Eigen says", "[cpu]") { many<double, double, products::measured>(2, 600); }
TEST_CASE("bf16 weights are widened, not rounded again", "[cpu]") { many<float, sp::bf16, products::measured>(3, 900); }
TEST_CASE("f16 weights are widened, not rounded again", "[cpu]") { many<float, sp::f16, products::measured>(4, 600); }
TEST_CASE("left to Eigen, products of all types are right too", "[cpu]") {
  many<float, float, products::eigen>(5, 300);
  many<double, double, products::eigen>(6, 200);
  many<float, sp::bf16, products::eigen>(7, 300);
  many<float, sp::f16, products::eigen>(8, 200);
}
TEST_CASE("one row and one column, of every layout, aligned and not", "[cpu]") {
  std::mt19937 random(9);
  for (int layout = 0; layout < 8; ++layout)
    for (const bool add : {false, true})
      for (const long k : {1l, 15l, 64l, 768l, 2049l, 4100l}) {
        INFO("layout " << layout << " add " << add << " k " << k);
        CHECK(error_of<float, float, products::measured>(1, 130, k, layout, add, random) <= 2);
        CHECK(error_of<float, float, products::measured>(130, 1, k, layout, add, random) <= 2);
        CHECK(error_of<float, sp::bf16, products::measured>(1, 130, k, layout, add, random) <= 2);
      }
}
TEST_CASE("a large single row takes its copy off the lines of the cache", "[cpu]") {
  std::mt19937 random(10);                                   // n k is above bytes_worth_a_copy
  CHECK(error_of<float, float, products::measured>(1, 700, 768, 1 | 4, false, random) <= 2);
  CHECK(error_of<float, float, products::measured>(1, 200, 2500, 1 | 4, true, random) <= 2);
  CHECK(error_of<float, sp::bf16, products::measured>(1, 700, 768, 1 | 4, false, random) <= 2);
}
TEST_CASE("nothing summed is zero, or leaves what is added to", "[cpu]") {
  std::mt19937 random(11);
  for (int layout = 0; layout < 8; ++layout)
    for (const bool add : {false, true}) {
      CHECK(error_of<float, float, products::measured>(3, 5, 0, layout, add, random) <= 2);
      CHECK(error_of<float, sp::bf16, products::eigen>(3, 5, 0, layout, add, random) <= 2);
      CHECK(error_of<float, float, products::measured>(0, 5, 3, layout, add, random) <= 2);
      CHECK(error_of<float, float, products::measured>(5, 0, 3, layout, add, random) <= 2);
    }
}

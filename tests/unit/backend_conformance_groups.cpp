// What every backend promises of rows in groups: experts.
#include "conformance.hpp"
using namespace conformance;
using sp::dtype;

namespace {
struct groups {
  std::vector<long> offsets;
  long rows;
  long count() const { return long(offsets.size()) - 1; }
  long of(long row) const {
    for (long g = 0; g < count(); ++g)
      if (row >= offsets[std::size_t(g)] && row < offsets[std::size_t(g + 1)]) return g;
    return -1;
  }
  numbers values() const { return {offsets.begin(), offsets.end()}; }
};
/// Sizes one behind the other, then so many rows of nobody.
groups of_sizes(std::initializer_list<long> sizes, long nobodys = 0) {
  groups g{{0}, 0};
  for (const long n : sizes) g.offsets.push_back(g.offsets.back() + n);
  g.rows = g.offsets.back() + nobodys;
  return g;
}
const groups several[] = {of_sizes({3, 0, 1, 5}), of_sizes({0, 0, 0}), of_sizes({0, 7, 0}, 3), of_sizes({1}, 4), of_sizes({}, 3), of_sizes({2, 2}, 0),
                          of_sizes({1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1}, 2),
                          of_sizes({33, 70, 0, 1}, 20), of_sizes({64, 65, 1}), of_sizes({300, 0, 129}, 5)};

void check_products(sp::backend& device, dtype t, dtype u, const groups& g, long n, long k) {
  const on_device at(device, dtype::i64, {g.count() + 1}, g.values());
  for (int flags = 0; flags < 4; ++flags) {
    const bool tb = flags & 1, adds = flags & 2;
    CAPTURE(sp::name_of(t), sp::name_of(u), g.values(), g.rows, n, k, tb, adds);
    const on_device a(device, t, {g.rows, k}, noise(g.rows * k, 1)), b(device, u, {g.count(), tb ? n : k, tb ? k : n}, noise(g.count() * n * k, 2));
    const on_device c(device, t, {g.rows, n}, noise(g.rows * n, 3));
    const numbers p = a.values(), q = b.values();
    numbers expected = c.values();
    for (long i = 0; i < g.rows; ++i)
      for (long j = 0; j < n; ++j) {
        double& s = expected[std::size_t(i * n + j)];
        if (!adds) s = 0;
        if (const long e = g.of(i); e >= 0)
          for (long l = 0; l < k; ++l) s += p[std::size_t(i * k + l)] * q[std::size_t(e * n * k + (tb ? j * k + l : l * n + j))];
      }
    device.grouped_matmul({.a = a.v, .b = b.v, .c = c.v, .offsets = at.v, .rows = g.rows, .n = n, .k = k, .tb = tb, .accumulate = adds});
    CHECK(off(c.values(), expected) < tolerance(t) * (1 + double(k) / 256));
  }
}
void check_outer(sp::backend& device, dtype t, const groups& g, long n, long k) {
  CAPTURE(sp::name_of(t), g.values(), g.rows, n, k);
  const on_device at(device, dtype::i64, {g.count() + 1}, g.values());
  const on_device a(device, t, {g.rows, k}, noise(g.rows * k, 1)), b(device, t, {g.rows, n}, noise(g.rows * n, 2)), c(device, t, {g.count(), k, n}, noise(g.count() * n * k, 3));
  const numbers p = a.values(), q = b.values();
  numbers expected = c.values();
  for (long r = 0; r < g.rows; ++r)
    if (const long e = g.of(r); e >= 0)
      for (long i = 0; i < k; ++i)
        for (long j = 0; j < n; ++j) expected[std::size_t((e * k + i) * n + j)] += p[std::size_t(r * k + i)] * q[std::size_t(r * n + j)];
  device.grouped_outer({.a = a.v, .b = b.v, .c = c.v, .offsets = at.v, .rows = g.rows, .n = n, .k = k});
  CHECK(off(c.values(), expected) < tolerance(t) * (1 + double(g.rows) / 64));
}
}  // namespace

TEST_CASE("ids are grouped in order, and what is no group's is left out", "[conformance]") {
  for (sp::backend* b : devices())
    for (const long positions : {0l, 1l, 6l, 96l, 3000l})
      for (const long experts : {1l, 5l, 40l})
        for (const bool open : {false, true})
          for (const long first : {0l, 2l})
            for (const long count : {0l, 1l, 3l, 37l}) {
              CAPTURE(positions, experts, open, first, count);
              numbers id = noise(positions, unsigned(positions + experts));
              for (double& v : id) v = std::floor((v + 1) / 2 * double(experts + 1)) - 1;       // -1 is nobody's
              const on_device ids(*b, dtype::i64, {positions}, id), choice(*b, dtype::i64, {positions}), token(*b, dtype::i64, {positions}), at(*b, dtype::i64, {count + 1});
              numbers offsets{0}, choices, tokens;
              for (long g = 0; g < count; ++g) {
                for (std::size_t i = 0; i < id.size(); ++i)
                  if (const long e = long(id[i]) - first; e == g || (open && g == count - 1 && e > g)) choices.push_back(double(i)), tokens.push_back(double(i / 3));
                offsets.push_back(double(choices.size()));
              }
              choices.resize(id.size(), -1);
              tokens.resize(id.size(), -1);
              b->group_ids({.choice = choice.v, .token = token.v, .offsets = at.v, .ids = ids.v, .first = first, .chosen = 3, .open = open});
              CHECK(choice.values() == choices);
              CHECK(token.values() == tokens);
              CHECK(at.values() == offsets);
            }
}

TEST_CASE("rows of groups are multiplied with their group's matrix", "[conformance]") {
  for (sp::backend* b : devices()) {
    for (const groups& g : several)
      for (const auto& [n, k] : {std::pair{1l, 1l}, {7l, 5l}, {16l, 8l}, {40l, 33l}, {2l, 0l}, {0l, 3l}}) {
        check_products(*b, dtype::f32, dtype::f32, g, n, k);
        check_products(*b, dtype::f64, dtype::f64, g, n, k);
        check_products(*b, dtype::f32, dtype::bf16, g, n, k);
      }
    check_products(*b, dtype::f32, dtype::f16, several[0], 24, 16);
    check_products(*b, dtype::f32, dtype::f16, several[9], 24, 16);
    check_products(*b, dtype::f32, dtype::f32, several[9], 136, 20);
    check_products(*b, dtype::f32, dtype::bf16, several[0], 12, 1500);
    check_products(*b, dtype::f32, dtype::f32, several[6], 400, 5);          // more tiles of columns than a grid has blocks for
  }
}

TEST_CASE("products of a group's rows are added to its own matrix", "[conformance]") {
  for (sp::backend* b : devices()) {
    for (const groups& g : several)
      for (const auto& [n, k] : {std::pair{1l, 1l}, {7l, 5l}, {16l, 8l}, {40l, 33l}, {0l, 3l}, {3l, 0l}})
        for (const dtype t : compute_types) check_outer(*b, t, g, n, k);
    check_outer(*b, dtype::f32, several[9], 136, 140);
  }
}

TEST_CASE("a NaN in a row of nobody stays out of the groups' sums", "[conformance]") {
  for (sp::backend* b : devices()) {
    const groups g = of_sizes({2, 1}, 1);
    const on_device at(*b, dtype::i64, {3}, g.values()), w(*b, dtype::f32, {2, 3, 3}, noise(18, 1)), dw(*b, dtype::f32, {2, 3, 3});
    numbers rows = noise(12, 2);
    for (std::size_t i = 9; i < 12; ++i) rows[i] = std::numeric_limits<double>::quiet_NaN();
    const on_device x(*b, dtype::f32, {4, 3}, rows), y(*b, dtype::f32, {4, 3}, rows), bias(*b, dtype::f32, {2, 3}, noise(6, 3)), db(*b, dtype::f32, {2, 3});
    const auto finite = [](const numbers& v) { return std::all_of(v.begin(), v.end(), [](double e) { return std::isfinite(e); }); };
    b->grouped_matmul({.a = x.v, .b = w.v, .c = y.v, .offsets = at.v, .rows = 4, .n = 3, .k = 3, .tb = true});
    CHECK(finite(y.values()));
    y.set(rows);
    b->grouped_add(y.v, x.v, bias.v, at.v);
    CHECK(finite(y.values()));
    b->grouped_outer({.a = x.v, .b = x.v, .c = dw.v, .offsets = at.v, .rows = 4, .n = 3, .k = 3});
    b->grouped_sum(db.v, x.v, at.v);
    CHECK(finite(dw.values()));
    CHECK(finite(db.values()));
  }
}

TEST_CASE("a bias of each group is added to its rows, and its gradient is their sum", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const groups& g : several)
        for (const long n : {1l, 5l, 300l}) {
          CAPTURE(sp::name_of(t), g.values(), g.rows, n);
          const on_device at(*b, dtype::i64, {g.count() + 1}, g.values()), x(*b, t, {g.rows, n}, noise(g.rows * n, 1)), y(*b, t, {g.rows, n}, noise(g.rows * n, 4));
          const on_device bias(*b, t, {g.count(), n}, noise(g.count() * n, 2)), db(*b, t, {g.count(), n}, noise(g.count() * n, 3));
          const numbers in = x.values(), w = bias.values();
          numbers sums = db.values(), shifted(in.size());
          for (long r = 0; r < g.rows; ++r)
            if (const long e = g.of(r); e >= 0)
              for (long j = 0; j < n; ++j) {
                shifted[std::size_t(r * n + j)] = in[std::size_t(r * n + j)] + w[std::size_t(e * n + j)];
                sums[std::size_t(e * n + j)] += in[std::size_t(r * n + j)];
              }
          b->grouped_add(y.v, x.v, bias.v, at.v);
          b->grouped_sum(db.v, x.v, at.v);
          CHECK(off(y.values(), shifted) < tolerance(t));
          CHECK(off(db.values(), sums) < tolerance(t) * 4);
        }
}

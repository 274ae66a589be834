// runtime/backend.hpp, for every backend linked into the program: norms, rotation, tables, the loss in steps, the optimizer.
#include <cstdint>
#include "conformance.hpp"
using namespace conformance;
using sp::dtype;

namespace {
const sp::shape row_shapes[] = {{1, 1}, {3, 5}, {2, 3, 16}, {4, 33}, {2, 100}, {0, 8}, {1, 768}};

numbers rms_norm(const numbers& x, const numbers& w, std::size_t n, double eps, double offset) {
  numbers y(x.size());
  for (std::size_t r = 0; r < x.size(); r += n) {
    double squares = 0;
    for (std::size_t j = 0; j < n; ++j) squares += x[r + j] * x[r + j];
    for (std::size_t j = 0; j < n; ++j) y[r + j] = x[r + j] / std::sqrt(squares / double(n) + eps) * (w.empty() ? 1 : offset + w[j]);
  }
  return y;
}
numbers layer_norm(const numbers& x, const numbers& w, const numbers& b, std::size_t n, double eps) {
  numbers y(x.size());
  for (std::size_t r = 0; r < x.size(); r += n) {
    double mean = 0, squares = 0;
    for (std::size_t j = 0; j < n; ++j) mean += x[r + j] / double(n);
    for (std::size_t j = 0; j < n; ++j) squares += (x[r + j] - mean) * (x[r + j] - mean) / double(n);
    for (std::size_t j = 0; j < n; ++j) y[r + j] = (x[r + j] - mean) / std::sqrt(squares + eps) * (w.empty() ? 1 : w[j]) + (b.empty() ? 0 : b[j]);
  }
  return y;
}
}  // namespace

TEST_CASE("rms_norm follows its formula, for weights of any type", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const dtype u : float_types)
        for (const sp::shape& s : row_shapes)
          for (const double offset : {0.0, 1.0}) {
            if (u == dtype::f64 && t != dtype::f64) continue;
            const long n = s[-1];
            CAPTURE(sp::name_of(t), sp::name_of(u), s.count(), n, offset);
            const on_device x(*b, t, s, 3 * noise(s.count(), 1)), w(*b, u, {n}, noise(n, 2)), y(*b, t, s);
            b->rms_norm(y.v, x.v, w.v, 1e-5, offset);
            CHECK(off(y.values(), rms_norm(x.values(), w.values(), std::size_t(n), 1e-5, offset)) < tolerance(t));
            b->rms_norm(y.v, x.v, {}, 1e-5, offset);
            CHECK(off(y.values(), rms_norm(x.values(), {}, std::size_t(n), 1e-5, offset)) < tolerance(t));
          }
}

TEST_CASE("layer_norm follows its formula, with and without weight and bias", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const sp::shape& s : row_shapes)
        for (int which = 0; which < 4; ++which) {
          const long n = s[-1];
          CAPTURE(sp::name_of(t), s.count(), n, which);
          numbers values = noise(s.count(), 1);
          for (double& v : values) v += 5;                                // a mean far from zero must not cost digits
          const on_device x(*b, t, s, values), w(*b, t, {n}, noise(n, 2)), bias(*b, t, {n}, noise(n, 3)), y(*b, t, s);
          b->layer_norm(y.v, x.v, which & 1 ? w.v : sp::view{}, which & 2 ? bias.v : sp::view{}, 1e-5);
          const numbers none;
          CHECK(off(y.values(), layer_norm(x.values(), which & 1 ? w.values() : none, which & 2 ? bias.values() : none, std::size_t(n), 1e-5)) < 2 * tolerance(t));
        }
}

TEST_CASE("gradients of norms agree with central differences and add up", "[conformance]") {
  for (sp::backend* b : devices())
    for (const sp::shape& s : {sp::shape{3, 5}, sp::shape{2, 2, 17}})
      for (const bool weighted : {true, false}) {
        const long n = s[-1];
        CAPTURE(n, weighted);
        const on_device x(*b, dtype::f64, s, noise(s.count(), 1)), w(*b, dtype::f64, {n}, noise(n, 2)), bias(*b, dtype::f64, {n}, noise(n, 3));
        const on_device y(*b, dtype::f64, s), g(*b, dtype::f64, s, noise(s.count(), 4));
        const sp::view used = weighted ? w.v : sp::view{};
        {
          const on_device dx(*b, dtype::f64, s), dw(*b, dtype::f64, {n});
          const auto value = [&] { return b->rms_norm(y.v, x.v, used, 1e-5, 1), dot(y.values(), g.values()); };
          b->rms_norm_backward(dx.v, weighted ? dw.v : sp::view{}, g.v, x.v, used, 1e-5, 1);
          const numbers once_x = dx.values(), once_w = dw.values();
          CHECK(gradient_off(x, once_x, value) < 1e-6);
          if (weighted) CHECK(gradient_off(w, once_w, value) < 1e-6);
          b->rms_norm_backward(dx.v, {}, g.v, x.v, used, 1e-5, 1);
          if (weighted) b->rms_norm_backward({}, dw.v, g.v, x.v, used, 1e-5, 1);
          CHECK(off(dx.values(), 2 * once_x) < 1e-13);
          CHECK(off(dw.values(), 2 * once_w) < 1e-13);
        }
        {
          const on_device dx(*b, dtype::f64, s), dw(*b, dtype::f64, {n}), db(*b, dtype::f64, {n});
          const auto value = [&] { return b->layer_norm(y.v, x.v, used, bias.v, 1e-5), dot(y.values(), g.values()); };
          b->layer_norm_backward(dx.v, weighted ? dw.v : sp::view{}, db.v, g.v, x.v, used, 1e-5);
          const numbers once_x = dx.values(), once_w = dw.values(), once_b = db.values();
          CHECK(gradient_off(x, once_x, value) < 1e-6);
          if (weighted) CHECK(gradient_off(w, once_w, value) < 1e-6);
          CHECK(gradient_off(bias, once_b, value) < 1e-6);
          b->layer_norm_backward(dx.v, {}, {}, g.v, x.v, used, 1e-5);
          b->layer_norm_backward({}, dw.v, db.v, g.v, x.v, used, 1e-5);
          CHECK(off(dx.values(), 2 * once_x) < 1e-13);
          CHECK(off(db.values(), 2 * once_b) < 1e-13);
          if (weighted) CHECK(off(dw.values(), 2 * once_w) < 1e-13);
        }
      }
}

TEST_CASE("gradients of norms in f32 are those in f64, rounded", "[conformance]") {
  for (sp::backend* b : devices()) {
    const sp::shape s{7, 83};
    numbers results[2][5];
    for (int i = 0; i < 2; ++i) {
      const dtype t = i ? dtype::f64 : dtype::f32;
      const on_device x(*b, t, s, noise(s.count(), 1)), w(*b, dtype::bf16, {83}, noise(83, 2)), g(*b, t, s, noise(s.count(), 4));
      const on_device dx(*b, t, s), dw(*b, t, {83}), dx2(*b, t, s), dw2(*b, t, {83}), db2(*b, t, {83});
      b->rms_norm_backward(dx.v, dw.v, g.v, x.v, w.v, 1e-6, 0);
      b->layer_norm_backward(dx2.v, dw2.v, db2.v, g.v, x.v, w.v, 1e-6);
      const numbers all[] = {dx.values(), dw.values(), dx2.values(), dw2.values(), db2.values()};
      std::copy(all, all + 5, results[i]);
    }
    for (int j = 0; j < 5; ++j) CHECK(off(results[0][j], results[1][j]) < 1e-5);
  }
}

TEST_CASE("rotate turns pairs of features, whole or part of a head, either way round", "[conformance]") {
  struct setting { long batch, seq, heads, dim, rotated, tables; };
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const setting c : {setting{2, 3, 2, 8, 8, 1}, {2, 5, 3, 64, 64, 2}, {1, 4, 1, 80, 20, 1}, {1, 2, 2, 7, 6, 1}, {2, 0, 2, 8, 8, 1}, {1, 3, 2, 6, 0, 1}, {1, 1, 0, 8, 8, 1}})
        for (const bool interleaved : {false, true}) {
          const sp::shape s{c.batch, c.seq, c.heads, c.dim}, table{c.tables, c.seq, c.rotated / 2};
          CAPTURE(sp::name_of(t), c.seq, c.dim, c.rotated, interleaved);
          numbers angles = 3 * noise(table.count(), 9), co = angles, si = angles;
          for (double& v : co) v = std::cos(v);
          for (double& v : si) v = std::sin(v);
          const on_device x(*b, t, s, noise(s.count(), 1)), y(*b, t, s), cos(*b, t, table, co), sin(*b, t, table, si);
          const numbers from = x.values();
          numbers expected = from;
          const auto at = [](long i) { return std::size_t(i); };
          for (long p = 0; p < c.batch * c.seq; ++p)
            for (long h = 0; h < c.heads; ++h)
              for (long j = 0; j < c.rotated / 2; ++j) {
                const long base = (p * c.heads + h) * c.dim, u = base + (interleaved ? 2 * j : j), v = base + (interleaved ? 2 * j + 1 : j + c.rotated / 2);
                const long angle = (c.tables == 1 ? p % std::max(c.seq, 1l) : p) * (c.rotated / 2) + j;
                expected[at(u)] = from[at(u)] * co[at(angle)] - from[at(v)] * si[at(angle)];
                expected[at(v)] = from[at(v)] * co[at(angle)] + from[at(u)] * si[at(angle)];
              }
          b->rotate({y.v, x.v, cos.v, sin.v, c.rotated, interleaved, false, false});
          CHECK(off(y.values(), expected) < tolerance(t));
          b->rotate({y.v, x.v, cos.v, sin.v, c.rotated, interleaved, false, true});
          CHECK(off(y.values(), 2 * expected) < tolerance(t));
          b->rotate({x.v, x.v, cos.v, sin.v, c.rotated, interleaved, false, false});              // in place
          CHECK(off(x.values(), expected) < tolerance(t));
          b->rotate({y.v, x.v, cos.v, sin.v, c.rotated, interleaved, true, false});               // and back
          CHECK(off(y.values(), from) < tolerance(t));
        }
}

TEST_CASE("tables give the rows they hold and zeros for others, and take gradients the same way", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const dtype u : float_types)
        for (const long width : {1l, 19l, 32l}) {
          CAPTURE(sp::name_of(t), sp::name_of(u), width);
          const on_device table(*b, u, {4, width}, noise(4 * width, 1)), ids(*b, dtype::i64, {2, 3}, {5, 3, 8, 6, 5, 0}), y(*b, t, {2, 3, width});
          b->gather_rows(y.v, table.v, ids.v, 3);                           // rows 3 to 6 of the global table
          const numbers rows = table.values(), ask = ids.values();
          numbers expected;
          for (double id : ask)
            for (long j = 0; j < width; ++j) expected.push_back(id >= 3 && id < 7 ? rows[std::size_t((long(id) - 3) * width + j)] : 0);
          CHECK(off(y.values(), expected) < (t == dtype::f32 ? 1e-7 : 0 + 1e-300));

          if (u != t) continue;
          const on_device dtable(*b, t, {4, width}), dy(*b, t, {2, 3, width}, noise(6 * width, 2));
          const numbers g = dy.values();
          for (const long padding : {-1l, 6l}) {
            b->fill(dtable.v, 0);
            numbers sums(std::size_t(4 * width));
            for (std::size_t r = 0; r < 6; ++r)
              if (ask[r] >= 3 && ask[r] < 7 && ask[r] != double(padding))
                for (std::size_t j = 0; j < std::size_t(width); ++j) sums[(std::size_t(ask[r]) - 3) * std::size_t(width) + j] += g[r * std::size_t(width) + j];
            for (int times = 1; times <= 2; ++times) {
              b->scatter_rows(dtable.v, dy.v, ids.v, 3, padding);
              CHECK(off(dtable.values(), times * sums) < tolerance(t));
            }
          }
        }
  for (sp::backend* b : devices()) {
    const on_device none(*b, dtype::f32, {0, 4}), ids(*b, dtype::i64, {2}, {0, 1}), y(*b, dtype::f32, {2, 4}, noise(8, 1));
    b->gather_rows(y.v, none.v, ids.v, 2);                                  // a rank without rows
    b->scatter_rows(none.v, y.v, ids.v, 2, -1);
    CHECK(y.values() == numbers(8));
  }
}

TEST_CASE("the loss in steps over any cut of the vocabulary is the loss of the whole", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const std::vector<long>& cut : {std::vector<long>{0, 37}, {0, 20, 37}, {0, 16, 16, 33, 37}}) {
        const long rows = 5, n = 37;
        CAPTURE(sp::name_of(t), cut.size());
        const numbers logits = 8 * noise(rows * n, 1);
        const on_device labels(*b, dtype::i64, {rows}, {0, 36, -100, 16, 20}), whole(*b, t, {rows, n}, logits);
        const numbers x = whole.values(), label = labels.values();
        double expected = 0;
        numbers slopes(x.size());
        for (std::size_t r = 0; r < std::size_t(rows); ++r) {
          if (label[r] < 0) continue;
          double sum = 0;
          for (std::size_t j = 0; j < std::size_t(n); ++j) sum += std::exp(x[r * 37 + j]);
          expected += std::log(sum) - x[r * 37 + std::size_t(label[r])];
          for (std::size_t j = 0; j < std::size_t(n); ++j) slopes[r * 37 + j] = 0.25 * (std::exp(x[r * 37 + j]) / sum - (double(j) == label[r]));
        }
        numbers top(std::size_t(rows), -std::numeric_limits<double>::infinity()), sum(std::size_t(rows), 0.0), hit(std::size_t(rows), 0.0);
        struct part { long first, width; };
        std::vector<part> parts;
        for (std::size_t i = 0; i + 1 < cut.size(); ++i) parts.push_back({cut[i], cut[i + 1] - cut[i]});
        const auto part_of = [&](const part& p) {
          numbers some;
          for (long r = 0; r < rows; ++r)
            for (long j = 0; j < p.width; ++j) some.push_back(logits[std::size_t(r * n + p.first + j)]);
          return some;
        };
        for (const part& p : parts) {
          const on_device mine(*b, t, {rows, p.width}, part_of(p)), best(*b, t, {rows});
          b->row_max(best.v, mine.v);
          const numbers found = best.values();
          if (!p.width) CHECK(found == numbers(std::size_t(rows), -std::numeric_limits<double>::infinity()));
          for (std::size_t r = 0; r < top.size(); ++r) top[r] = std::max(top[r], found[r]);
        }
        const on_device tops(*b, t, {rows}, top);
        for (const part& p : parts) {
          const on_device mine(*b, t, {rows, p.width}, part_of(p)), s(*b, t, {rows}), h(*b, t, {rows});
          b->row_exp_sum(s.v, h.v, mine.v, tops.v, labels.v, p.first);
          const numbers found_s = s.values(), found_h = h.values();
          for (std::size_t r = 0; r < top.size(); ++r) sum[r] += found_s[r], hit[r] += found_h[r];
        }
        const on_device sums(*b, t, {rows}, sum), hits(*b, t, {rows}, hit);
        const on_device total(*b, dtype::f64, {2}), loss(*b, t, {}), factor(*b, dtype::f64, {1}), slope(*b, t, {}, {0.5});
        b->loss_sum(total.v, sums.v, hits.v, labels.v);
        CHECK(off(total.values(), {expected, 4}) < tolerance(t));
        b->loss_mean(loss.v, factor.v, total.v, 1.5, 0);
        CHECK(off(loss.values(), {expected * 1.5 / 4}) < tolerance(t));
        CHECK(off(factor.values(), {1.5 / 4}) < 1e-15);
        b->loss_mean(loss.v, factor.v, total.v, 1, 2);                       // per this many tokens
        CHECK(off(loss.values(), {expected / 2}) < tolerance(t));
        for (const part& p : parts) {
          const on_device mine(*b, t, {rows, p.width}, part_of(p)), d(*b, t, {rows, p.width});
          numbers want;
          for (long r = 0; r < rows; ++r)
            for (long j = 0; j < p.width; ++j) want.push_back(slopes[std::size_t(r * n + p.first + j)]);
          for (int times = 1; times <= 2; ++times) {
            b->cross_entropy_backward(d.v, mine.v, tops.v, sums.v, labels.v, p.first, factor.v, slope.v);     // 0.5 * 0.5
            CHECK(off(d.values(), times * want) < tolerance(t));
          }
        }
      }
}

TEST_CASE("the loss survives logits that would overflow exp", "[conformance]") {
  for (sp::backend* b : devices()) {
    const on_device x(*b, dtype::f32, {1, 3}, {1000, 990, -3000}), labels(*b, dtype::i64, {1}, {1}), top(*b, dtype::f32, {1}), sum(*b, dtype::f32, {1}), hit(*b, dtype::f32, {1});
    b->row_max(top.v, x.v);
    b->row_exp_sum(sum.v, hit.v, x.v, top.v, labels.v, 0);
    const on_device total(*b, dtype::f64, {2});
    b->loss_sum(total.v, sum.v, hit.v, labels.v);
    CHECK(off(total.values(), {10 + std::log(1 + std::exp(-10.0)), 1}) < 1e-6);
  }
}

TEST_CASE("rows are scaled one by one, and their products add up", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const sp::shape& s : row_shapes) {
        const long n = s[-1], rows = s.count() / n;
        CAPTURE(sp::name_of(t), rows, n);
        const on_device x(*b, t, s, noise(s.count(), 1)), z(*b, t, s, noise(s.count(), 2)), k(*b, t, {rows}, noise(rows, 3)), y(*b, t, s);
        numbers want = x.values(), dots(std::size_t(rows), 0.0);
        for (std::size_t i = 0; i < want.size(); ++i) {
          dots[i / std::size_t(n)] += 0.5 * want[i] * z.values()[i];
          want[i] *= k.values()[i / std::size_t(n)];
        }
        b->scale_rows(y.v, x.v, k.v, false);
        CHECK(off(y.values(), want) < tolerance(t));
        b->scale_rows(y.v, x.v, k.v, true);
        CHECK(off(y.values(), 2 * want) < 2 * tolerance(t));
        const on_device d(*b, t, {rows});
        b->row_dot(d.v, x.v, z.v, 0.5);
        CHECK(off(d.values(), dots) < tolerance(t));
        b->row_dot(d.v, x.v, z.v, 0.5);
        CHECK(off(d.values(), 2 * dots) < 2 * tolerance(t));
      }
}

TEST_CASE("a router chooses the best experts of the best groups, and weighs them as its rule says", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const bool sigmoid : {false, true})
        for (const bool renormalised : {false, true})
          for (const long groups : {1L, 3L})
            for (const bool biased : {false, true}) {
              const long rows = 5, n = 12, k = 3;
              CAPTURE(sp::name_of(t), sigmoid, renormalised, groups, biased);
              const on_device logits(*b, t, {rows, n}, 3 * noise(rows * n, 1)), bias(*b, t, {n}, 0.2 * noise(n, 2)), w(*b, t, {rows, k}), ids(*b, dtype::i64, {rows, k});
              sp::route_args a;
              a.weights = w.v, a.ids = ids.v, a.logits = logits.v;
              if (biased) a.bias = bias.v;
              a.how = {.chosen = k, .score = sigmoid ? sp::router_score::sigmoid : sp::router_score::softmax, .renormalised = renormalised, .sum_eps = 0.01, .scale = 1.5,
                       .groups = groups, .kept_groups = groups == 1 ? 1L : 2L, .group_by_two = true};
              b->route(a);
              const numbers x = logits.values(), extra = bias.values(), found = ids.values(), weights = w.values();
              for (std::size_t r = 0; r < std::size_t(rows); ++r) {
                numbers score(12), by(12);
                double all = 0;
                for (std::size_t j = 0; j < 12; ++j) all += std::exp(x[r * 12 + j]);
                for (std::size_t j = 0; j < 12; ++j) score[j] = sigmoid ? 1 / (1 + std::exp(-x[r * 12 + j])) : std::exp(x[r * 12 + j]) / all, by[j] = score[j] + (biased ? extra[j] : 0);
                std::vector<std::pair<double, std::size_t>> group_worth;
                const std::size_t size = 12 / std::size_t(groups);
                for (std::size_t g = 0; g < std::size_t(groups); ++g) {
                  numbers of(by.begin() + long(g * size), by.begin() + long((g + 1) * size));
                  std::sort(of.rbegin(), of.rend());
                  group_worth.emplace_back(of[0] + of[1], g);
                }
                std::sort(group_worth.rbegin(), group_worth.rend());
                group_worth.resize(std::size_t(a.how.kept_groups));
                std::vector<std::pair<double, std::size_t>> candidates;
                for (const auto& [worth, g] : group_worth) for (std::size_t j = g * size; j < (g + 1) * size; ++j) candidates.emplace_back(by[j], j);
                std::sort(candidates.rbegin(), candidates.rend());
                double sum = 0;
                for (std::size_t i = 0; i < 3; ++i) sum += score[candidates[i].second];
                for (std::size_t i = 0; i < 3; ++i) {
                  CHECK(found[r * 3 + i] == double(candidates[i].second));
                  CHECK(std::abs(weights[r * 3 + i] - 1.5 * score[candidates[i].second] / (renormalised ? sum + 0.01 : 1)) < tolerance(t));
                }
              }
              if (t != dtype::f64) continue;
              const on_device g(*b, t, {rows, k}, noise(rows * k, 4)), d(*b, t, {rows, n});
              a.dweights = g.v, a.dlogits = d.v;
              b->route_backward(a);
              const numbers once = d.values();
              CHECK(gradient_off(logits, once, [&] { return b->route(a), dot(w.values(), g.values()); }) < 1e-6);
              b->route(a);
              b->route_backward(a);
              CHECK(off(d.values(), 2 * once) < 1e-13);
            }
}

TEST_CASE("a router of numbers that are none still names experts there are", "[conformance]") {
  for (sp::backend* b : devices()) {
    const on_device logits(*b, dtype::f32, {2, 4}, {std::nan(""), std::nan(""), std::nan(""), std::nan(""), 0, std::nan(""), 1, -1}), w(*b, dtype::f32, {2, 2}), ids(*b, dtype::i64, {2, 2});
    sp::route_args a;
    a.weights = w.v, a.ids = ids.v, a.logits = logits.v, a.how = {.chosen = 2, .by_logit = true};
    b->route(a);
    for (const double i : ids.values()) CHECK((i >= 0 && i < 4));
    CHECK(ids.values()[0] != ids.values()[1]);
  }
}

TEST_CASE("row_argmax finds the first of the largest", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const long n : {1l, 15l, 64l, 100l}) {
        numbers x = noise(3 * n, 4);
        x[std::size_t(n + n / 2)] = 2;
        x[std::size_t(2 * n - 1)] = 2;
        const on_device values(*b, t, {3, n}, x), index(*b, dtype::i64, {3}), best(*b, t, {3});
        b->row_argmax(index.v, best.v, values.v, 1000);
        const numbers stored = values.values();
        numbers at, most;
        for (long r = 0; r < 3; ++r) {
          const auto row = stored.begin() + r * n, found = std::max_element(row, row + n);
          at.push_back(double(1000 + (found - row)));
          most.push_back(*found);
        }
        CHECK(index.values() == at);
        CHECK(best.values() == most);
      }
  for (sp::backend* b : devices()) {
    const on_device none(*b, dtype::f32, {2, 0}), index(*b, dtype::i64, {2}), best(*b, dtype::f32, {2});
    b->row_argmax(index.v, best.v, none.v, 7);
    CHECK(best.values() == numbers(2, -std::numeric_limits<double>::infinity()));
  }
}

TEST_CASE("sum_of_squares is summed in double", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const long n : {0l, 1l, 31l, 100000l}) {
        const on_device x(*b, t, {n}, 1e20 * noise(n, 3));                   // squares beyond the range of f32
        const numbers v = x.values();
        const on_device sum(*b, dtype::f64, {1}, {0});
        for (const double by : {1.0, 0.5}) b->sum_of_squares(sum.v, x.v, by);
        CHECK(std::fabs(sum.values()[0] - 1.5 * dot(v, v)) <= 1e-12 * dot(v, v));
      }
}

TEST_CASE("a gradient's norm is clipped as torch clips it", "[conformance]") {
  for (sp::backend* b : devices()) {
    const on_device squares(*b, dtype::f64, {2}, {9, 16}), norm(*b, dtype::f64, {1}), factor(*b, dtype::f64, {1});
    for (const auto& [limit, want] : {std::pair{0.0, 1.0}, {5.0, 1.0}, {6.0, 1.0}, {2.5, 2.5 / (5 + 1e-6)}}) {
      b->clip_factor(norm.v, factor.v, squares.v, limit);
      CHECK(norm.values() == numbers{5});
      CHECK(off(factor.values(), {want}) < 1e-15);
    }
  }
}

TEST_CASE("the loss of no labels is zero, and so are its gradients", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types) {
      const on_device total(*b, dtype::f64, {2}), sum(*b, t, {2}, {1, 2}), hit(*b, t, {2}, {0, 0}), labels(*b, dtype::i64, {2}, {-100, -1});
      const on_device loss(*b, t, {}), factor(*b, dtype::f64, {1});
      b->loss_sum(total.v, sum.v, hit.v, labels.v);
      b->loss_mean(loss.v, factor.v, total.v, 1, 0);
      CHECK(total.values() == numbers{0, 0});
      CHECK(loss.values() == numbers{0});
      CHECK(factor.values() == numbers{0});
    }
}

TEST_CASE("adamw is torch.optim.AdamW, step by step, and refreshes the stored copy", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const dtype kept : {dtype::bf16, dtype::f16})
        for (const long n : {0l, 3l, 50l}) {
          CAPTURE(sp::name_of(t), sp::name_of(kept), n);
          const double rate = 1e-2, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, decay = 0.1, clip = 0.5;
          const on_device by(*b, dtype::f64, {1}, {clip}), schedule(*b, dtype::f64, {3});
          const on_device w(*b, t, {n}, noise(n, 1)), g(*b, t, {n}), m(*b, t, {n}), v(*b, t, {n}), stored(*b, kept, {n});
          numbers weight = w.values(), first(weight.size()), second(weight.size());
          for (int step = 1; step <= 4; ++step) {
            g.set(noise(n, 10 + unsigned(step)));
            const numbers gradient = g.values();
            const double c1 = 1 - std::pow(beta1, step), c2 = 1 - std::pow(beta2, step);
            for (std::size_t i = 0; i < weight.size(); ++i) {
              const double d = clip * gradient[i];
              weight[i] *= 1 - rate * decay;
              first[i] = beta1 * first[i] + (1 - beta1) * d;
              second[i] = beta2 * second[i] + (1 - beta2) * d * d;
              weight[i] -= rate * (first[i] / c1) / (std::sqrt(second[i] / c2) + eps);
            }
            sp::adamw_args a;
            a.weight = w.v, a.gradient = g.v, a.first = m.v, a.second = v.v;
            schedule.set({rate, c1, c2});
            a.schedule = schedule.v, a.beta1 = beta1, a.beta2 = beta2, a.eps = eps, a.decay = decay, a.gradient_scale = by.v;
            if (step == 4) a.stored = stored.v;
            b->adamw(a);
          }
          CHECK(off(w.values(), weight) < (t == dtype::f64 ? 1e-14 : 5e-7));
          CHECK(off(m.values(), first) < (t == dtype::f64 ? 1e-14 : 5e-7));
          CHECK(off(v.values(), second) < (t == dtype::f64 ? 1e-14 : 5e-7));
          numbers rounded = w.values();
          sp::visit(kept, [&](auto zero) {
            for (double& x : rounded) x = static_cast<double>(stored_as<decltype(zero)>(x));
          });
          CHECK(stored.values() == rounded);
        }
}

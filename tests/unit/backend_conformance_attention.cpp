// runtime/backend.hpp, for every backend linked into the program: attention, forward and backward, against a naive reference.
#include <cstdint>
#include <string>
#include "conformance.hpp"
using namespace conformance;
using sp::dtype;

namespace {
struct setting {
  std::string name;
  long batch = 2, seq = 5, keys = 5, heads = 4, kv_heads = 2, dim = 8, value_dim = 8;
  long kv_first = 0, group = 2, window = 0, chunk = 0, position = 0;
  bool causal = true, sinks = false, segments = false;
  double softcap = 0, scale = 0;
};
const setting settings[] = {
    {.name = "plain"},
    {.name = "one query", .seq = 1, .keys = 9},
    {.name = "one query, one head", .batch = 1, .seq = 1, .keys = 70, .heads = 1, .kv_heads = 1, .dim = 64, .value_dim = 64, .group = 1},
    {.name = "after a cache", .seq = 3, .keys = 8},
    {.name = "odd sizes", .batch = 1, .seq = 7, .keys = 19, .heads = 3, .kv_heads = 3, .dim = 13, .value_dim = 5, .group = 1},
    {.name = "not causal", .seq = 4, .keys = 6, .causal = false},
    {.name = "window", .seq = 9, .keys = 12, .window = 4},
    {.name = "window of one", .window = 1},
    {.name = "window both ways", .seq = 9, .keys = 9, .window = 3, .causal = false},
    {.name = "chunk", .seq = 9, .keys = 12, .chunk = 4},
    {.name = "chunk after dropped keys", .seq = 9, .keys = 12, .chunk = 4, .position = 3},
    {.name = "cap", .softcap = 2, .scale = 3},
    {.name = "sinks", .sinks = true},
    {.name = "packed sequences and padding", .seq = 6, .keys = 8, .segments = true},
    {.name = "all at once", .seq = 6, .keys = 8, .window = 5, .chunk = 6, .sinks = true, .segments = true, .softcap = 3, .scale = 2},
    {.name = "heads that start inside a group", .heads = 4, .kv_heads = 2, .kv_first = 1, .group = 3},
    {.name = "one KV head", .heads = 6, .kv_heads = 1, .kv_first = 6, .group = 12},
    {.name = "more queries than keys", .seq = 6, .keys = 4},
    {.name = "more queries than keys, in a window", .seq = 12, .keys = 8, .window = 2},
    {.name = "many keys", .batch = 1, .seq = 1, .keys = 900, .heads = 4, .kv_heads = 2, .sinks = true},
    {.name = "no key", .seq = 2, .keys = 0},
    {.name = "no query", .seq = 0, .keys = 3},
    {.name = "no head", .heads = 0, .kv_heads = 1},
    {.name = "several blocks", .batch = 1, .seq = 150, .keys = 170, .heads = 2, .kv_heads = 1, .dim = 16, .value_dim = 24, .window = 60, .sinks = true},
};

numbers segment_ids(const setting& c) {
  numbers ids;
  for (long b = 0; b < c.batch; ++b)
    for (long j = 0; j < c.keys; ++j) ids.push_back(j < b + 1 ? -1 : double(j / 3));      // a padded start, then runs of one sequence
  return ids;
}

/// Straight from the definition, in double.
struct reference { numbers y, log_sum; };
reference attend(const setting& c, const numbers& q, const numbers& k, const numbers& v, const numbers& sinks, const numbers& segments) {
  reference r;
  r.y.assign(std::size_t(c.batch * c.seq * c.heads * c.value_dim), 0.0);
  r.log_sum.assign(std::size_t(c.batch * c.heads * c.seq), -std::numeric_limits<double>::infinity());
  const double scale = c.scale != 0 ? c.scale : 1 / std::sqrt(double(c.dim));
  for (long b = 0; b < c.batch; ++b)
    for (long h = 0; h < c.heads; ++h)
      for (long i = 0; i < c.seq; ++i) {
        const long g = (c.kv_first + h) / c.group - c.kv_first / c.group, at = c.keys - c.seq + i;
        numbers e(std::size_t(c.keys), 0.0);
        double sum = c.sinks ? std::exp(sinks[std::size_t(h)]) : 0;
        for (long j = 0; j < c.keys; ++j) {
          if (c.causal && j > at) continue;
          if (c.window && (j <= at - c.window || j >= at + c.window)) continue;
          if (c.chunk && (c.position + j) / c.chunk != (c.position + at) / c.chunk) continue;
          if (c.segments) {
            const double mine = at < 0 ? -1 : segments[std::size_t(b * c.keys + at)], theirs = segments[std::size_t(b * c.keys + j)];
            if (mine != theirs || theirs < 0) continue;
          }
          double s = 0;
          for (long d = 0; d < c.dim; ++d) s += q[std::size_t(((b * c.seq + i) * c.heads + h) * c.dim + d)] * k[std::size_t(((b * c.keys + j) * c.kv_heads + g) * c.dim + d)];
          s *= scale;
          if (c.softcap != 0) s = c.softcap * std::tanh(s / c.softcap);
          e[std::size_t(j)] = std::exp(s);
          sum += std::exp(s);
        }
        if (sum == 0) continue;
        r.log_sum[std::size_t((b * c.heads + h) * c.seq + i)] = std::log(sum);
        for (long j = 0; j < c.keys; ++j)
          for (long d = 0; d < c.value_dim; ++d)
            r.y[std::size_t(((b * c.seq + i) * c.heads + h) * c.value_dim + d)] += e[std::size_t(j)] / sum * v[std::size_t(((b * c.keys + j) * c.kv_heads + g) * c.value_dim + d)];
      }
  return r;
}

/// The tensors of a setting in one type.
struct tensors {
  on_device q, k, v, y, log_sum, sinks, segments, dy, dq, dk, dv, dsinks;
  tensors(sp::backend& b, dtype t, const setting& c)
      : q(b, t, {c.batch, c.seq, c.heads, c.dim}, noise(c.batch * c.seq * c.heads * c.dim, 1)),
        k(b, t, {c.batch, c.keys, c.kv_heads, c.dim}, noise(c.batch * c.keys * c.kv_heads * c.dim, 2)),
        v(b, t, {c.batch, c.keys, c.kv_heads, c.value_dim}, noise(c.batch * c.keys * c.kv_heads * c.value_dim, 3)),
        y(b, t, {c.batch, c.seq, c.heads, c.value_dim}), log_sum(b, t, {c.batch, c.heads, c.seq}), sinks(b, t, {c.heads}, noise(c.heads, 4)),
        segments(b, dtype::i32, {c.batch, c.keys}, segment_ids(c)),
        dy(b, t, {c.batch, c.seq, c.heads, c.value_dim}, noise(c.batch * c.seq * c.heads * c.value_dim, 5)), dq(b, t, q.v.s), dk(b, t, k.v.s), dv(b, t, v.v.s),
        dsinks(b, t, {c.heads}) {}
  sp::attention_args args(const setting& c) const {
    sp::attention_args a;
    a.y = y.v, a.q = q.v, a.k = k.v, a.v = v.v, a.log_sum = log_sum.v, a.dy = dy.v;
    a.dq = dq.v, a.dk = dk.v, a.dv = dv.v;
    if (c.sinks) a.sinks = sinks.v, a.dsinks = dsinks.v;
    if (c.segments) a.segments = segments.v;
    a.scale = c.scale, a.softcap = c.softcap, a.window = c.window, a.chunk = c.chunk, a.causal = c.causal;
    a.kv_first = c.kv_first, a.group = c.group, a.position = c.position;
    return a;
  }
};
}  // namespace

TEST_CASE("attention follows its definition; rows that see nothing are zero", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const setting& c : settings) {
        CAPTURE(c.name, sp::name_of(t));
        const tensors x(*b, t, c);
        b->fill(x.y.v, 77);
        const reference r = attend(c, x.q.values(), x.k.values(), x.v.values(), x.sinks.values(), x.segments.values());
        sp::attention_args a = x.args(c);
        b->attention(a);
        CHECK(off(x.y.values(), r.y) < tolerance(t));
        CHECK(off(x.log_sum.values(), r.log_sum) < tolerance(t));
        b->fill(x.y.v, 77);
        a.log_sum = {};
        b->attention(a);
        CHECK(off(x.y.values(), r.y) < tolerance(t));
      }
}

TEST_CASE("of keys with room behind them attention sees those that are there", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const setting& c : settings) {
        if (c.keys < 1) continue;
        CAPTURE(c.name, sp::name_of(t));
        const tensors x(*b, t, c);
        sp::attention_args a = x.args(c);
        b->attention(a);
        const numbers want = x.y.values(), sums = x.log_sum.values();
        const long room = c.keys + 37;
        const auto roomy = [&](const on_device& n, long width) {
          numbers all, given = n.values();
          for (long s = 0; s < c.batch; ++s)
            for (long i = 0; i < room * width; ++i) all.push_back(i < c.keys * width ? given[std::size_t(s * c.keys * width + i)] : std::nan(""));
          return all;
        };
        const on_device k(*b, t, {c.batch, room, c.kv_heads, c.dim}, roomy(x.k, c.kv_heads * c.dim)), v(*b, t, {c.batch, room, c.kv_heads, c.value_dim}, roomy(x.v, c.kv_heads * c.value_dim));
        numbers ids(std::size_t(c.batch * room), 0.0);
        for (long s = 0; s < c.batch; ++s)
          for (long i = 0; i < c.keys; ++i) ids[std::size_t(s * room + i)] = x.segments.values()[std::size_t(s * c.keys + i)];
        const on_device segments(*b, dtype::i32, {c.batch, room}, ids), length(*b, dtype::i64, {1}, {double(c.keys)});
        a.k = k.v, a.v = v.v, a.length = length.v;
        if (c.segments) a.segments = segments.v;
        b->fill(x.y.v, 77);
        b->attention(a);
        CHECK(off(x.y.values(), want) < tolerance(t));
        CHECK(off(x.log_sum.values(), sums) < tolerance(t));
      }
}

TEST_CASE("attention keeps NaN: a row whose scores are none is none, the others are as before", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const setting& c : settings) {
        if (c.seq == 0 || c.keys == 0 || c.heads == 0 || c.batch == 0) continue;
        CAPTURE(c.name, sp::name_of(t));
        const tensors x(*b, t, c);
        const reference r = attend(c, x.q.values(), x.k.values(), x.v.values(), x.sinks.values(), x.segments.values());
        std::vector<double> q = x.q.values();
        q[0] = std::nan("");                                                  // the first sequence's first query of head 0
        const on_device broken(*b, t, x.q.v.s, q);
        sp::attention_args a = x.args(c);
        a.q = broken.v;
        b->attention(a);
        std::vector<double> y = x.y.values(), expected = r.y;
        const bool sees = r.log_sum[0] > -INFINITY;
        for (std::size_t d = 0; d < std::size_t(c.value_dim); ++d) {
          CHECK(std::isnan(y[d]) == sees);
          y[d] = expected[d] = 0;
        }
        CHECK(off(y, expected) < tolerance(t));
        if (!sees) continue;
        for (const auto* g : {&x.dq, &x.dk, &x.dv}) b->fill(g->v, 0);
        b->attention_backward(a);
        CHECK(std::isnan(x.dk.values()[std::size_t(0)] + x.dq.values()[0]));
      }
}

TEST_CASE("attention with large scores neither overflows nor loses the largest", "[conformance]") {
  for (sp::backend* b : devices()) {
    const setting c{.name = "large", .scale = 1000};
    const tensors x(*b, dtype::f32, c);
    const tensors y(*b, dtype::f64, c);
    b->attention(x.args(c));
    y.q.set(x.q.values()), y.k.set(x.k.values()), y.v.set(x.v.values());
    b->attention(y.args(c));
    CHECK(off(x.y.values(), y.y.values()) < 1e-3);
  }
}

TEST_CASE("attention of the last query alone is the last row of all", "[conformance]") {
  for (sp::backend* b : devices())
    for (const setting& whole : settings) {
      if (whole.seq < 2 || whole.keys < whole.seq) continue;
      CAPTURE(whole.name);
      setting last = whole;
      last.seq = 1;
      const tensors x(*b, dtype::f64, whole), y(*b, dtype::f64, last);
      const numbers q = x.q.values();
      const long row = whole.heads * whole.dim, out = whole.heads * whole.value_dim;
      numbers picked, expected;
      b->attention(x.args(whole));
      const numbers all = x.y.values();
      for (long i = 1; i <= whole.batch; ++i) {
        picked.insert(picked.end(), q.begin() + (i * whole.seq - 1) * row, q.begin() + i * whole.seq * row);
        expected.insert(expected.end(), all.begin() + (i * whole.seq - 1) * out, all.begin() + i * whole.seq * out);
      }
      y.q.set(picked), y.k.set(x.k.values()), y.v.set(x.v.values()), y.sinks.set(x.sinks.values());
      b->attention(y.args(last));
      CHECK(off(y.y.values(), expected) < 1e-13);
    }
}

TEST_CASE("gradients of attention agree with central differences and add up", "[conformance]") {
  for (sp::backend* b : devices())
    for (const setting& c : settings) {
      if (c.seq * c.keys > 500) continue;
      CAPTURE(c.name);
      const tensors x(*b, dtype::f64, c);
      const sp::attention_args a = x.args(c);
      b->attention(a);
      b->attention_backward(a);
      const numbers dq = x.dq.values(), dk = x.dk.values(), dv = x.dv.values(), ds = x.dsinks.values();
      const auto value = [&] { return b->attention(a), dot(x.y.values(), x.dy.values()); };
      CHECK(gradient_off(x.q, dq, value) < 1e-6);
      CHECK(gradient_off(x.k, dk, value) < 1e-6);
      CHECK(gradient_off(x.v, dv, value) < 1e-6);
      if (c.sinks) CHECK(gradient_off(x.sinks, ds, value) < 1e-6);

      b->attention(a);
      sp::attention_args some = a;                                             // again, in pieces, and without the saved sums
      some.dk = some.dv = some.dsinks = {};
      b->attention_backward(some);
      some = a;
      some.dq = some.log_sum = {};
      b->attention_backward(some);
      CHECK(off(x.dq.values(), 2 * dq) < 1e-13);
      CHECK(off(x.dk.values(), 2 * dk) < 1e-13);
      CHECK(off(x.dv.values(), 2 * dv) < 1e-13);
      if (c.sinks) CHECK(off(x.dsinks.values(), 2 * ds) < 1e-13);
    }
}

TEST_CASE("gradients of attention in f32 are those in f64, rounded", "[conformance]") {
  for (sp::backend* b : devices())
    for (const setting& c : settings) {
      CAPTURE(c.name);
      const tensors x(*b, dtype::f32, c), y(*b, dtype::f64, c);
      y.q.set(x.q.values()), y.k.set(x.k.values()), y.v.set(x.v.values()), y.dy.set(x.dy.values()), y.sinks.set(x.sinks.values());
      for (const tensors* t : {&x, &y}) {
        b->attention(t->args(c));
        b->attention_backward(t->args(c));
      }
      CHECK(off(x.dq.values(), y.dq.values()) < 1e-5);
      CHECK(off(x.dk.values(), y.dk.values()) < 1e-5);
      CHECK(off(x.dv.values(), y.dv.values()) < 1e-5);
      CHECK(off(x.dsinks.values(), y.dsinks.values()) < 1e-5);
    }
}

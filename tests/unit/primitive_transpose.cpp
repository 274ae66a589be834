// runtime/exchange.hpp on real ranks: every row of the table is the transpose of its adjoint, and keeps its value if it says so,
// for uneven, empty, packed and copied parts of the first, a middle and the last dimension.
//
// Values are small integers in f64, so that sums are exact in any order. Ranks write down what they see; the tests look at it
// afterwards, since Catch's assertions are not for several threads at once.
#include <catch2/catch.hpp>
#include <cstdint>
#include <shardproof/engine/threads.hpp>
#include <shardproof/runtime/exchange.hpp>
#include <shardproof/runtime/tape.hpp>
#include <string>
#include <vector>
namespace sp = shardproof;
namespace pr = shardproof::primitive;
using sp::cut, sp::kind, sp::ref, sp::shape;
using values = std::vector<double>;

namespace {

struct n_items : sp::dim<> {};
struct other_items : sp::dim<> {};
template <int I> struct fused_part : sp::dim<> {};
using three_parts = sp::fused<fused_part<0>, fused_part<1>, fused_part<2>>;
using two_parts = sp::fused<fused_part<0>, fused_part<1>>;
struct kv_heads : sp::dim<sp::dynamic, sp::groups> {};
struct q_heads : sp::dim<sp::dynamic, sp::grouped_by<kv_heads>> {};
using qkv = sp::fused<q_heads, kv_heads>;

/// A tensor [e, e, e] of which dimension `at` has `whole` entries, dealt as `c` says; all_to_all deals dimension `other.at` too.
struct setting {
  shape whole;
  cut c, other;
  std::string name;
};
std::vector<setting> settings(const sp::extent_table& table, const sp::dim_info* d, sp::placement p, long n,
                              const std::string& name) {
  std::vector<setting> out;
  for (int at = 0; at < 3; ++at) {
    shape s{at == 0 ? 3 : 2, 3, 2};
    s.n[at] = n;
    const int b = at == 0 ? 1 : 0;
    setting one;
    one.whole = s;
    one.c = {.d = d, .table = &table, .p = p, .whole = n, .at = at, .axis = 0};
    one.other = {
        .d = &sp::info<other_items>, .table = &table, .p = sp::shard<other_items>::value, .whole = s[b], .at = b, .axis = 0};
    one.name = name + " of dimension " + std::to_string(at);
    out.push_back(one);
  }
  return out;
}
void append(std::vector<setting>& to, const std::vector<setting>& more) { to.insert(to.end(), more.begin(), more.end()); }

/// Uneven and empty shards, and packed dimensions of three equal and two unequal parts.
struct dealt {
  sp::extent_table parts_844, parts_55, parts_33;
  std::vector<setting> all;
  dealt() {
    parts_844.set<fused_part<0>>(8).set<fused_part<1>>(4).set<fused_part<2>>(4);
    parts_55.set<fused_part<0>>(5).set<fused_part<1>>(5);
    parts_33.set<fused_part<0>>(3).set<fused_part<1>>(3);
    for (long n : {10, 8, 5, 3, 1, 0})
      append(all, settings(parts_844, &sp::info<n_items>, sp::shard<n_items>::value, n, "shard of " + std::to_string(n)));
    append(all, settings(parts_844, &sp::info<three_parts>, sp::packed<three_parts>::value, 16, "packed 8+4+4"));
    append(all, settings(parts_55, &sp::info<two_parts>, sp::packed<two_parts>::value, 10, "packed 5+5"));
    append(all, settings(parts_33, &sp::info<two_parts>, sp::packed<two_parts>::value, 6, "packed 3+3"));
  }
};

/// The cuts before and after row `id`; null where nothing is cut.
const cut* source(int id, const setting& s) { return pr::table[id].src == kind::shard ? &s.c : nullptr; }
const cut* destination(int id, const setting& s) {
  return pr::table[id].dst != kind::shard ? nullptr : pr::table[id].src == kind::shard ? &s.other : &s.c;
}
shape local(const shape& whole, const cut* c) {
  return c ? whole.with(c->at, sp::local_extent(*c, sp::rank_on(c->axis))) : whole;
}

std::uint64_t scramble(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return x ^ x >> 31;
}
/// Integers from -4 to 4; the same on every rank where the placement says so.
values some(kind k, long n, std::uint64_t seed) {
  const std::uint64_t rank = k == kind::invariant || k == kind::replicate ? 0 : 1 + std::uint64_t(sp::rank_on());
  values v(std::size_t(n), 0);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = double(scramble(seed * 1000003 + rank * 7919 + i) % 9) - 4;
  return v;
}
ref input(const shape& s, const values& v, bool tracked = true) {
  ref x = sp::leaf(sp::dtype::f64, s);
  x->tracked = tracked;
  sp::device().from_host(x->v(), v.data());
  return x;
}
values read(const sp::view& v) {
  values out(std::size_t(v.count()));
  sp::device().to_host(out.data(), v);
  return out;
}
/// The gradient of x when y's gradient is c.
values pulled(const ref& x, const ref& y, const values& c) {
  sp::device().from_host(y->g(), c.data());
  sp::pull_all(y);
  return read(x->g());
}

/// What one rank saw of one row in one setting.
struct seen {
  values x, y, c, dx, adjoint;
  shape from, to;
  bool same_node = false;
};
using by_rank = std::vector<seen>;

bool equal_on_all(const by_rank& r, values seen::*what) {
  for (const seen& s : r) if (s.*what != r[0].*what) return false;
  return true;
}
double pairing(kind k, const by_rank& r, values seen::*c, values seen::*x) {
  double s = 0;
  for (std::size_t i = 0; i < (k == kind::invariant ? 1 : r.size()); ++i)
    for (std::size_t j = 0; j < (r[i].*x).size(); ++j) s += (r[i].*c)[j] * (r[i].*x)[j];
  return s;
}
/// What the ranks' buffers mean together: element by element of the whole tensor. Of copies the first one counts.
values meaning(kind k, const by_rank& r, values seen::*what, const shape& whole, const cut* c) {
  if (k == kind::invariant || k == kind::replicate) return r[0].*what;
  values out(std::size_t(whole.count()), 0);
  if (k == kind::partial) {
    for (const seen& s : r) for (std::size_t j = 0; j < out.size(); ++j) out[j] += (s.*what)[j];
    return out;
  }
  std::vector<bool> filled(out.size());
  const int w = int(r.size());
  const long rows = whole.lead(whole.rank - c->at), tail = whole.tail(whole.rank - c->at - 1);
  for (int rank = 0; rank < w; ++rank) {
    const sp::ranges mine = sp::local_ranges(c->d, c->whole, c->p, rank, w, c->table);
    std::size_t at = 0;
    for (long o = 0; o < rows; ++o)
      for (int i = 0; i < mine.count; ++i)
        for (long e = mine.at[std::size_t(i)].begin; e < mine.at[std::size_t(i)].end; ++e)
          for (long t = 0; t < tail; ++t, ++at) {
            const std::size_t to = std::size_t((o * c->whole + e) * tail + t);
            if (!filled[to]) out[to] = (r[std::size_t(rank)].*what)[at];
            filled[to] = true;
          }
  }
  return out;
}
bool close(const values& a, const values& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) if (std::fabs(a[i] - b[i]) > 1e-12 * (1 + std::fabs(a[i]))) return false;
  return true;
}

/// All rows in all settings, on w ranks. result[setting * row_count + row][rank].
std::vector<by_rank> tried(int w, const std::vector<setting>& all) {
  std::vector<by_rank> result(all.size() * pr::row_count, by_rank(std::size_t(w)));
  sp::run(w, [&](int rank) {
    for (std::size_t i = 0; i < all.size(); ++i)
      for (int id = 0; id < pr::row_count; ++id) {
        const auto& row = pr::table[id];
        const cut *from = source(id, all[i]), *to = destination(id, all[i]);
        seen& s = result[i * pr::row_count + std::size_t(id)][std::size_t(rank)];
        s.from = local(all[i].whole, from);
        s.to = local(all[i].whole, to);
        s.x = some(row.src, s.from.count(), i * 64 + std::size_t(id));
        s.c = some(dual(row.dst).k, s.to.count(), 1000 + i * 64 + std::size_t(id));
        const ref x = input(s.from, s.x);
        const ref y = sp::exchange(x, id, 0, from, to);
        s.same_node = x.get() == y.get();
        const shape got = y->s;
        s.y = read(y->v());
        if (!s.same_node) s.dx = pulled(x, y, s.c);
        const ref c = input(s.to, s.c, false);
        s.adjoint = read(sp::exchange(c, row.adjoint, 0, to, from)->v());
        if (read(x->v()) != s.x) s.same_node = true;                       // reported below: the operand was changed
        if (!(got == s.to)) s.y.clear();                                   // so is a wrong shape
      }
  });
  return result;
}

}  // namespace

TEST_CASE("every row is the transpose of its adjoint on real ranks, and keeps the values it says it keeps") {
  const dealt d;
  for (int w : {2, 3, 4, 5, 8}) {
    const auto result = tried(w, d.all);
    long checked = 0;
    for (std::size_t i = 0; i < d.all.size(); ++i)
      for (int id = 0; id < pr::row_count; ++id) {
        const auto& row = pr::table[id];
        const by_rank& r = result[i * pr::row_count + std::size_t(id)];
        INFO(row.name << ", " << w << " ranks, " << d.all[i].name);
        bool good = true;
        for (const seen& s : r)
          good = good && !s.same_node && s.y.size() == std::size_t(s.to.count()) && s.dx.size() == std::size_t(s.from.count());
        if (!good) FAIL("a wrong shape, or an operand that was changed or returned");
        const double left = pairing(row.dst, r, &seen::c, &seen::y), right = pairing(row.src, r, &seen::dx, &seen::x);
        if (std::fabs(left - right) > 1e-12 * (1 + std::fabs(left))) FAIL("<c, Op x> = " << left << ", <Op* c, x> = " << right);
        if (sp::placement(row.dst).whole() && !equal_on_all(r, &seen::y)) FAIL("the result differs between ranks");
        if (dual(row.src).whole() && !equal_on_all(r, &seen::dx)) FAIL("the gradient differs between ranks");
        for (const seen& s : r) if (s.dx != s.adjoint) FAIL("the gradient is not what the adjoint row yields");
        if (row.keeps_value && !close(meaning(row.src, r, &seen::x, d.all[i].whole, source(id, d.all[i])),
                                      meaning(row.dst, r, &seen::y, d.all[i].whole, destination(id, d.all[i]))))
          FAIL("the value is not kept");
        ++checked;
      }
    CHECK(checked == long(d.all.size()) * pr::row_count);
  }
}

TEST_CASE("on an axis of one rank every row returns its operand, also between two axes of many") {
  const dealt d;
  int wrong = 0;
  const auto try_all = [&] {
    for (const setting& s : d.all)
      for (int id = 0; id < pr::row_count; ++id) {
        cut c = s.c, other = s.other;
        c.axis = other.axis = 1;
        const ref x = input(s.whole, some(kind::varying, s.whole.count(), 1));
        wrong += sp::exchange(x, id, 1, source(id, s) ? &c : nullptr, destination(id, s) ? &other : nullptr).get() != x.get();
      }
  };
  sp::run(1, try_all);
  CHECK(wrong == 0);
  std::vector<long> calls(2);
  sp::run(2, [&](int r) {
    if (r == 0) try_all();
    const auto& n = sp::self.on[0]->counters();
    for (long k : n.calls) calls[std::size_t(r)] += k;
  });
  CHECK(wrong == 0);
  CHECK(calls == std::vector<long>{0, 0});
}

TEST_CASE("parts that lie in copies are gathered once, served to all holders, and their gradients are summed") {
  // 2 groups on 4 ranks: ranks 0 and 1 hold group 0, ranks 2 and 3 group 1; 8 query heads are cut again inside their groups.
  sp::extent_table table;
  table.set<kv_heads>(2).set<q_heads>(8);
  std::vector<setting> all = settings(table, &sp::info<kv_heads>, sp::shard<kv_heads>::value, 2, "2 groups");
  append(all, settings(table, &sp::info<qkv>, sp::packed<qkv>::value, 10, "packed 8+2"));
  const auto result = tried(4, all);
  for (std::size_t i = 0; i < all.size(); ++i)
    for (int id = 0; id < pr::row_count; ++id) {
      const auto& row = pr::table[id];
      const by_rank& r = result[i * pr::row_count + std::size_t(id)];
      INFO(row.name << ", " << all[i].name);
      for (const seen& s : r)
        if (s.same_node || s.y.size() != std::size_t(s.to.count()) || s.dx.size() != std::size_t(s.from.count()))
          FAIL("wrong shape");
      const double left = pairing(row.dst, r, &seen::c, &seen::y), right = pairing(row.src, r, &seen::dx, &seen::x);
      CHECK(std::fabs(left - right) <= 1e-12 * (1 + std::fabs(left)));
      if (row.keeps_value)
        CHECK(close(meaning(row.src, r, &seen::x, all[i].whole, source(id, all[i])),
                    meaning(row.dst, r, &seen::y, all[i].whole, destination(id, all[i]))));
      if (i < 3 && row.dst == kind::shard && row.src != kind::shard) {         // every holder is served
        CHECK(r[0].y == r[1].y);
        CHECK(r[2].y == r[3].y);
      }
      if (i < 3 && row.src == kind::shard && row.how == pr::form::all_gather) {   // the gradient goes to the first holder
        CHECK(r[1].dx == values(r[1].dx.size()));
        CHECK(r[3].dx == values(r[3].dx.size()));
        CHECK(r[0].dx != values(r[0].dx.size()));
      }
    }
}

TEST_CASE("a primitive acts on the ranks of its own axis, and an inner axis deals what the outer one left") {
  // tp 2 x dp 2: 7 items, first over dp (4 and 3), then over tp (2 and 2; 2 and 1).
  const sp::sizes_of<sp::dims<n_items, other_items>> sizes{7, 3};
  sp::layout_value both;
  both.on[0] = both.on[1] = sp::shard<n_items>::value;
  std::vector<values> tp_whole(4), dx(4);
  std::vector<long> parts(4), wholes(4);
  sp::run(sp::mesh{.tp = 2, .dp = 2}, [&](int r) {
    const cut c = sp::cut_of(sizes, both, 0);
    const std::size_t me = std::size_t(r);
    parts[me] = sp::local_extent(c, sp::rank_on());
    wholes[me] = c.whole;
    values v(std::size_t(parts[me] * 3), r);
    const ref x = input({parts[me], 3}, v);
    const ref y = sp::exchange(x, pr::all_gather_s_r, 0, &c);
    tp_whole[me] = read(y->v());
    dx[me] = pulled(x, y, values(tp_whole[me].size(), 1 + r));
  });
  CHECK(wholes == std::vector<long>{4, 4, 3, 3});
  CHECK(parts == std::vector<long>{2, 2, 2, 1});
  CHECK(tp_whole[0] == values{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1});
  CHECK(tp_whole[1] == tp_whole[0]);
  CHECK(tp_whole[3] == values{2, 2, 2, 2, 2, 2, 3, 3, 3});
  CHECK(dx[0] == values(6, 1 + 2));
  CHECK(dx[3] == values(3, 3 + 4));
  CHECK(sp::cut_of(sizes, sp::layout_value(sp::invariant::value), 0).at == -1);
}

TEST_CASE("q, k and v share one conversion: one all-reduce backward, one all-gather forward") {
  for (int w : {2, 3}) {
    struct counted { long reduced = 0, gathered = 0, scattered = 0; bool same = false; values dx; };
    std::vector<counted> f(static_cast<std::size_t>(w)), g(static_cast<std::size_t>(w)), bare(static_cast<std::size_t>(w));
    sp::run(w, [&](int r) {
      const auto& n = sp::self.on[0]->counters();
      const auto count = [&](counted& c) {
        c.reduced = n.calls[int(sp::collective::all_reduce)] - c.reduced;
        c.gathered = n.calls[int(sp::collective::all_gather)] - c.gathered;
        c.scattered = n.calls[int(sp::collective::reduce_scatter)] - c.scattered;
      };
      const cut c{.d = &sp::info<n_items>, .table = nullptr, .p = sp::shard<n_items>::value, .whole = 2 * w, .at = 0, .axis = 0};
      const auto three_consumers = [&](counted& k, int id, const cut* from, const shape& s) {
        count(k);
        const ref x = input(s, values(std::size_t(s.count()), 1 + r));
        const ref a = sp::exchange(x, id, 0, from), b = sp::exchange(x, id, 0, from);
        k.same = a.get() == b.get() && sp::has_shared(x, sp::shared_target(id, 0, nullptr));
        sp::seed(a, 1);
        sp::seed(b, 2);
        k.dx = pulled(x, a, values(std::size_t(a->s.count()), 3));
        count(k);
      };
      three_consumers(f[std::size_t(r)], pr::convert_i_r, nullptr, {2, 2});
      three_consumers(g[std::size_t(r)], pr::all_gather_s_r, &c, {2, 2});
      sp::no_grad off;
      counted& k = bare[std::size_t(r)];
      count(k);
      const ref x = input({2, 2}, values(4, r), false);
      k.same = sp::exchange(x, pr::all_gather_s_r, 0, &c).get() == sp::exchange(x, pr::all_gather_s_r, 0, &c).get();
      count(k);
    });
    for (int r = 0; r < w; ++r) {
      const std::size_t i = std::size_t(r);
      CHECK((f[i].same && f[i].reduced == 1 && f[i].gathered == 0 && f[i].scattered == 0 && f[i].dx == values(4, 3 * w)));
      CHECK((g[i].same && g[i].reduced == 0 && g[i].gathered == 1 && g[i].scattered == 1 && g[i].dx == values(4, 3 * w)));
      CHECK((bare[i].same && bare[i].gathered == 1));
    }
  }
}

TEST_CASE("a view made without a tape is not kept where it could outlive a change or lose a gradient") {
  std::vector<int> wrong(2);
  sp::run(2, [&](int r) {
    int& w = wrong[std::size_t(r)];
    const cut c{.d = &sp::info<n_items>, .table = nullptr, .p = sp::shard<n_items>::value, .whole = 2, .at = 0, .axis = 0};
    const ref tracked = input({1, 2}, {1, 2});
    const ref frozen = input({1, 2}, {1, 2}, false);
    frozen->accumulates = true;
    for (const ref& x : {tracked, frozen}) {
      {
        const sp::no_grad off;
        w += sp::exchange(x, pr::all_gather_s_r, 0, &c)->tracked;
      }
      sp::device().from_host(x->v(), values{3, 4}.data());
      const ref y = sp::exchange(x, pr::all_gather_s_r, 0, &c);
      w += y->tracked != x->tracked || read(y->v()) != values{3, 4, 3, 4};
    }
    const ref plain = input({2}, {1, 2}, false);
    w += sp::exchange(plain, pr::convert_i_r, 0).get() != plain.get();          // f: nothing to reduce, the operand itself
    const sp::no_grad off;
    const ref x = input({2}, {1, 2});
    w += sp::exchange(x, pr::convert_i_r, 0).get() != x.get() || sp::has_shared(x, sp::shared_target(pr::convert_i_r, 0));
  });
  CHECK(wrong == std::vector<int>{0, 0});
}

TEST_CASE("splits of one value along two dimensions, and as shard and packed, are different conversions") {
  const sp::dim_info *a = &sp::info<two_parts>, *b = &sp::info<n_items>;
  const cut as_shard{.d = a, .p = {kind::shard, a}, .at = 0}, as_packed{.d = a, .p = {kind::packed, a}, .at = 0},
      along_b{.d = b, .p = {kind::shard, b}, .at = 1};
  const void* const targets[] = {sp::shared_target(pr::convert_i_s, 0, &as_shard),
                                 sp::shared_target(pr::convert_i_s, 0, &as_packed),
                                 sp::shared_target(pr::convert_i_s, 0, &along_b),
                                 sp::shared_target(pr::convert_i_s, 1, &as_shard),
                                 sp::shared_target(pr::convert_i_s, 2, &as_packed),
                                 sp::shared_target(pr::convert_i_r, 0),
                                 sp::shared_target(pr::convert_i_r, 1),
                                 sp::shared_target(pr::all_gather_s_i, 0),
                                 sp::shared_target(pr::all_gather_s_r, 0)};
  int equal = 0;
  for (const void* p : targets) for (const void* q : targets) equal += p == q;
  CHECK(equal == int(std::size(targets)));
  CHECK(sp::shared_target(pr::all_reduce_p_i, 0) == nullptr);
}

TEST_CASE("a gradient buffer that somebody else holds is not reduced in place, and gradients accumulate") {
  std::vector<values> dx(2), held(2), parameter(2);
  sp::run(2, [&](int r) {
    const std::size_t i = std::size_t(r);
    const ref x = input({2}, {1, 2});
    const ref y = sp::exchange(x, pr::convert_i_r, 0);
    sp::device().from_host(y->g(), values{1, 10.0 * r}.data());
    const sp::buffer other = y->gradient;
    const sp::view seen{other.get(), sp::dtype::f64, y->s};
    sp::pull_all(y);
    dx[i] = read(x->g());
    held[i] = read(seen);
    const ref w = input({2}, {1, 2});
    w->accumulates = true;
    for (int micro = 0; micro < 2; ++micro) pulled(w, sp::exchange(w, pr::convert_i_r, 0), {1, 1 + double(r)});
    parameter[i] = read(w->g());
  });
  for (std::size_t r = 0; r < 2; ++r) {
    CHECK(dx[r] == values{2, 10});
    CHECK(held[r] == values{1, 10 * double(r)});
    CHECK(parameter[r] == values{4, 6});
  }
}

TEST_CASE("a node without a gradient still takes part in the backward collective") {
  std::vector<values> dx(2);
  sp::run(2, [&](int r) {
    const ref x = input({2}, {1, 2});
    const ref y = sp::exchange(x, pr::convert_i_r, 0);
    if (r == 0) sp::seed(y, 5);
    sp::pull_all(y);
    dx[std::size_t(r)] = read(x->g());
  });
  CHECK(dx == std::vector<values>(2, {5, 5}));
}

TEST_CASE("a dry run has shapes, no buffers and no communication") {
  std::vector<long> calls(3), buffers(3), wrong(3);
  const dealt d;
  sp::run(3, [&](int r) {
    const std::size_t me = std::size_t(r);
    const sp::dry dry;
    for (const setting& s : d.all)
      for (int id = 0; id < pr::row_count; ++id) {
        const ref x = sp::leaf(sp::dtype::f64, local(s.whole, source(id, s)));
        x->tracked = true;
        const ref y = sp::exchange(x, id, 0, source(id, s), destination(id, s));
        buffers[me] += bool(y->data);
        wrong[me] += !(y->s == local(s.whole, destination(id, s))) || !y->tracked;
      }
    for (long n : sp::self.on[0]->counters().calls) calls[me] += n;
  });
  CHECK(calls == std::vector<long>(3));
  CHECK(buffers == std::vector<long>(3));
  CHECK(wrong == std::vector<long>(3));
}

TEST_CASE("16-bit and integer values are gathered and split as they are; a 16-bit value's gradient is f32") {
  std::vector<int> wrong(3);
  sp::run(3, [&](int r) {
    int& w = wrong[std::size_t(r)];
    const cut c{.d = &sp::info<n_items>, .table = nullptr, .p = sp::shard<n_items>::value, .whole = 4, .at = 1, .axis = 0};
    const long n = sp::local_extent(c, r);                                   // 2, 2, 0
    const ref x = sp::leaf(sp::dtype::bf16, {2, n});
    x->tracked = true;
    std::vector<sp::bf16> v;
    for (long i = 0; i < 2 * n; ++i) v.emplace_back(float(10 * r + i));
    sp::device().from_host(x->v(), v.data());
    const ref y = sp::exchange(x, pr::all_gather_s_i, 0, &c);
    std::vector<sp::bf16> got(8);
    sp::device().to_host(got.data(), y->v());
    const float expected[] = {0, 1, 10, 11, 2, 3, 12, 13};
    for (std::size_t i = 0; i < 8; ++i) w += float(got[i]) != expected[i];
    sp::seed(y, 1);
    sp::pull_all(y);
    w += x->gradient_view().type != sp::dtype::f32;
    std::vector<float> dx(std::size_t(2 * n));
    if (n) sp::device().to_host(dx.data(), x->g());
    for (float e : dx) w += e != 1;

    const ref ids = sp::leaf(sp::dtype::i64, {2, 4});
    const std::int64_t numbers[] = {1, 2, 3, 1ll << 40, 5, 6, 7, 8};
    sp::device().from_host(ids->v(), numbers);
    const ref mine = sp::exchange(ids, pr::convert_i_s, 0, nullptr, &c);
    std::vector<std::int64_t> part(std::size_t(2 * n));
    if (n) sp::device().to_host(part.data(), mine->v());
    const std::vector<std::int64_t> parts[] = {{1, 2, 5, 6}, {3, 1ll << 40, 7, 8}, {}};
    w += part != parts[r];
  });
  CHECK(wrong == std::vector<int>(3));
}

TEST_CASE("the steps of a composite, one after the other, are the transpose of its adjoint's steps") {
  // A reduce-scatter and an all-gather are an all-reduce; its gradient is an all-reduce too.
  std::vector<values> y(3), dx(3);
  sp::run(3, [&](int r) {
    const cut c{.d = &sp::info<n_items>, .table = nullptr, .p = sp::shard<n_items>::value, .whole = 4, .at = 0, .axis = 0};
    const ref x = input({4, 1}, {1, 2, 3, double(r)});
    const ref part = sp::exchange(x, pr::reduce_scatter_p_s, 0, nullptr, &c);
    const ref whole = sp::exchange(part, pr::all_gather_s_r, 0, &c);
    y[std::size_t(r)] = read(whole->v());
    dx[std::size_t(r)] = pulled(x, whole, {1, 0, 0, 1.0 + r});
  });
  CHECK(y == std::vector<values>(3, {3, 6, 9, 3}));
  CHECK(dx == std::vector<values>(3, {3, 0, 0, 6}));
}

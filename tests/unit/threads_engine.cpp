// The engine `threads`: every collective against a serial reference, bit for bit; groups, counters, and many runs.
#include <bit>
#include <cmath>
#include <limits>
#include "threads_support.hpp"
using namespace threads_test;

namespace {

/// Calls f(communicator, rank) on the `ranks` of a group; one rank is a group too (of a split), though a run of one has none.
template <class F> void on_group(int ranks, F f) {
  if (ranks > 1) return sp::run(ranks, [&](int r) { f(*sp::self.world, r); });
  sp::run(2, [&](int r) {
    communicator& alone = sp::self.world->split(r);
    if (r == 0) f(alone, 0);
  });
}

// ---- values: floats whose sum depends on the order, integers that overflow
template <class T> T value(int rank, long i) {
  const std::uint64_t h = scramble(std::uint64_t(rank) << 40 ^ std::uint64_t(i));
  if constexpr (std::is_integral_v<T>) return T(h);
  else {
    const double unit = double(h >> 11) * 0x1p-53 - 0.5;
    const int exponent = int(h & 7) - 4;
    return T(float(std::ldexp(unit, exponent)));
  }
}
template <class T> std::vector<T> values(int rank, long n) {
  std::vector<T> v(static_cast<std::size_t>(n));
  for (long i = 0; i < n; ++i) v[std::size_t(i)] = value<T>(rank, i);
  return v;
}
template <class T> bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// ---- the reference, written without looking at the engine
template <class T> struct widened { using type = T; };
template <> struct widened<sp::bf16> { using type = float; };
template <> struct widened<sp::f16> { using type = float; };
template <class T> std::vector<T> reduced(int ranks, long n, reduction how) {
  std::vector<T> all(static_cast<std::size_t>(n));
  for (long i = 0; i < n; ++i) {
    if constexpr (std::is_integral_v<T>) {
      T x = value<T>(0, i);
      for (int r = 1; r < ranks; ++r) {
        const T y = value<T>(r, i);
        x = how == reduction::sum   ? T(std::uint64_t(x) + std::uint64_t(y))
            : how == reduction::max ? std::max(x, y)
                                    : std::min(x, y);
      }
      all[std::size_t(i)] = x;
    } else {
      using W = typename widened<T>::type;
      W x = value<T>(0, i);
      for (int r = 1; r < ranks; ++r) {
        const W y = value<T>(r, i);
        x = how == reduction::sum ? x + y : how == reduction::max ? std::max(x, y) : std::min(x, y);
      }
      all[std::size_t(i)] = T(x);
    }
  }
  return all;
}
/// n elements over the ranks, unevenly, every third rank without any.
std::vector<long> dealt(long n, int ranks) {
  std::vector<long> counts(static_cast<std::size_t>(ranks));
  for (int r = 0; r < ranks && n > 0; ++r) {
    const long k = r + 1 == ranks ? n : r % 3 == 1 ? 0 : std::min(n, n / 2 + r % 2);
    counts[std::size_t(r)] = k;
    n -= k;
  }
  return counts;
}
long before(const std::vector<long>& counts, int rank) {
  long s = 0;
  for (int r = 0; r < rank; ++r) s += counts[std::size_t(r)];
  return s;
}
/// What rank a sends to rank b in an all_to_all of about n elements a rank.
long sent(long n, int ranks, int a, int b) { return n == 0 || (a + 2 * b) % 4 == 1 ? 0 : n / ranks + (a * 3 + b) % 3; }

/// The expected reductions, made once for all ranks.
template <class T> struct references {
  std::vector<T> of[3];
  references(int ranks, long n) {
    for (reduction how : {reduction::sum, reduction::max, reduction::min}) of[int(how)] = reduced<T>(ranks, n, how);
  }
};

template <class T> void check_all(communicator& c, int rank, long n, dtype t, const references<T>& expect, complaints& no) {
  const int ranks = c.size();
  const std::string where = std::string(sp::name_of(t)) + " x " + std::to_string(n) + " on rank " + std::to_string(rank) +
                            " of " + std::to_string(ranks);
  const auto wants = [&](const char* what, const std::vector<T>& got, const std::vector<T>& expected) {
    no.check(same_bits(got, expected), std::string(what) + " of " + where);
  };
  for (reduction how : {reduction::sum, reduction::max, reduction::min}) {
    std::vector<T> x = values<T>(rank, n);
    c.all_reduce(x.data(), n, t, how);
    wants("all_reduce", x, expect.of[int(how)]);
  }
  const std::vector<long> counts = dealt(n, ranks);
  const long mine = counts[std::size_t(rank)];
  {
    std::vector<T> whole(static_cast<std::size_t>(n)), expected;
    const std::vector<T> part = values<T>(rank, mine);
    c.all_gather(part.data(), whole.data(), counts, t);
    for (int r = 0; r < ranks; ++r)
      for (T x : values<T>(r, counts[std::size_t(r)])) expected.push_back(x);
    wants("all_gather", whole, expected);
  }
  {
    const std::vector<T> whole = values<T>(rank, n), &sum = expect.of[int(reduction::sum)];
    std::vector<T> part(static_cast<std::size_t>(mine));
    c.reduce_scatter(whole.data(), part.data(), counts, t);
    const auto first = sum.begin() + before(counts, rank);
    wants("reduce_scatter", part, std::vector<T>(first, first + mine));
    wants("the input of reduce_scatter", whole, values<T>(rank, n));
  }
  {
    std::vector<long> send, receive;
    std::vector<T> expected;
    long total = 0;
    for (int r = 0; r < ranks; ++r) {
      send.push_back(sent(n, ranks, rank, r));
      receive.push_back(sent(n, ranks, r, rank));
      total += send.back();
      long from = 0;
      for (int k = 0; k < rank; ++k) from += sent(n, ranks, r, k);
      for (long i = 0; i < receive.back(); ++i) expected.push_back(value<T>(r, from + i));
    }
    const std::vector<T> out = values<T>(rank, total);
    std::vector<T> in(expected.size());
    c.all_to_all(out.data(), send, in.data(), receive, t);
    wants("all_to_all", in, expected);
  }
  for (int root : {0, ranks / 2, ranks - 1}) {
    std::vector<T> x = values<T>(rank, n);
    c.broadcast(x.data(), n, t, root);
    wants("broadcast", x, values<T>(root, n));
  }
  c.barrier();
}

}  // namespace

TEST_CASE("every collective gives the serial reference's bits for every rank count, size and dtype", "[threads]") {
  for (int ranks : {1, 2, 3, 4, 5, 8, 16})
    for (dtype t : {dtype::f32, dtype::f64, dtype::bf16, dtype::f16, dtype::i64, dtype::i32, dtype::i8, dtype::u8}) {
      complaints no;
      for (long n : {0L, 1L, 7L, 4096L, sanitized && t != dtype::f32 ? 5003L : 100003L})
        sp::visit(t, [&](auto zero) {
          using T = decltype(zero);
          const references<T> expect(ranks, n);
          on_group(ranks, [&](communicator& c, int rank) { check_all<T>(c, rank, n, t, expect, no); });
        });
      INFO(ranks << " ranks, " << sp::name_of(t));
      CHECK(no.text() == "");
    }
}

TEST_CASE("a NaN survives sum, max and min, and infinities order", "[threads]") {
  complaints no;
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  sp::run(3, [&](int r) {
    for (reduction how : {reduction::sum, reduction::max, reduction::min})
      for (int holder = 0; holder < 3; ++holder) {
        float x[3] = {r == holder ? nan : float(r), r == holder ? inf : 1, r == holder ? -inf : 1};
        sp::self.world->all_reduce(x, 3, dtype::f32, how);
        no.check(std::isnan(x[0]), "NaN lost");
        no.check(x[1] == (how == reduction::min ? 1 : inf), "inf");
        no.check(x[2] == (how == reduction::max ? 1 : -inf), "-inf");
      }
  });
  CHECK(no.text() == "");
}

TEST_CASE("null pointers with zero counts are legal, also on some ranks only", "[threads]") {
  complaints no;
  sp::run(3, [&](int r) {
    communicator& c = *sp::self.world;
    c.all_reduce(nullptr, 0, dtype::f32);
    c.broadcast(nullptr, 0, dtype::f32, 1);
    const long none[] = {0, 0, 0}, last[] = {0, 0, 2};
    c.all_gather(nullptr, nullptr, none, dtype::f32);
    c.reduce_scatter(nullptr, nullptr, none, dtype::f32);
    c.all_to_all(nullptr, none, nullptr, none, dtype::f32);
    float two[2] = {1, 2}, whole[2] = {};
    c.all_gather(r == 2 ? two : nullptr, whole, last, dtype::f32);
    no.check(whole[0] == 1 && whole[1] == 2, "all_gather");
    c.reduce_scatter(whole, r == 2 ? two : nullptr, last, dtype::f32);
    if (r == 2) no.check(two[0] == 3 && two[1] == 6, "reduce_scatter");
  });
  CHECK(no.text() == "");
}

TEST_CASE("gather and scatter work in place, at the rank's own part", "[threads]") {
  complaints no;
  for (long part : {5L, 3000L})  // copied by the engine, and lent
    sp::run(4, [&](int r) {
      const std::vector<long> counts(4, part);
      std::vector<float> x = values<float>(0, 4 * part);
      const std::vector<float> whole = x;
      float* mine = x.data() + r * part;
      for (long i = 0; i < 4 * part; ++i)
        if (i < r * part || i >= (r + 1) * part) x[std::size_t(i)] = -1;
      sp::self.world->all_gather(mine, x.data(), counts, dtype::f32);
      no.check(same_bits(x, whole), "all_gather");
      const std::vector<float> again = values<float>(r, 4 * part);
      std::copy(again.begin(), again.end(), x.begin());
      sp::self.world->reduce_scatter(x.data(), mine, counts, dtype::f32);
      const std::vector<float> sum = reduced<float>(4, 4 * part, reduction::sum);
      no.check(std::memcmp(mine, sum.data() + r * part, std::size_t(part) * 4) == 0, "reduce_scatter");
    });
  CHECK(no.text() == "");
}

TEST_CASE("replicas are bitwise equal, and 200 repetitions with other timing are too", "[threads]") {
  complaints no;
  for (int ranks : {2, 4, 5})
    sp::run(ranks, [&](int r) {
      for (long n : {7L, 1024L, 20011L}) {
        const std::vector<float> expected = reduced<float>(ranks, n, reduction::sum);
        for (int i = 0; i < 200; ++i) {
          std::vector<float> x = values<float>(r, n);
          for (std::uint64_t k = scramble(std::uint64_t(i * ranks + r)) % 500; k > 0; --k) sp::in_process::pause_briefly();
          if ((i + r) % 17 == 0) std::this_thread::yield();
          sp::self.world->all_reduce(x.data(), n, dtype::f32);
          no.check(same_bits(x, expected), "repetition " + std::to_string(i));
        }
      }
    });
  CHECK(no.text() == "");
}

TEST_CASE("ranks know their place, and have a communicator for every axis with several ranks", "[threads]") {
  for (const sp::mesh m :
       {sp::mesh{.tp = 2, .dp = 3}, sp::mesh{.tp = 2, .dp = 2, .pp = 2}, sp::mesh{.dp = 3}, sp::mesh{.tp = 3, .pp = 2}}) {
    complaints no;
    std::vector<int> seen(std::size_t(m.size()));
    sp::run(m, [&](int r) {
      ++seen[std::size_t(r)];
      const sp::context& c = sp::self;
      no.check(c.where == m.at(r), "where");
      no.check(c.world && c.world->size() == m.size() && c.world->rank() == r, "world");
      no.check(c.tape && !c.dry && c.clock == 0 && !c.book && std::string(c.layer).empty(), "fresh context");
      const int strides[] = {1, m.tp, m.tp * m.dp};
      for (std::size_t a = 0; a < 3; ++a) {
        const int ranks = c.where.ranks[a];
        no.check((c.on[a] != nullptr) == (ranks > 1), "null where the axis has one rank");
        if (!c.on[a]) continue;
        no.check(c.on[a]->size() == ranks && c.on[a]->rank() == c.where.rank[a], "rank on the axis");
        for (long n : {1L, 5000L}) {
          std::vector<std::int64_t> x(std::size_t(n), r);
          c.on[a]->all_reduce(x.data(), n, dtype::i64);
          long sum = 0;
          for (int k = 0; k < ranks; ++k) sum += r + (k - c.where.rank[a]) * strides[a];
          no.check(x.front() == sum && x.back() == sum, "sum on axis " + std::to_string(a));
        }
      }
    });
    CHECK(no.text() == "");
    CHECK(seen == std::vector<int>(std::size_t(m.size()), 1));
  }
}

TEST_CASE("one rank runs with null communicators on the caller's thread", "[threads]") {
  int calls = 0;
  bool null = true;
  const auto caller = std::this_thread::get_id();
  sp::run(1, [&] {
    ++calls;
    null = !sp::self.world && !sp::self.on[0] && !sp::self.on[1] && !sp::self.on[2] && caller == std::this_thread::get_id();
  });
  CHECK(calls == 1);
  CHECK(null);
  CHECK_THROWS_AS(sp::run(1, [] { throw std::out_of_range("mine"); }), std::out_of_range);
}

TEST_CASE("the caller's context is untouched", "[threads]") {
  const sp::context old = sp::self;
  sp::self.layer = "outside";
  sp::self.clock = 77;
  sp::self.tape = false;
  for (int ranks : {1, 3}) {
    sp::run(ranks, [] {
      sp::self.layer = "inside";
      sp::self.clock = 5;
    });
    CHECK_THROWS(sp::run(ranks, [] {
      sp::self.clock = 6;
      throw 1;
    }));
    CHECK(std::string(sp::self.layer) == "outside");
    CHECK(sp::self.clock == 77);
    CHECK_FALSE(sp::self.tape);
    CHECK_FALSE(sp::self.world);
  }
  sp::self = old;
}

// ---- groups
TEST_CASE("split makes groups by color in the order of ranks, and equal calls give the same one", "[threads]") {
  complaints no;
  sp::run(6, [&](int r) {
    communicator& c = *sp::self.world;
    communicator& odd = c.split(r % 2);
    no.check(odd.size() == 3 && odd.rank() == r / 2, "ranks of a part");
    no.check(&c.split(r % 2) == &odd, "the same object");
    communicator& third = c.split(r / 2 - 7);
    no.check(&third != &odd && third.size() == 2 && third.rank() == r % 2, "another division");
    communicator& everyone = c.split(42);
    no.check(everyone.size() == 6 && everyone.rank() == r, "all of one color");
    communicator& alone = odd.split(odd.rank());
    no.check(alone.size() == 1 && alone.rank() == 0, "a part of a part");
    for (int i = 0; i < 20; ++i)
      for (long n : {3L, 4000L}) {
        const std::vector<float> own(static_cast<std::size_t>(n), float(r));
        std::vector<float> x = own, y = own, z = own, w = own;
        odd.all_reduce(x.data(), n, dtype::f32);
        third.all_reduce(y.data(), n, dtype::f32);
        everyone.all_reduce(z.data(), n, dtype::f32);
        alone.all_reduce(w.data(), n, dtype::f32);
        no.check(x.back() == (r % 2 ? 9 : 6), "sum of the odd or even");
        no.check(y.back() == float(4 * (r / 2) + 1), "sum of pairs");
        no.check(z.back() == 15 && w.back() == float(r), "sum of all and of one");
      }
  });
  CHECK(no.text() == "");
}

TEST_CASE("a mistake in a part of a group names world ranks and the part", "[threads]") {
  const std::string text = thrown({.mesh = {.tp = 4}}, [](int r) {
    communicator& high = sp::self.world->split(r / 2);
    float x[4] = {};
    high.all_reduce(x, r == 3 ? 4 : 2, dtype::f32);
  });
  CHECK(contains(text, "rank 2 is at all_reduce #1, rank 3 at all_reduce #1."));
  CHECK(contains(text, "[group part of world; count 2 and 4]"));
}

TEST_CASE("traffic is counted per communicator and operation", "[threads]") {
  complaints no;
  sp::run(2, [&](int r) {
    communicator& c = *sp::self.on[0];
    std::vector<float> x(300), y(600);
    const long counts[] = {100, 200};
    c.all_reduce(x.data(), 300, dtype::f32);
    c.all_reduce(x.data(), 10, dtype::f64);
    c.all_gather(x.data(), y.data(), counts, dtype::f32);
    c.reduce_scatter(y.data(), x.data(), counts, dtype::f32);
    const long sends[2][2] = {{0, 1}, {1, 1}};
    c.all_to_all(x.data(), sends[r], y.data(), sends[r], dtype::i64);
    c.broadcast(x.data(), 5, dtype::f32, 1);
    c.barrier();
    c.split(0);
    const sp::traffic_counters& t = c.counters();
    const long calls[] = {2, 1, 1, 1, 1, 1};
    const double bytes[] = {1280, r ? 800. : 400., 1200, r ? 16. : 8., 20, 0};
    for (int k = 0; k < 6; ++k) {
      no.check(t.calls[k] == calls[k], "calls of " + std::string(sp::name_of(sp::collective(k))));
      no.check(t.bytes[k] == bytes[k], "bytes of " + std::string(sp::name_of(sp::collective(k))));
    }
    no.check(t.seconds > 0 && t.seconds < 10, "seconds");
    const double until_now = t.seconds;
    if (r == 0) std::this_thread::sleep_for(std::chrono::milliseconds(60));
    c.barrier();
    no.check(r == 0 || t.seconds - until_now > 0.03, "waiting counts");
    no.check(sp::self.world->counters().calls[0] == 0, "the world counts its own");
  });
  CHECK(no.text() == "");
}

// ---- many runs
TEST_CASE("300 runs one behind the other", "[threads]") {
  int sum = 0;
  for (int i = 0; i < 300; ++i)
    sp::run(1 + i % 4, [&](int r) {
      float x = 1;
      if (sp::self.world) sp::self.world->all_reduce(&x, 1, dtype::f32);
      if (r == 0) sum += int(x);
    });
  CHECK(sum == 750);
}

TEST_CASE("concurrent runs do not interfere, also when one fails", "[threads]") {
  complaints no;
  std::atomic<bool> done{false};
  std::thread failing([&] {
    while (!done)
      no.check(thrown({.mesh = {.tp = 2}},
                      [](int r) {
                        if (r) throw std::runtime_error("own");
                        sp::self.world->barrier();
                      }) == "own",
               "error");
  });
  std::vector<std::thread> runners;
  for (int k = 0; k < 2; ++k)
    runners.emplace_back([&, k] {
      for (int i = 0; i < 20; ++i)
        sp::run(2 + k, [&](int r) {
          for (int n = 1; n < 40; ++n) {
            std::vector<float> x(std::size_t(n * 100), float(r + k));
            sp::self.world->all_reduce(x.data(), long(x.size()), dtype::f32);
            no.check(x.front() == float(k == 0 ? 1 : 6) && x.back() == x.front(), "sum");
          }
        });
    });
  for (auto& t : runners) t.join();
  done = true;
  failing.join();
  CHECK(no.text() == "");
}

TEST_CASE("runs nest, and the inner ranks are not confined to the outer rank's core", "[threads]") {
  complaints no;
  const std::size_t cores = sp::in_process::allowed_cores().size();
  sp::run(2, [&](int outer) {
    float x = 1;
    sp::self.world->all_reduce(&x, 1, dtype::f32);
    communicator* const mine = sp::self.world;
    sp::run(3, [&](int inner) {
      float y = float(inner + outer);
      sp::self.world->all_reduce(&y, 1, dtype::f32);
      no.check(y == float(3 + 3 * outer), "inner sum");
      no.check(sp::in_process::allowed_cores().size() == cores, "cores of the inner run");
    });
    no.check(sp::self.world == mine, "context after the inner run");
    no.check(thrown({.mesh = {.tp = 2}},
                    [](int r) {
                      if (r) throw 7;
                      sp::self.world->barrier();
                    }) == "int 7",
             "inner error");
    sp::self.world->all_reduce(&x, 1, dtype::f32);
    no.check(x == 4, "outer sum");
  });
  CHECK(no.text() == "");
  CHECK(sp::in_process::allowed_cores().size() == cores);
}

TEST_CASE("many more ranks than cores get along", "[threads]") {
  constexpr int steps = sanitized ? 100 : 1000;
  complaints no;
  const auto start = seconds_clock::now();
  sp::run(16, [&](int r) {
    std::vector<float> x(1024);
    for (int i = 0; i < steps; ++i) {
      x.assign(1024, float(r));
      sp::self.world->all_reduce(x.data(), 1024, dtype::f32);
      no.check(x[0] == 120 && x[1023] == 120, "sum");
    }
  });
  CHECK(no.text() == "");
  CHECK(since(start) < 20);
  WARN("16 ranks: " << since(start) * 1e6 / steps << " us per all_reduce of 4 KiB");
}

TEST_CASE("phase numbers wrap around", "[threads]") {
  CHECK(sp::in_process::reached(3, 0xfffffffe));
  CHECK_FALSE(sp::in_process::reached(0xfffffffe, 3));
  sp::in_process::board fate(2, 30);
  sp::in_process::meeting m({0, 1}, "test", sp::in_process::meeting::small, 0xffffffe0);
  complaints no;
  sp::in_process::group sides[] = {{fate, m, 0}, {fate, m, 1}};
  std::vector<std::thread> threads;
  for (int r = 0; r < 2; ++r)
    threads.emplace_back([&, r] {
      communicator& g = sides[r];
      for (int i = 0; i < 60; ++i) {
        std::vector<float> x(std::size_t(i % 2 ? 4 : 4000), float(r + i));
        g.all_reduce(x.data(), long(x.size()), dtype::f32);
        no.check(x.back() == float(2 * i + 1), "sum");
      }
    });
  for (auto& t : threads) t.join();
  CHECK(no.text() == "");
}

TEST_CASE("layer names are told apart by their text, however long, not by their address", "[threads]") {
  char a[120], b[120];
  const auto hash = [&](const std::string& s) { return sp::in_process::keep_name(a, s.c_str()); };
  CHECK(hash("layers.0.mlp") == sp::in_process::keep_name(b, std::string("layers.0.mlp").c_str()));
  CHECK(std::string(b) == "layers.0.mlp");
  std::vector<std::uint32_t> seen;
  for (const char* s : {"", "a", "b", "ab", "ba", "layers.0.mlp", "layers.1.mlp", "layers.10.mlp", "layers.0.mlp.",
                        "layers.0.self_attn.q_proj", "layers.0.self_attn.k_proj"})
    seen.push_back(hash(s));
  std::sort(seen.begin(), seen.end());
  CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
  for (std::size_t n : {7u, 8u, 9u, 118u, 119u, 120u, 500u}) {
    hash(std::string(n, 'x'));
    CHECK(std::strlen(a) == std::min<std::size_t>(n, 119));
  }
  CHECK(sp::in_process::keep_name(a, nullptr) == hash(""));
}

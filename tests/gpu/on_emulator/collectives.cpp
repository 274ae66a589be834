// Collectives of ranks that read each other's memory: every one under events, flags and one grid, bit by bit against sums in rank order.
//
// Each rank is a thread with an emulated device of its own, so that kernels of different ranks really run at the same time. Catch's
// assertions are not for several threads: ranks count what is wrong.
#include <barrier>
#include <cmath>
#include <limits>
#include <random>
#include <thread>
#include <catch2/catch.hpp>
#include <shardproof/engine/cuda/all_gather.cuh>
#include <shardproof/engine/cuda/all_to_all.cuh>
#include <shardproof/engine/cuda/fused_norm.cuh>
#include <shardproof/engine/threads/reduce.hpp>
#include "gpu/thrown.hpp"

namespace collectives_test {
namespace sp = shardproof;
namespace cu = shardproof::cuda;
using sp::dtype, sp::reduction, cu::shots, cu::way;

// ---- ranks
struct ranks {
  int count;
  std::barrier<> gate{count};
  std::vector<std::string> errors{std::size_t(count)};
  explicit ranks(int n) : count(n) {}
  /// f(rank) on all of them at once; what they threw is kept.
  template <class F> void run(F f, int only = -1) {
    std::vector<std::thread> threads;
    for (int r = 0; r < count; ++r)
      if (only < 0 || r == only)
        threads.emplace_back([this, r, &f] {
          sp::self.where.rank[0] = r;
          sp::self.where.ranks[0] = count;
          try {
            f(r);
          } catch (const std::exception& e) { errors[std::size_t(r)] = e.what(); }
        });
    for (auto& t : threads) t.join();
  }
};
/// Memory of the device, some bytes off alignment; writes before and behind it are noticed.
class memory {
  std::byte* p_ = nullptr;
  std::size_t bytes_, off_;

 public:
  explicit memory(std::size_t bytes, std::size_t off = 0) : bytes_(bytes), off_(off) {
    void* p = nullptr;
    (void)cudaMalloc(&p, bytes + off);
    p_ = static_cast<std::byte*>(p);
  }
  memory(const memory&) = delete;
  ~memory() {
    for (std::size_t i = 0; i < off_; ++i)
      if (p_[i] != std::byte{0xff}) std::abort();
    (void)cudaFree(p_);
  }
  void* get() const { return p_ + off_; }
  std::vector<std::byte> bytes() const { return {p_ + off_, p_ + off_ + bytes_}; }
};
/// The memory that the ranks show each other, and a table of it.
struct world {
  cu::peer_table table;
  std::vector<cu::peer_region> regions;
  explicit world(int n, long slot_bytes = 4096) {
    table.ranks = n;
    table.slot_bytes = slot_bytes;
    for (int r = 0; r < n; ++r) {
      regions.push_back(cu::make_region(slot_bytes));
      table.data[r] = regions.back().data;
      table.flags[r] = regions.back().flags;
    }
  }
  world(const world&) = delete;
  ~world() { for (auto& r : regions) cu::free_region(r); }
};

// ---- numbers
std::uint64_t hash(std::uint64_t x) {
  x = (x ^ x >> 31) * 0x9e3779b97f4a7c15ull;
  x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull;
  return x ^ x >> 32;
}
/// Element i of rank r's operand in call c: floats of different magnitude, so that another order gives another sum; any integers.
void put_value(dtype t, void* at, int r, long c, long i) {
  const std::uint64_t h = hash(std::uint64_t(c) * 1000003 + std::uint64_t(i) * 11 + std::uint64_t(r) * 7919 + 1);
  if (sp::is_float(t)) sp::write_element(t, at, std::ldexp(double(h >> 40) / 8388608.0 - 1, int(h % 7) - 3));
  else std::memcpy(at, &h, sp::bytes_of(t));
}
using bytes = std::vector<std::byte>;
bytes values(dtype t, int r, long c, long n) {
  bytes b(std::size_t(n) * sp::bytes_of(t));
  for (long i = 0; i < n; ++i) put_value(t, b.data() + std::size_t(i) * sp::bytes_of(t), r, c, i);
  return b;
}
template <class T> using computed = std::conditional_t<std::is_same_v<T, sp::bf16> || std::is_same_v<T, sp::f16>, float, T>;
template <class T> T reduced(reduction how, const std::vector<T>& x) {
  using C = computed<T>;
  C a = C(x[0]);
  for (std::size_t r = 1; r < x.size(); ++r) {
    const C b = C(x[r]);
    if (how == reduction::sum) {
      if constexpr (std::is_integral_v<C>) a = C(std::uint64_t(a) + std::uint64_t(b));
      else a = a + b;
    } else if (b != b || (how == reduction::max ? b > a : b < a)) a = b;
  }
  return T(a);
}
/// Elements [first, first + n) of the sum of all ranks' values.
bytes sum_of(dtype t, reduction how, int ranks, long c, long first, long n) {
  bytes out(std::size_t(n) * sp::bytes_of(t));
  sp::visit(t, [&](auto zero) {
    using T = decltype(zero);
    for (long i = 0; i < n; ++i) {
      std::vector<T> x(static_cast<std::size_t>(ranks));
      for (int r = 0; r < ranks; ++r) put_value(t, &x[std::size_t(r)], r, c, first + i);
      const T y = reduced(how, x);
      std::memcpy(out.data() + std::size_t(i) * sizeof(T), &y, sizeof(T));
    }
  });
  return out;
}
void copy(void* to, const bytes& from) { if (!from.empty()) std::memcpy(to, from.data(), from.size()); }
long sum(const std::vector<long>& n, int before) { long s = 0; for (int r = 0; r < before; ++r) s += n[std::size_t(r)]; return s; }

// ---- the three ways of waiting
enum class waiting { events, flags, one_grid };
const char* name_of(waiting w) { return w == waiting::events ? "events" : w == waiting::flags ? "flags" : "one grid"; }

/// One collective of the matrix: what a rank puts in, what it must get, and how it is called.
struct step {
  bytes in, out;
  std::size_t off_in = 0, off_out = 0;                   ///< bytes off alignment
  long at = -1;                                          ///< where in `out` `in` lies; -1: apart
};
/// `what(rank)` says a rank's operands. call(sync, table, rank, from, to) and call_all(table, ends) run it. Under events addends are
/// shown where they lie. Returns how many bytes are wrong.
template <class What, class Call, class CallAll> long run(waiting w, ranks& all, world& shared, bool in_place, What what, Call call, CallAll call_all) {
  const int n = all.count;
  std::atomic<long> wrong{0};
  std::vector<step> steps(static_cast<std::size_t>(n));
  std::vector<std::unique_ptr<memory>> in(steps.size()), out(steps.size());
  const auto prepare = [&](int rank) {
    const std::size_t r = std::size_t(rank);
    step& s = steps[r] = what(rank);
    out[r] = std::make_unique<memory>(s.out.size(), s.off_out);
    if (s.at < 0) in[r] = std::make_unique<memory>(s.in.size(), s.off_in);
    copy(s.at < 0 ? in[r]->get() : static_cast<std::byte*>(out[r]->get()) + s.at, s.in);
  };
  const auto from = [&](int rank) -> void* {
    const std::size_t r = std::size_t(rank);
    return steps[r].at < 0 ? in[r]->get() : static_cast<std::byte*>(out[r]->get()) + steps[r].at;
  };
  const auto compare = [&](int rank) {
    const bytes got = out[std::size_t(rank)]->bytes(), &want = steps[std::size_t(rank)].out;
    for (std::size_t i = 0; i < want.size(); ++i) wrong += got[i] != want[i];
  };
  cu::peer_table shown = shared.table;
  if (w == waiting::one_grid) {
    cu::ends e;
    for (int r = 0; r < n; ++r) prepare(r), e.from[r] = from(r), e.to[r] = out[std::size_t(r)]->get();
    call_all(shared.table, e);
    for (int r = 0; r < n; ++r) compare(r);
    return wrong;
  }
  all.run([&](int r) {
    prepare(r);
    if (w == waiting::flags) call(cu::flags::here(), shared.table, r, from(r), out[std::size_t(r)]->get());
    else {
      all.gate.arrive_and_wait();
      if (r == 0)
        for (int q = 0; q < n; ++q) shown.data[q] = from(q), shown.flags[q] = nullptr;
      all.gate.arrive_and_wait();
      call(cu::events{}, shown, r, nullptr, out[std::size_t(r)]->get());
      all.gate.arrive_and_wait();
    }
    if (in_place) copy(out[std::size_t(r)]->get(), in[std::size_t(r)]->bytes());
    compare(r);
  });
  for (const std::string& e : all.errors) {
    CHECK(e == "");
    wrong += e != "";
  }
  return wrong;
}
constexpr waiting ways_to_wait[] = {waiting::events, waiting::flags, waiting::one_grid};
const std::vector<dtype> types{dtype::f32, dtype::f64, dtype::bf16, dtype::f16, dtype::i64};

}  // namespace collectives_test
using namespace collectives_test;

TEST_CASE("collectives on devices: shots, blocks and threads follow from bytes and ranks", "[cuda-collectives]") {
  static_assert(cu::shots_for(1, 1l << 40) == shots::one && cu::shots_for(2, 1l << 40) == shots::one);
  static_assert(cu::shots_for(4, (512 << 10) - 1) == shots::one && cu::shots_for(4, 512 << 10) == shots::two);
  static_assert(cu::shots_for(3, 300 << 10) == shots::one && cu::shots_for(5, 300 << 10) == shots::two);
  static_assert(cu::shots_for(8, (256 << 10) - 1) == shots::one && cu::shots_for(8, 256 << 10) == shots::two);
  static_assert(cu::way_for(2, 0) == way{shots::one, 1, 32} && cu::way_for(2, 512) == way{shots::one, 1, 32});
  static_assert(cu::way_for(2, 528) == way{shots::one, 1, 64} && cu::way_for(2, 64 << 10) == way{shots::one, 8, 512});
  static_assert(cu::way_for(8, 1 << 20) == way{shots::two, 16, 512} && cu::way_for(2, 1 << 30) == way{shots::one, 36, 512});
  // Blocks that wait for others: all resident, and a processor to spare where ranks share a device.
  static_assert(cu::waiting_blocks(1, 132, 4) == 64 && cu::waiting_blocks(2, 132, 4) == 64 && cu::waiting_blocks(4, 132, 4) == 32);
  static_assert(cu::waiting_blocks(8, 132, 1) == 16 && cu::waiting_blocks(4, 4, 2) == 0 && cu::waiting_blocks(3, 4, 2) == 1);
  static_assert(cu::waiting_blocks(1, 4, 2) == 8 && cu::waiting_blocks(2, 4, 0) == 0 && cu::waiting_blocks(0, 4, 2) == 0);
}

TEST_CASE("collectives on devices: all_reduce has the bits of a sum in rank order", "[cuda-collectives]") {
  struct variant { way w; std::size_t off_in, off_out; bool in_place; };
  const variant variants[] = {{{shots::one, 1, 32}, 0, 0, true},  {{shots::one, 3, 64}, 0, 0, false},   {{shots::two, 1, 32}, 0, 0, true},
                              {{shots::two, 4, 32}, 0, 0, false}, {{shots::one, 2, 32}, 8, 8, false}, {{shots::one, 2, 32}, 0, 8, false},
                              {{shots::two, 2, 64}, 8, 0, false}};
  for (int n : {1, 2, 3, 4, 8})
    for (waiting w : ways_to_wait) {
      ranks all(n);
      world shared(n);                                   // slots of 4096 bytes: 4099 elements take several rounds
      long c = 0, wrong = 0;
      for (dtype t : types)
        for (const variant& v : variants)
          for (long count : {0l, 1l, 3l, 31l, 257l, v.w.blocks == 1 ? 1025l : 4099l}) {
            ++c;
            const bool two_in_place = w == waiting::events && v.w.how == shots::two;   // works on what is shown
            const auto what = [&](int r) {
              const std::size_t more = v.off_out == 8 && r == 1 ? 0 : v.off_out;   // one rank is aligned otherwise
              return step{values(t, r, c, count), sum_of(t, reduction::sum, n, c, 0, count), v.off_in, more,
                          v.in_place && w != waiting::events ? 0 : -1};
            };
            wrong += run(w, all, shared, two_in_place, what,
                         [&](const auto& sync, const cu::peer_table& p, int r, const void* from, void* to) {
                           cu::all_reduce(p, r, from, to, count, t, reduction::sum, v.w, sync);
                         },
                         [&](const cu::peer_table& p, const cu::ends& e) { cu::all_reduce_one_grid(p, e, count, t, reduction::sum, v.w); });
            if (wrong) FAIL(name_of(w) << ", " << n << " ranks, " << sp::name_of(t) << ", count " << count << ", variant " << &v - variants);
          }
      CHECK(wrong == 0);
    }
}

TEST_CASE("collectives on devices: maxima, minima and every element type", "[cuda-collectives]") {
  for (int n : {2, 3})
    for (waiting w : ways_to_wait)
      for (reduction how : {reduction::sum, reduction::max, reduction::min})
        for (dtype t : {dtype::f32, dtype::f64, dtype::bf16, dtype::f16, dtype::i64, dtype::i32, dtype::i8, dtype::u8})
          for (shots s : {shots::one, shots::two}) {
            ranks all(n);
            world shared(n);
            const long count = 301;
            const auto what = [&](int r) { return step{values(t, r, 5, count), sum_of(t, how, n, 5, 0, count)}; };
            const long wrong = run(w, all, shared, w == waiting::events && s == shots::two, what,
                                   [&](const auto& sync, const cu::peer_table& p, int r, const void* from, void* to) {
                                     cu::all_reduce(p, r, from, to, count, t, how, way{s, 2, 32}, sync);
                                   },
                                   [&](const cu::peer_table& p, const cu::ends& e) { cu::all_reduce_one_grid(p, e, count, t, how, way{s, 2, 32}); });
            INFO(name_of(w) << ", " << n << " ranks, " << sp::name_of(t) << ", reduction " << int(how));
            CHECK(wrong == 0);
          }
}

TEST_CASE("collectives on devices: all_reduce has the bits of the engine of threads", "[cuda-collectives]") {
  for (dtype t : types)
    for (int n : {2, 3, 4, 8}) {
      const long count = 500;
      std::vector<bytes> x;
      std::vector<const void*> from;
      for (int r = 0; r < n; ++r) x.push_back(values(t, r, 9, count));
      for (auto& b : x) from.push_back(b.data());
      bytes want(x[0].size());
      sp::in_process::reduce(t, reduction::sum, from, want.data(), 0, count);
      CHECK(want == sum_of(t, reduction::sum, n, 9, 0, count));
    }
}

TEST_CASE("collectives on devices: NaN stays, minus zero too, and 16-bit sums are rounded once", "[cuda-collectives]") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const float a[] = {nan, 1, -0.0f, inf, 1, -0.0f, 3e38f}, b[] = {1, nan, -0.0f, -inf, 2, 0.0f, 3e38f};
  for (reduction how : {reduction::sum, reduction::max, reduction::min})
    for (shots s : {shots::one, shots::two}) {
      ranks all(2);
      world shared(2);
      memory x(sizeof a), y(sizeof b);
      std::memcpy(x.get(), a, sizeof a);
      std::memcpy(y.get(), b, sizeof b);
      all.run([&](int r) { void* p = r ? y.get() : x.get(); cu::all_reduce<cu::flags>(shared.table, r, p, p, 7, dtype::f32, how, {s, 1, 32}); });
      const float* got = static_cast<const float*>(x.get());
      CHECK(std::memcmp(x.get(), y.get(), sizeof a) == 0);
      CHECK((std::isnan(got[0]) && std::isnan(got[1]) && std::signbit(got[2])));
      if (how == reduction::sum) CHECK((std::isnan(got[3]) && got[4] == 3 && !std::signbit(got[5]) && std::isinf(got[6])));
      else CHECK((got[3] == (how == reduction::max ? inf : -inf) && got[4] == (how == reduction::max ? 2 : 1)));
    }
  // 1 + 2^-8 + 2^-8 in bf16: rounding after each addition would lose both.
  ranks all(3);
  world shared(3);
  std::vector<sp::bf16> got(3);
  all.run([&](int r) {
    memory p(2);
    *static_cast<sp::bf16*>(p.get()) = sp::bf16(r ? 0.00390625f : 1.0f);
    cu::all_reduce<cu::flags>(shared.table, r, p.get(), p.get(), 1, dtype::bf16, reduction::sum, {shots::one, 1, 32});
    got[std::size_t(r)] = *static_cast<sp::bf16*>(p.get());
  });
  for (sp::bf16 g : got) CHECK(float(g) == 1.0078125f);
}

TEST_CASE("collectives on devices: reduce_scatter of uneven and empty parts", "[cuda-collectives]") {
  for (int n : {1, 2, 3, 4, 8})
    for (waiting w : ways_to_wait) {
      ranks all(n);
      world shared(n);
      long c = 100, wrong = 0;
      for (dtype t : types)
        for (int kind = 0; kind < 5; ++kind) {
          std::vector<long> counts(static_cast<std::size_t>(n));
          for (int r = 0; r < n; ++r) {
            const long table[] = {0, 32, r * 37 % 50, r == n - 1 ? 700 : 0, 257 - 31 * r};
            counts[std::size_t(r)] = table[kind];
          }
          ++c;
          const way h{shots::one, unsigned(1 + kind % 3), 32};
          const auto what = [&](int r) {
            const long mine = counts[std::size_t(r)];
            return step{values(t, r, c, sum(counts, n)), sum_of(t, reduction::sum, n, c, sum(counts, r), mine), kind == 4 ? 8u : 0u, 0};
          };
          wrong += run(w, all, shared, false, what,
                       [&](const auto& sync, const cu::peer_table& p, int r, const void* from, void* to) {
                         cu::reduce_scatter(p, r, from, to, counts, t, h, sync);
                       },
                       [&](const cu::peer_table& p, const cu::ends& e) { cu::reduce_scatter_one_grid(p, e, counts, t, h); });
          if (wrong) FAIL(name_of(w) << ", " << n << " ranks, " << sp::name_of(t) << ", kind " << kind);
        }
      CHECK(wrong == 0);
    }
}

TEST_CASE("collectives on devices: all_gather of uneven and empty parts, apart and in place, and broadcast", "[cuda-collectives]") {
  for (int n : {1, 2, 3, 4, 8})
    for (waiting w : ways_to_wait) {
      ranks all(n);
      world shared(n);
      long c = 200, wrong = 0;
      for (dtype t : {dtype::f32, dtype::f64, dtype::bf16, dtype::u8})
        for (int kind = 0; kind < 6; ++kind) {
          const bool cast = kind == 5;
          const int root = (n - 1) / 2;
          std::vector<long> counts(static_cast<std::size_t>(n));
          for (int r = 0; r < n; ++r) {
            const long table[] = {0, 32, r * 37 % 50, r == n - 1 ? 700 : 0, 4099 - 31 * r, r == root ? 1111 : 0};
            counts[std::size_t(r)] = table[kind];
          }
          ++c;
          const way h{shots::one, unsigned(1 + kind % 3), 64};
          const auto what = [&](int r) {
            bytes whole;
            for (int q = 0; q < n; ++q) {
              const bytes part = values(t, q, c, counts[std::size_t(q)]);
              whole.insert(whole.end(), part.begin(), part.end());
            }
            const bool lies_in = cast || (kind >= 2 && r % 2 == 0);
            return step{values(t, r, c, counts[std::size_t(r)]), whole, kind == 4 ? 8u : 0u, kind == 3 ? 8u : 0u,
                        lies_in ? sum(counts, r) * long(sp::bytes_of(t)) : -1};
          };
          wrong += run(w, all, shared, false, what,
                       [&](const auto& sync, const cu::peer_table& p, int r, const void* from, void* to) {
                         if (cast) cu::broadcast(p, r, to, counts[std::size_t(root)], t, root, h, sync);
                         else cu::all_gather(p, r, from, to, counts, t, h, sync);
                       },
                       [&](const cu::peer_table& p, const cu::ends& e) {
                         cu::ends both = e;
                         for (int r = 0; r < n; ++r) both.from[r] = cast ? e.to[r] : e.from[r];
                         if (cast) cu::broadcast_one_grid(p, both, counts[std::size_t(root)], t, root, h);
                         else cu::all_gather_one_grid(p, e, counts, t, h);
                       });
          if (wrong) FAIL(name_of(w) << ", " << n << " ranks, " << sp::name_of(t) << ", kind " << kind);
        }
      CHECK(wrong == 0);
    }
}

TEST_CASE("collectives on devices: all_to_all of uneven and empty parts", "[cuda-collectives]") {
  for (int n : {1, 2, 3, 4, 8})
    for (waiting w : ways_to_wait) {
      ranks all(n);
      world shared(n, 8192);
      long c = 300, wrong = 0;
      for (dtype t : {dtype::f32, dtype::f64, dtype::bf16, dtype::i64})
        for (int kind = 0; kind < 5; ++kind) {
          cu::count_matrix m;
          for (int s = 0; s < n; ++s)
            for (int r = 0; r < n; ++r) {
              const long table[] = {0, 16, (s * 5 + r * 3) % 7, s == 0 && r == n - 1 ? 120 : 0, (s * 31 + r * 17) % 101};
              m.of[s][r] = table[kind];
            }
          ++c;
          const way h{shots::one, unsigned(1 + kind % 3), 32};
          const auto what = [&](int r) {
            step x;
            long sent = 0;
            for (int q = 0; q < n; ++q) sent += m.of[r][q];
            x.in = values(t, r, c, sent);
            for (int q = 0; q < n; ++q) {
              long before = 0;
              for (int k = 0; k < r; ++k) before += m.of[q][k];
              const bytes theirs = values(t, q, c, before + m.of[q][r]);
              x.out.insert(x.out.end(), theirs.begin() + before * long(sp::bytes_of(t)), theirs.end());
            }
            return x;
          };
          const auto known_to = [&](int r) {             // under flags a rank knows its own row and column only
            cu::count_matrix k;
            for (int q = 0; q < n; ++q) k.of[r][q] = m.of[r][q], k.of[q][r] = m.of[q][r];
            return k;
          };
          wrong += run(w, all, shared, false, what,
                       [&](const auto& sync, const cu::peer_table& p, int r, const void* from, void* to) {
                         cu::all_to_all(p, r, from, to, w == waiting::flags ? known_to(r) : m, t, h, sync);
                       },
                       [&](const cu::peer_table& p, const cu::ends& e) { cu::all_to_all_one_grid(p, e, m, t, h); });
          if (wrong) FAIL(name_of(w) << ", " << n << " ranks, " << sp::name_of(t) << ", kind " << kind);
        }
      CHECK(wrong == 0);
    }
}

TEST_CASE("collectives on devices: all_reduce, residual and RMS norm in one kernel", "[cuda-collectives]") {
  for (int n : {1, 2, 3, 4, 8})
    for (waiting w : ways_to_wait)
      for (dtype t : {dtype::f32, dtype::f64})
        for (long columns : {1l, 31l, 64l, 257l, 1028l, 2051l, 9004l}) {   // the last two are longer than what stays in registers
          if (columns > 2000 && n != 2 && n != 3) continue;
          const long rows = columns == 64 ? 0 : columns > 2000 ? 1 : columns > 1000 ? 2 : 5, count = rows * columns, size = long(sp::bytes_of(t));
          const dtype weight = columns == 31 ? dtype::bf16 : columns == 257 ? dtype::f16 : t;
          const bool weighted = columns != 1028;
          const double eps = 1e-5, offset = columns == 31 ? 1 : 0;
          ranks all(n);
          world shared(n, columns > 2000 ? 128 << 10 : 16384);
          const std::size_t m = std::size_t(n);
          std::vector<std::unique_ptr<memory>> x(m), residual(m), y(m), gain(m);
          const bytes before = values(t, 9, 1, count), weights = values(weight, 8, 1, columns);
          const std::size_t off = columns == 257 ? 0 : columns == 31 ? 8 : 0;
          for (int r = 0; r < n; ++r) {
            const std::size_t i = std::size_t(r);
            x[i] = std::make_unique<memory>(std::size_t(count * size), off), copy(x[i]->get(), values(t, r, 1, count));
            residual[i] = std::make_unique<memory>(std::size_t(count * size)), copy(residual[i]->get(), before);
            gain[i] = std::make_unique<memory>(weights.size()), copy(gain[i]->get(), weights);
            y[i] = std::make_unique<memory>(std::size_t(count * size));
          }
          const auto v = [&](const memory& p) { return sp::view{p.get(), t, {rows, columns}}; };
          if (w == waiting::one_grid) {
            cu::ends own;
            cu::norm_ends e{.type_of_w = weight};
            for (std::size_t i = 0; i < m; ++i) {
              own.from[i] = x[i]->get(), e.residual[i] = residual[i]->get(), e.y[i] = y[i]->get();
              if (weighted) e.w[i] = gain[i]->get();
            }
            cu::all_reduce_norm_one_grid(shared.table, own, e, rows, columns, t, eps, offset, 2);
          } else {
            cu::peer_table shown = shared.table;
            for (std::size_t i = 0; i < m; ++i) shown.data[i] = x[i]->get();
            all.run([&](int r) {
              const std::size_t i = std::size_t(r);
              const sp::view g{weighted ? gain[i]->get() : nullptr, weight, {columns}};
              if (w == waiting::flags) cu::all_reduce_norm<cu::flags>(shared.table, r, x[i]->get(), v(*residual[i]), v(*y[i]), g, eps, offset, 3);
              else cu::all_reduce_norm<cu::events>(shown, r, nullptr, v(*residual[i]), v(*y[i]), g, eps, offset, 2);
            });
          }
          for (const std::string& e : all.errors) CHECK(e == "");
          // The residual has the bits of an all_reduce and an addition; the norm is right, and alike on all ranks.
          bytes want = sum_of(t, reduction::sum, n, 1, 0, count);
          double worst = 0;
          sp::visit_float(t, [&](auto zero) {
            using T = decltype(zero);
            std::vector<T> a(static_cast<std::size_t>(count)), b(a.size());
            std::copy_n(want.data(), want.size(), reinterpret_cast<std::byte*>(a.data()));
            std::copy_n(before.data(), before.size(), reinterpret_cast<std::byte*>(b.data()));
            for (std::size_t i = 0; i < a.size(); ++i) a[i] = b[i] + a[i];
            std::copy_n(reinterpret_cast<std::byte*>(a.data()), want.size(), want.data());
            for (long r = 0; r < rows; ++r) {
              double squares = 0;
              for (long j = 0; j < columns; ++j) squares += double(a[std::size_t(r * columns + j)]) * double(a[std::size_t(r * columns + j)]);
              for (long j = 0; j < columns; ++j) {
                const double k = weighted ? offset + sp::read_element(weight, weights.data() + std::size_t(j) * sp::bytes_of(weight)) : 1;
                const double right = double(a[std::size_t(r * columns + j)]) / std::sqrt(squares / double(columns) + eps) * k;
                const double got = double(static_cast<const T*>(y[0]->get())[r * columns + j]);
                worst = std::max(worst, std::abs(got - right) / (1 + std::abs(right)));
              }
            }
          });
          INFO(name_of(w) << ", " << n << " ranks, " << sp::name_of(t) << ", columns " << columns);
          CHECK(worst < (t == dtype::f32 ? 3e-7 : 1e-14));
          for (std::size_t i = 0; i < m; ++i) {
            CHECK(residual[i]->bytes() == want);
            CHECK(y[i]->bytes() == y[0]->bytes());
          }
        }
}

TEST_CASE("collectives on devices: flags hold over many calls of any size, without the ranks meeting elsewhere", "[cuda-collectives]") {
  for (int n : {2, 3, 8})
    for (unsigned start : {0u, 0xfffffff0u}) {           // numbers wrap around
      ranks all(n);
      world shared(n, 2048);
      for (auto& r : shared.regions)
        for (unsigned b = 0; b < cu::most_flag_blocks; ++b) {
          r.flags[cu::peer_detail::own_words + b] = start;
          for (int q = 0; q < cu::most_peers; ++q) r.flags[b * cu::most_peers + unsigned(q)] = start;
        }
      std::atomic<long> wrong{0};
      all.run([&](int r) {
        std::mt19937 choice(7), own{unsigned(r)};        // the first alike on all ranks
        for (long c = 0; c < 120; ++c) {
          const long count = long(choice() % 700);
          const way w{choice() % 2 ? shots::one : shots::two, 1 + unsigned(choice() % 4), 32};
          const dtype t = choice() % 2 ? dtype::f32 : dtype::bf16;
          memory p(std::size_t(count) * sp::bytes_of(t));
          copy(p.get(), values(t, r, c, count));
          if (own() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(own() % 300));
          cu::all_reduce<cu::flags>(shared.table, r, p.get(), p.get(), count, t, reduction::sum, w);
          if (p.bytes() != sum_of(t, reduction::sum, n, c, 0, count)) ++wrong;
        }
      });
      for (const std::string& e : all.errors) CHECK(e == "");
      CHECK(wrong == 0);
    }
}

TEST_CASE("collectives on devices: a word that was not written for long is behind, and one that is ahead is not", "[cuda-collectives]") {
  using cu::peer_detail::has_reached;
  for (unsigned n : {1u, 2u, 77u, 0xffffffffu, 0u}) {
    CHECK((has_reached(n, n) && has_reached(n + 1, n) && has_reached(n + 2, n)));
    CHECK_FALSE((has_reached(n - 1, n) || has_reached(n - 0x80000001u, n) || has_reached(n + 0x80000000u, n) || has_reached(n + 3, n)));
  }
}

TEST_CASE("collectives on devices: a rank that waits in vain gives up, says for whom, and does not wait again", "[cuda-collectives]") {
  ranks all(3);
  world shared(3);
  memory p(4096);
  std::string second;
  all.run([&](int r) {
    cu::flags f = cu::flags::here();
    f.looks = 5000;
    const auto call = [&] { cu::all_reduce(shared.table, r, p.get(), p.get(), 1000, dtype::f32, reduction::sum, {shots::two, 2, 32}, f); };
    cu::report_lost_peers();                             // nothing to say yet
    call();
    try {
      cu::report_lost_peers();
    } catch (const sp::error& e) {
      second = e.what();
      CHECK(e.which() == sp::code::rank_lost);
    }
    f.looks = 4000000000u;                               // would take for ever
    call();
    cu::report_lost_peers();
  }, 1);
  for (const std::string& e : all.errors) CHECK(e == "");
  CHECK_THAT(second, Catch::Contains("SP502") && Catch::Contains("did not reach collective #1") && Catch::Contains("rank 1 waited"));
  CHECK((second.find("rank 0 was lost") != std::string::npos || second.find("rank 2 was lost") != std::string::npos));
}

TEST_CASE("collectives on devices: tables and counts that do not fit are refused", "[cuda-collectives]") {
  world shared(2);
  memory p(4096);
  const auto reduce = [&](const cu::peer_table& t, int rank, long count) {
    return thrown([&] { cu::all_reduce<cu::flags>(t, rank, p.get(), p.get(), count, dtype::f32, reduction::sum, {}); });
  };
  cu::peer_table t = shared.table;
  t.ranks_here = 8;                                      // the emulated device has 4 processors
  CHECK_THAT(reduce(t, 0, 5), Catch::Contains("SP001") && Catch::Contains("order them by events"));
  t = shared.table;
  t.ranks = 9;
  CHECK_THAT(reduce(t, 0, 5), Catch::Contains("at most 8 ranks"));
  t = shared.table;
  t.flags[1] = nullptr;
  CHECK_THAT(reduce(t, 0, 5), Catch::Contains("without the memory of rank 1"));
  t = shared.table;
  t.slot_bytes = 100;
  CHECK_THAT(reduce(t, 0, 5), Catch::Contains("multiple of 128"));
  CHECK_THAT(reduce(shared.table, 2, 5), Catch::Contains("rank 2 of a group of 2"));
  CHECK_THAT(reduce(shared.table, 0, -1), Catch::Contains("all_reduce of -1 elements"));
  CHECK(reduce(shared.table, 0, 0) == "");
  const std::vector<long> one{3}, negative{3, -2};
  CHECK_THAT(thrown([&] { cu::reduce_scatter<cu::events>(shared.table, 0, nullptr, p.get(), one, dtype::f32, {}); }), Catch::Contains("pass one count a rank"));
  CHECK_THAT(thrown([&] { cu::all_gather<cu::events>(shared.table, 0, p.get(), p.get(), negative, dtype::f32, {}); }), Catch::Contains("all_gather of -2"));
  cu::count_matrix m;
  m.of[0][1] = 2000;
  CHECK_THAT(thrown([&] { cu::all_to_all<cu::flags>(shared.table, 0, p.get(), p.get(), m, dtype::f32, {}); }), Catch::Contains("room for 512"));
  const sp::view half{p.get(), dtype::bf16, {2, 4}}, wide{p.get(), dtype::f32, {1, 5000}};
  CHECK_THAT(thrown([&] { cu::all_reduce_norm<cu::events>(shared.table, 0, nullptr, half, half, {}, 1e-5, 0); }), Catch::Contains("F32 or F64"));
  CHECK_THAT(thrown([&] { cu::all_reduce_norm<cu::flags>(shared.table, 0, p.get(), wide, wide, {}, 1e-5, 0); }), Catch::Contains("slots of a row"));
}

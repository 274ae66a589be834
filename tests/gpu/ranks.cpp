// Ranks of one process on device cuda: every collective of the in-process engine on device memory, against the same on the host, bit for bit.
#include <cstring>
#include <vector>
#include <catch2/catch.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/runtime/node.hpp>
#include <shardproof/runtime/rng.hpp>
#include "thrown.hpp"
namespace sp = shardproof;
using sp::dtype, sp::reduction;

namespace {
std::vector<std::byte> elements(dtype t, int rank, long n) {
  std::vector<std::byte> out(std::size_t(n) * sp::bytes_of(t));
  for (long i = 0; i < n; ++i) sp::write_element(t, &out[std::size_t(i) * sp::bytes_of(t)], 8 * sp::uniform_at(7, std::uint64_t(rank), std::uint64_t(i)) - 4);
  return out;
}
/// A buffer of this rank's device.
struct block {
  sp::ref n;
  block(dtype t, long count) : n(sp::leaf(t, {count})) {}
  block(dtype t, const std::vector<std::byte>& host) : block(t, long(host.size() / sp::bytes_of(t))) { if (!host.empty()) sp::device().from_host(n->v(), host.data()); }
  void* p() const { return n->data.get(); }
  std::vector<std::byte> host() const {
    std::vector<std::byte> out(n->v().bytes());
    if (!out.empty()) sp::device().to_host(out.data(), n->v());
    return out;
  }
};
std::vector<long> dealt(long n, int ranks) {
  std::vector<long> counts(std::size_t(ranks), 0);
  for (int r = 0; r < ranks; ++r) counts[std::size_t(r)] = r + 1 == ranks ? n : r % 3 == 1 ? 0 : n / 2, n -= counts[std::size_t(r)];
  return counts;
}
/// What every rank holds after a few of each collective, one behind the other.
std::vector<std::vector<std::byte>> results(sp::device_kind d, int ranks, dtype t, long n) {
  std::vector<std::vector<std::byte>> all(static_cast<std::size_t>(ranks));
  sp::run({.mesh = {.tp = ranks}, .device = d}, [&](int rank) {
    sp::communicator& c = *sp::self.world;
    std::vector<std::byte>& mine = all[std::size_t(rank)];
    const auto keep = [&](const block& b) { const auto h = b.host(); mine.insert(mine.end(), h.begin(), h.end()); };
    for (int again = 0; again < 3; ++again) {
      for (const reduction how : {reduction::sum, reduction::max, reduction::min}) {
        const block x(t, elements(t, rank + 10 * again, n));
        c.all_reduce(x.p(), n, t, how);
        c.all_reduce(x.p(), n, t, how);                                      // at once, in place, behind the first
        keep(x);
      }
      const std::vector<long> counts = dealt(n, ranks);
      const block part(t, elements(t, rank, counts[std::size_t(rank)])), whole(t, n);
      c.all_gather(part.p(), whole.p(), counts, t);
      keep(whole);
      const block full(t, elements(t, rank, n)), sum(t, counts[std::size_t(rank)]);
      c.reduce_scatter(full.p(), sum.p(), counts, t);
      keep(sum);
      std::vector<long> sent, got;
      long all_sent = 0, all_got = 0;
      for (int r = 0; r < ranks; ++r) {
        sent.push_back((rank + 2 * r) % 4 * (n ? 3 : 0)), got.push_back((r + 2 * rank) % 4 * (n ? 3 : 0));
        all_sent += sent.back(), all_got += got.back();
      }
      const block out(t, elements(t, rank, all_sent)), in(t, all_got);
      c.all_to_all(out.p(), sent, in.p(), got, t);
      keep(in);
      const block told(t, elements(t, rank, n));
      c.broadcast(told.p(), n, t, ranks - 1);
      keep(told);
      const block part_sum(t, elements(t, rank, n));
      c.split(rank % 2).all_reduce(part_sum.p(), n, t);
      keep(part_sum);
      c.barrier();
    }
  });
  return all;
}
}  // namespace

TEST_CASE("collectives of ranks on a device have the bits of ranks on the host", "[gpu]") {
  for (const int ranks : {2, 3, 4, 8, 17})
    for (const dtype t : {dtype::f32, dtype::f64, dtype::bf16, dtype::f16, dtype::i64, dtype::i32})
      for (const long n : {0l, 1l, 33l, 20000l}) {
        if (ranks == 17 && (n != 33 || !sp::is_float(t))) continue;                               // more than are read at a time, and than fit a kernel's arguments
        if (n > 1000 && (ranks == 3 || sp::bytes_of(t) == 2 || !sp::is_float(t))) continue;       // 20000: two-shot, of f32 and f64
        CAPTURE(ranks, sp::name_of(t), n);
        CHECK(results(sp::device_kind::cuda, ranks, t, n) == results(sp::device_kind::cpu, ranks, t, n));
      }
}

TEST_CASE("ranks on a device that disagree, or are lost, end with the engine's codes", "[gpu]") {
  const auto refusal = [](auto body) {
    return thrown([&] { sp::run({.mesh = {.tp = 2}, .timeout_seconds = 1, .device = sp::device_kind::cuda}, body); });
  };
  CHECK_THAT(refusal([](int r) {
    const block x(dtype::f32, 8 + r);
    sp::self.world->all_reduce(x.p(), 8 + r, dtype::f32);
  }), Catch::Matchers::Contains("shardproof[SP501]"));
  CHECK_THAT(refusal([](int r) {
    const block x(dtype::f32, 40000);
    if (r == 0) sp::self.world->all_reduce(x.p(), 40000, dtype::f32);
  }), Catch::Matchers::Contains("shardproof[SP502]"));
  CHECK_THAT(refusal([](int) {
    static block* shared = nullptr;
    static std::mutex lock;
    { const std::lock_guard g(lock); if (!shared) shared = new block(dtype::f32, 4); }
    sp::self.world->all_reduce(shared->p(), 4, dtype::f32);
  }), Catch::Matchers::Contains("pass one and the same buffer"));
}

// The engine `nccl` with threads for processes, on the emulated device and an emulated NCCL: collectives against expectations, splits,
// captures, and what is said when ranks fail, disagree, return early or lose each other.
#include <cmath>
#include <functional>
#include <numeric>
#include <catch2/catch.hpp>
#include <shardproof/backend/cuda/queue.cuh>
#include <shardproof/engine/nccl.hpp>
#include <shardproof/runtime/replay.hpp>
#include "gpu/free_port.hpp"
#include "gpu/thrown.hpp"

namespace nccl_test {
namespace sp = shardproof;
namespace nccl = sp::nccl;
using sp::dtype, sp::reduction, sp::communicator;
using numbers = std::vector<double>;

sp::backend& gpu() { return sp::backend_of(sp::device_kind::cuda); }

/// A tensor of the calling rank.
class tensor {
 public:
  sp::view v;
  tensor(dtype t, const numbers& values) : v{nullptr, t, {long(values.size())}} {
    v.p = gpu().allocate(v.bytes());
    std::vector<char> host(v.bytes());
    for (std::size_t i = 0; i < values.size(); ++i) sp::write_element(t, host.data() + i * sp::bytes_of(t), values[i]);
    gpu().from_host(v, host.data());
  }
  tensor(dtype t, long n) : tensor(t, numbers(std::size_t(n), 77.0)) {}
  tensor(const tensor&) = delete;
  ~tensor() { gpu().release(v.p, v.bytes()); }
  operator void*() const { return v.p; }
  numbers values() const {
    std::vector<char> host(v.bytes());
    gpu().to_host(host.data(), v);
    numbers out;
    for (long i = 0; i < v.count(); ++i) out.push_back(sp::read_element(v.type, host.data() + std::size_t(i) * sp::bytes_of(v.type)));
    return out;
  }
};

/// What each rank of a run threw; "" if nothing.
struct result {
  std::vector<std::string> said;
  std::vector<double> seconds;
  bool all_well() const {
    for (const std::string& s : said)
      if (!s.empty()) return UNSCOPED_INFO(s), false;
    return true;
  }
};
/// Of each run, in whatever process of this test.
std::uint64_t new_token() {
  static std::atomic<std::uint64_t> count{0};
  return std::uint64_t(::getpid()) << 32 | ++count;
}
struct setting {
  sp::mesh mesh{};
  double timeout = 20, start = 20;
  std::string file{};                   ///< meet by this one
};
result run(const setting& s, const std::function<void(int)>& body) {
  if (!sp::device_link.stream) sp::device_link.stream = [] { return static_cast<void*>(sp::cuda::own_queue().stream); };
  const int size = s.mesh.size();
  const nccl::place where{"127.0.0.1", s.file.empty() ? free_port() : 0, s.file, new_token()};
  result out{std::vector<std::string>(std::size_t(size)), std::vector<double>(std::size_t(size))};
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r)
    threads.emplace_back([&, r] {
      sp::launch l;
      l.rank = l.local_rank = r;
      l.world_size = l.local_world_size = size;
      const auto begun = nccl::now();
      try {
        nccl::run({.mesh = s.mesh, .timeout_seconds = s.timeout, .start_seconds = s.start, .start = l, .where = where}, body);
      } catch (const std::exception& e) { out.said[std::size_t(r)] = e.what(); } catch (int i) { out.said[std::size_t(r)] = "int " + std::to_string(i); }
      out.seconds[std::size_t(r)] = std::chrono::duration<double>(nccl::now() - begun).count();
    });
  for (auto& t : threads) t.join();
  return out;
}
/// Ranks write down what they see; Catch is not for several threads.
struct notes {
  std::mutex lock;
  std::string text;
  void want(bool good, const std::string& what) {
    const std::lock_guard guard(lock);
    if (!good && text.size() < 500) text += what + "\n";
  }
};
/// Small whole numbers, which sums of any order and any type keep: element i of rank r.
double value(int r, long i) { return double((r * 5 + i * 3) % 13) - 6; }
numbers values_of(int r, long first, long n) {
  numbers x;
  for (long i = first; i < first + n; ++i) x.push_back(value(r, i));
  return x;
}
const dtype types[] = {dtype::f32, dtype::f64, dtype::bf16, dtype::f16, dtype::i64, dtype::i32, dtype::i8};
}  // namespace nccl_test
using namespace nccl_test;

TEST_CASE("nccl: every collective of every type does what its contract says", "[nccl]") {
  for (const int size : {1, 2, 3, 5}) {
    notes n;
    const result out = run({.mesh = {.tp = size}}, [&](int r) {
      if (size == 1) return n.want(!sp::self.world && !sp::self.on[0], "one rank has no group");
      communicator& c = *sp::self.world;
      n.want(c.rank() == r && c.size() == size, "rank and size");
      for (const dtype t : types)
        for (const std::vector<long>& counts : {std::vector<long>(std::size_t(size), 7),
                                                [&] {
                                                  std::vector<long> u;
                                                  for (int k = 0; k < size; ++k) u.push_back((k * 2 + 3) % 5 * (k % 3));
                                                  return u;
                                                }(),
                                                std::vector<long>(std::size_t(size), 0)}) {
          const std::string what = std::string(sp::name_of(t)) + " of " + std::to_string(size);
          const long total = std::accumulate(counts.begin(), counts.end(), 0l), mine = counts[std::size_t(r)];
          for (const reduction how : {reduction::sum, reduction::max, reduction::min}) {
            const tensor x(t, values_of(r, 0, total));
            c.all_reduce(x, total, t, how);
            numbers expected = values_of(0, 0, total);
            for (int k = 1; k < size; ++k)
              for (long i = 0; i < total; ++i) {
                double& e = expected[std::size_t(i)];
                e = how == reduction::sum ? e + value(k, i) : how == reduction::max ? std::max(e, value(k, i)) : std::min(e, value(k, i));
              }
            n.want(x.values() == expected, "all_reduce " + what);
          }
          {
            const tensor part(t, values_of(r, 0, mine)), whole(t, total);
            c.all_gather(part, whole, counts, t);
            numbers expected;
            for (int k = 0; k < size; ++k)
              for (double v : values_of(k, 0, counts[std::size_t(k)])) expected.push_back(v);
            n.want(whole.values() == expected, "all_gather " + what);
          }
          {
            const tensor whole(t, values_of(r, 0, total)), part(t, mine);
            c.reduce_scatter(whole, part, counts, t);
            const long first = std::accumulate(counts.begin(), counts.begin() + r, 0l);
            numbers expected(std::size_t(mine), 0.0);
            for (int k = 0; k < size; ++k)
              for (long i = 0; i < mine; ++i) expected[std::size_t(i)] += value(k, first + i);
            n.want(part.values() == expected, "reduce_scatter " + what);
          }
          {
            const auto between = [&](int a, int b) { return counts[std::size_t((a + 2 * b) % size)]; };           // from a to b
            std::vector<long> out_counts, in_counts;
            for (int k = 0; k < size; ++k) out_counts.push_back(between(r, k)), in_counts.push_back(between(k, r));
            const tensor send(t, values_of(r, 0, std::accumulate(out_counts.begin(), out_counts.end(), 0l)));
            const tensor receive(t, std::accumulate(in_counts.begin(), in_counts.end(), 0l));
            c.all_to_all(send, out_counts, receive, in_counts, t);
            numbers expected;
            for (int k = 0; k < size; ++k) {
              long before = 0;
              for (int q = 0; q < r; ++q) before += between(k, q);
              for (double v : values_of(k, before, between(k, r))) expected.push_back(v);
            }
            n.want(receive.values() == expected, "all_to_all " + what);
          }
          for (int root = 0; root < size; ++root) {
            const tensor x(t, values_of(r, 0, total));
            c.broadcast(x, total, t, root);
            n.want(x.values() == values_of(root, 0, total), "broadcast " + what);
          }
          c.barrier();
        }
    });
    CHECK(out.all_well());
    CHECK(n.text == "");
  }
  CHECK(nccl_emulated::counts.open == 0);
}

TEST_CASE("nccl: parts alike are one collective, others a group, and calls are counted as in other engines", "[nccl]") {
  auto& calls = nccl_emulated::counts;
  const long gathers = calls.all_gathers, scatters = calls.reduce_scatters, broadcasts = calls.broadcasts, reduces = calls.reduces;
  notes n;
  CHECK(run({.mesh = {.tp = 3}}, [&](int r) {
          communicator& c = *sp::self.on[0];
          const std::vector<long> even{4, 4, 4}, uneven{5, 0, 7};
          const tensor x(dtype::f32, 12), y(dtype::f32, 12);
          c.all_gather(x, y, even, dtype::f32);
          c.all_gather(x, y, uneven, dtype::f32);
          c.reduce_scatter(x, y, even, dtype::f32);
          c.reduce_scatter(x, y, uneven, dtype::f32);
          c.all_reduce(x, 12, dtype::f32);
          c.all_reduce(nullptr, 0, dtype::f32);
          c.all_to_all(x, even, y, even, dtype::f32);
          c.broadcast(x, 12, dtype::f32, 1);
          c.barrier();
          const auto& t = c.counters();
          using sp::collective;
          const auto of = [&](collective k) { return std::pair(t.calls[int(k)], t.bytes[int(k)]); };
          n.want(of(collective::all_reduce) == std::pair(2l, 48.0), "all_reduce");
          n.want(of(collective::all_gather) == std::pair(2l, 4.0 * double(4 + uneven[std::size_t(r)])), "all_gather");
          n.want(of(collective::reduce_scatter) == std::pair(2l, 96.0), "reduce_scatter");
          n.want(of(collective::all_to_all) == std::pair(1l, 48.0), "all_to_all");
          n.want(of(collective::broadcast) == std::pair(1l, 48.0), "broadcast");
          n.want(of(collective::barrier) == std::pair(1l, 0.0), "barrier");
          n.want(t.seconds > 0, "seconds");
        }).all_well());
  CHECK(n.text == "");
  CHECK(calls.all_gathers - gathers == 3);
  CHECK(calls.reduce_scatters - scatters == 3);
  CHECK(calls.broadcasts - broadcasts == 3 * 2 + 3);                                 // a part is empty; and the broadcast itself
  CHECK(calls.reduces - reduces == 3 * 2);
}

TEST_CASE("nccl: each rank stands on the mesh, with a group on each axis", "[nccl]") {
  const long splits = nccl_emulated::counts.splits;
  for (const sp::mesh m : {sp::mesh{.tp = 2, .dp = 3}, sp::mesh{.tp = 2, .dp = 2, .pp = 2}, sp::mesh{.tp = 1, .dp = 4}, sp::mesh{.tp = 3}}) {
    notes n;
    CHECK(run({.mesh = m}, [&](int r) {
            n.want(sp::self.where == m.at(r), "the spot");
            n.want(sp::self.device == &gpu(), "the device");
            n.want(sp::self.world->size() == m.size() && sp::self.world->rank() == r, "the world");
            for (std::size_t a = 0; a < sp::max_axes; ++a) {
              const int size = sp::self.where.ranks[a];
              n.want((size > 1) == (sp::self.on[a] != nullptr), "a group where there is an axis");
              if (size == 1) continue;
              n.want(sp::self.on[a]->size() == size && sp::self.on[a]->rank() == sp::self.where.rank[a], "its size and rank");
              const std::vector<long> ones(std::size_t(size), 1);
              const tensor mine(dtype::i32, numbers{double(r)}), all(dtype::i32, size);
              sp::self.on[a]->all_gather(mine, all, ones, dtype::i32);
              numbers expected;
              for (int k = 0; k < size; ++k) {
                sp::spot s = m.at(r);
                s.rank[a] = k;
                expected.push_back(s.rank[0] + m.tp * (s.rank[1] + m.dp * s.rank[2]));
              }
              n.want(all.values() == expected, "its members");
            }
          }).all_well());
    CHECK(n.text == "");
  }
  CHECK(nccl_emulated::counts.splits - splits == 6 * 2 + 8 * 3);                     // an axis of the whole world is the world
  CHECK(nccl_emulated::counts.open == 0);
  CHECK(sp::self.world == nullptr);
}

TEST_CASE("nccl: split makes parts by color, and equal splits give the same object", "[nccl]") {
  notes n;
  CHECK(run({.mesh = {.tp = 4}}, [&](int r) {
          communicator& c = *sp::self.on[0];
          communicator &pairs = c.split(r / 2), &again = c.split(r / 2 + 7), &odd = c.split(r % 2), &all = c.split(3), &alone = c.split(-r);
          n.want(&pairs == &again, "the same split again, by other colors");
          n.want(&pairs != &odd, "another split");
          n.want(pairs.size() == 2 && pairs.rank() == r % 2 && odd.size() == 2 && odd.rank() == r / 2, "pairs");
          n.want(all.size() == 4 && all.rank() == r && alone.size() == 1 && alone.rank() == 0, "all and alone");
          const tensor x(dtype::f32, numbers{double(r)});
          pairs.all_reduce(x, 1, dtype::f32);
          n.want(x.values() == numbers{r < 2 ? 1.0 : 5.0}, "the sum of a pair");
          odd.all_reduce(x, 1, dtype::f32);
          n.want(x.values() == numbers{6.0}, "the sum across");
          alone.all_reduce(x, 1, dtype::f32);
          alone.barrier();
          n.want(x.values() == numbers{6.0}, "the sum of one");
          const int uneven = r == 3 ? 1 : 0;
          communicator &three = c.split(uneven), &two = three.split(r < 2 ? 0 : 1);
          n.want(three.size() == (r == 3 ? 1 : 3) && two.size() == (r < 2 ? 2 : 1), "parts of parts");
        }).all_well());
  CHECK(n.text == "");
  CHECK(nccl_emulated::counts.open == 0);
}

TEST_CASE("nccl: neighbours are a part that nobody is asked for twice", "[nccl]") {
  notes n;
  CHECK(run({.mesh = {.tp = 5}}, [&](int r) {
          communicator &c = *sp::self.on[0], &pairs = c.neighbours(2);
          n.want(pairs.size() == (r < 4 ? 2 : 1) && pairs.rank() == r % 2, "pairs, and the one that is left over");
          n.want(&c.neighbours(3) != &pairs && c.neighbours(3).size() == (r < 3 ? 3 : 2), "another number, another part");
          const tensor x(dtype::f32, numbers{double(r)});
          sp::replay step;
          for (int i = 0; i < 3; ++i) step([&] { n.want(&c.neighbours(2) == &pairs, "the same again"), c.neighbours(2).all_reduce(x, 1, dtype::f32); });
          n.want(x.values() == numbers{r < 2 ? 4.0 : r < 4 ? 20.0 : 4.0}, "three sums, two of them captured");
        }).all_well());
  CHECK(n.text == "");
  CHECK(nccl_emulated::counts.open == 0);
}

TEST_CASE("nccl: ranks may meet by a file, which is gone afterwards", "[nccl]") {
  const std::string file = "/tmp/shardproof_nccl_test_" + std::to_string(::getpid());
  notes n;
  CHECK(run({.mesh = {.tp = 2}, .file = file}, [&](int) {
          const tensor x(dtype::f32, numbers{1});
          sp::self.world->all_reduce(x, 1, dtype::f32);
          n.want(x.values() == numbers{2}, "a sum");
          sp::self.world->barrier();
          n.want(::access(file.c_str(), F_OK) != 0, "the file is gone");
        }).all_well());
  CHECK(n.text == "");
}

TEST_CASE("nccl: a captured step holds its collectives", "[nccl]") {
  notes n;
  CHECK(run({.mesh = {.tp = 2, .dp = 2}}, [&](int r) {
          const tensor x(dtype::f32, numbers{1, 2}), parts(dtype::f32, 3), whole(dtype::f32, 5);
          sp::replay step;
          for (int i = 0; i < 4; ++i) {
            step([&] {
              sp::self.on[0]->all_reduce(x, 2, dtype::f32);
              sp::self.on[1]->all_reduce(x, 2, dtype::f32);
              const std::vector<long> counts{2, 3};
              sp::self.on[0]->all_gather(parts, whole, counts, dtype::f32);
            });
            n.want(step.captured() == (i > 0), "captured the second time");
          }
          n.want(x.values() == numbers{256, 512}, "four steps of two sums over two ranks");
          const auto& sent = sp::self.on[0]->counters();
          n.want(sent.calls[int(sp::collective::all_reduce)] == 4 && sent.bytes[int(sp::collective::all_gather)] == 4 * 4 * (2.0 + sp::self.where.rank[0]),
                 "each run is counted");
          gpu().begin_capture(true);
          for (const bool splits : {false, true}) {
            std::string said;
            try {
              if (splits) sp::self.world->split(r);
              else sp::self.world->barrier();
            } catch (const sp::error& e) { said = e.what(); }
            n.want(contains(said, splits ? "SP001] a captured step calls split, which waits" : "SP001] a captured step calls barrier, which waits"), said);
          }
          gpu().abandon_capture();
        }).all_well());
  CHECK(n.text == "");
}

// ---- failures
TEST_CASE("nccl: arguments that make no sense are refused before anyone waits", "[nccl]") {
  notes n;
  CHECK(run({.mesh = {.tp = 2}}, [&](int) {
          communicator& c = *sp::self.world;
          const tensor x(dtype::f32, 8);
          float host[8] = {};
          const std::vector<long> two{1, 1}, one{1}, negative{2, -1}, more{3, 3};
          const auto refused = [&](const std::string& what, const std::function<void()>& f) {
            std::string said;
            try { f(); } catch (const sp::error& e) { said = e.what(); }
            n.want(contains(said, "shardproof[SP001] " + what) && contains(said, " Fix: "), what + ": " + said);
          };
          refused("all_reduce of -1 elements", [&] { c.all_reduce(x, -1, dtype::f32); });
          refused("all_reduce of 3 elements at a null pointer", [&] { c.all_reduce(nullptr, 3, dtype::f32); });
          refused("all_reduce of memory that device cuda does not hold", [&] { c.all_reduce(host, 8, dtype::f32); });
          refused("all_gather with 1 counts in a group of 2 ranks", [&] { c.all_gather(x, x, one, dtype::f32); });
          refused("reduce_scatter with a count of -1", [&] { c.reduce_scatter(x, x, negative, dtype::f32); });
          refused("broadcast from root 2 in a group of 2 ranks", [&] { c.broadcast(x, 1, dtype::f32, 2); });
          refused("all_to_all that sends", [&] { c.all_to_all(x, two, x, more, dtype::f32); });
          c.barrier();                                                               // nothing is broken
        }).all_well());
  CHECK(n.text == "");
}

TEST_CASE("nccl: a body that throws ends all ranks at once, in its words", "[nccl]") {
  for (const int culprit : {0, 2}) {
    const result out = run({.mesh = {.tp = 3}}, [&](int r) {
      const tensor x(dtype::f32, 8);
      sp::self.world->all_reduce(x, 8, dtype::f32);
      if (r == culprit) throw sp::error(sp::code::wrong_shape, "a tensor is odd.", "make it even.");
      sp::self.layer = "layers.1.down";
      sp::self.world->all_reduce(x, 8, dtype::f32);
    });
    for (int r = 0; r < 3; ++r) {
      INFO(out.said[std::size_t(r)]);
      CHECK(out.seconds[std::size_t(r)] < 5);
      if (r == culprit) CHECK(out.said[std::size_t(r)] == "shardproof[SP603] a tensor is odd. Fix: make it even.");
      else
        CHECK(contains(out.said[std::size_t(r)], "shardproof[SP502] rank " + std::to_string(culprit) +
                                                     " was lost (it threw: shardproof[SP603] a tensor is odd. Fix: make it even.), so that this rank stops"));
    }
    CHECK(nccl_emulated::counts.open == 0);
  }
  const result odd = run({.mesh = {.tp = 2}}, [&](int r) { if (r == 1) throw 7; sp::self.world->barrier(); });
  CHECK(odd.said[1] == "int 7");
  CHECK(contains(odd.said[0], "rank 1 was lost (it threw an exception)"));
}

TEST_CASE("nccl: a body may catch the error, and the run has failed all the same", "[nccl]") {
  notes n;
  const result out = run({.mesh = {.tp = 2}}, [&](int r) {
    if (r == 1) throw std::runtime_error("over");
    for (int i = 0; i < 2; ++i) {
      std::string said;
      try { sp::self.world->barrier(); } catch (const sp::error& e) { said = e.what(); }
      n.want(contains(said, "so that this rank stops at barrier #" + std::to_string(i + 1)), said);
    }
  });
  CHECK(n.text == "");
  CHECK(out.said[1] == "over");
  CHECK(contains(out.said[0], "SP502] rank 1 was lost (it threw: over), so that this rank stops."));
}

TEST_CASE("nccl: a rank that returns while others wait for it is named", "[nccl]") {
  for (const bool taken : {false, true}) {                                           // by NCCL, which then stands in the queue
    std::atomic<int> there{0};
    const result out = run({.mesh = {.tp = 3}, .timeout = 30}, [&](int r) {
      const tensor x(dtype::f32, 8);
      sp::self.world->barrier();
      if (!taken && r == 1) return;
      if (taken && ++there == 3) cuda_emulated::stalled = true;
      while (taken && !cuda_emulated::stalled) std::this_thread::yield();
      sp::self.world->all_reduce(x, 8, dtype::f32);
      for (int i = 0; r != 1 && i < 5000; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        sp::device_link.after_wait();
      }
    });
    cuda_emulated::stalled = false;
    const std::string fact = "rank 1 was lost: it returned from its body and does not reach all_reduce #2, where rank ";
    for (const std::string& said : out.said) {                                       // its own run has failed too
      INFO(said);
      CHECK(contains(said, "shardproof[SP502] "));
      CHECK(contains(said, fact));
    }
    CHECK((contains(out.said[0], "SP502] " + fact + "0 waits. Fix: make the same") || contains(out.said[2], "SP502] " + fact + "2 waits. Fix: make the same")));
    for (const double s : out.seconds) CHECK(s < 5);
  }
}

TEST_CASE("nccl: ranks that call different things wait their time, and say where they stood", "[nccl]") {
  struct wrong { const char* name; std::function<void(communicator&, const tensor&, bool)> body; };
  const std::vector<long> a{4, 4}, b{5, 3};
  const wrong all[] = {
      {"count", [](communicator& c, const tensor& x, bool w) { c.all_reduce(x, w ? 4 : 8, dtype::f32); }},
      {"dtype", [](communicator& c, const tensor& x, bool w) { c.all_reduce(x, 4, w ? dtype::f32 : dtype::i32); }},
      {"reduction", [](communicator& c, const tensor& x, bool w) { c.all_reduce(x, 4, dtype::f32, w ? reduction::max : reduction::sum); }},
      {"root", [](communicator& c, const tensor& x, bool w) { c.broadcast(x, 4, dtype::f32, w); }},
      {"operation", [](communicator& c, const tensor& x, bool w) { w ? c.barrier() : c.broadcast(x, 8, dtype::f32, 0); }},
      {"counts", [&](communicator& c, const tensor& x, bool w) { c.all_gather(x, x, w ? a : b, dtype::f32); }},
      {"exchange",
       [](communicator& c, const tensor& x, bool w) {
         const std::vector<long> here{w ? 1l : 2l, 1}, there{w ? 2l : 2l, 1};
         c.all_to_all(x, w ? there : here, x, w ? there : here, dtype::f32);
       }},
  };
  for (const wrong& w : all) {
    CAPTURE(w.name);
    const result out = run({.mesh = {.tp = 2}, .timeout = 0.2}, [&](int r) {
      const tensor x(dtype::f32, 16);
      w.body(*sp::self.world, x, r == 1);
    });
    for (const std::string& said : out.said) {
      INFO(said);
      if (std::string(w.name) != "exchange") CHECK(contains(said, "shardproof[SP502] "));
      CHECK((said.empty() || contains(said, "#1")));
    }
    CHECK_FALSE(out.said[0] + out.said[1] == "");
    for (const double s : out.seconds) CHECK(s < 2);
    CHECK(nccl_emulated::counts.open == 0);
  }
}

TEST_CASE("nccl: a queue that stands still is aborted, and a wait for it tells why", "[nccl]") {
  notes n;
  std::atomic<int> there{0};
  const result out = run({.mesh = {.tp = 2}, .timeout = 0.3}, [&](int r) {
    const tensor x(dtype::f32, 8);
    sp::self.world->barrier();
    if (++there == 2) cuda_emulated::stalled = true;
    while (!cuda_emulated::stalled) std::this_thread::yield();
    sp::self.layer = "layers.0.down";
    sp::self.world->all_reduce(x, 8, dtype::f32);                                    // taken, and never done
    std::string said;
    for (int i = 0; i < 2000 && said.empty(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      try { sp::device_link.after_wait(); } catch (const sp::error& e) { said = e.what(); }
    }
    n.want(contains(said, "SP502] ") && contains(said, "all_reduce #2 of layers.0.down within 0.3 s"), std::to_string(r) + said);
    for (int i = 0; i < 2000 && nccl_emulated::counts.open > 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    n.want(nccl_emulated::counts.open == 0, "all is aborted while the bodies still run");
  });
  cuda_emulated::stalled = false;
  CHECK(n.text == "");
  for (const std::string& said : out.said) CHECK(contains(said, "all_reduce #2 of layers.0.down within 0.3 s"));
  CHECK(nccl_emulated::counts.open == 0);
  CHECK_NOTHROW(sp::device_link.after_wait());
}

TEST_CASE("nccl: a captured step that stands still is named", "[nccl]") {
  std::atomic<int> there{0};
  const result out = run({.mesh = {.tp = 2}, .timeout = 0.3}, [&](int) {
    const tensor x(dtype::f32, numbers{1, 2});
    sp::replay step;
    for (int i = 0; i < 3; ++i) step([&] { sp::self.world->all_reduce(x, 2, dtype::f32); });
    sp::self.world->barrier();
    if (++there == 2) cuda_emulated::stalled = true;
    while (!cuda_emulated::stalled) std::this_thread::yield();
    step([&] {});
    for (int i = 0; i < 5000; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      sp::device_link.after_wait();
    }
  });
  cuda_emulated::stalled = false;
  for (const std::string& said : out.said) {
    INFO(said);
    CHECK(contains(said, "did not reach a captured step within 0.3 s"));
  }
}

TEST_CASE("nccl: what NCCL says later than it should ends the run", "[nccl]") {
  const result out = run({.mesh = {.tp = 3}, .timeout = 5}, [&](int r) {
    const tensor x(dtype::f32, 8);
    sp::self.world->barrier();
    if (r == 0) nccl_emulated::now.broken_rank = 1;
    for (int i = 0; i < 1000; ++i) {
      sp::self.world->all_reduce(x, 8, dtype::f32);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  nccl_emulated::now.broken_rank = -1;
  CHECK(contains(out.said[1], "shardproof[SP502] a rank was lost, or its connection: NCCL failed at "));
  CHECK(contains(out.said[1], "remote process exited or there was a network error"));
  for (const int r : {0, 2})
    CHECK(contains(out.said[std::size_t(r)], "shardproof[SP502] rank 1 was lost (it threw: shardproof[SP502] a rank was lost, or its connection"));
  for (const double s : out.seconds) CHECK(s < 4);
}

TEST_CASE("nccl: a start that NCCL refuses, and one that a rank does not reach", "[nccl]") {
  nccl_emulated::now.refuses = ncclInvalidUsage;
  result out = run({.mesh = {.tp = 2}, .start = 2}, [](int) {});
  nccl_emulated::now.refuses = 0;
  CHECK(contains(out.said[0] + out.said[1], "shardproof[SP503] NCCL failed at the start of the world: invalid usage. Fix: give each rank a device of its own"));
  for (const std::string& said : out.said) CHECK(contains(said, "shardproof[SP50"));
  const std::string file = "/tmp/shardproof_nccl_test_" + std::to_string(::getpid());
  const sp::launch l = [] { sp::launch x; x.world_size = 2; return x; }();             // rank 0, and no other
  std::string said;
  try {
    nccl::run({.mesh = {.tp = 2}, .start_seconds = 0.2, .start = l, .where = nccl::place{"", 0, file, new_token()}}, [] {});
  } catch (const sp::error& e) { said = e.what(); }
  ::unlink(file.c_str());
  CHECK(contains(said, "shardproof[SP502] a rank was lost or did not reach the start of the world within 0.2 s. Fix: start all ranks"));
  CHECK(nccl_emulated::counts.open == 0);
}

TEST_CASE("nccl: a mesh that nobody started, of another size, without ranks or limits", "[nccl]") {
  const auto said = [](const nccl::run_options& o) {
    try { nccl::run(o, [] {}); } catch (const sp::error& e) { return std::string(e.what()); }
    return std::string();
  };
  CHECK(contains(said({.mesh = {.tp = 4}}),
                 "shardproof[SP503] a mesh of tp 4, dp 1, pp 1 has 4 ranks, and this process was started alone. Fix: start it by a launcher, such as "
                 "torchrun --nproc-per-node 4"));
  sp::launch two;
  two.world_size = 2;
  CHECK(contains(said({.mesh = {.tp = 4}, .start = two}), "has 4 ranks, and the launcher started 2."));
  CHECK(contains(said({.mesh = {.tp = 0}}), "shardproof[SP001] a mesh of tp 0, dp 1, pp 1 has no ranks."));
  CHECK(contains(said({.timeout_seconds = 0}), "shardproof[SP001] a time limit of 0 s."));
  CHECK(contains(said({.start_seconds = std::nan("")}), "shardproof[SP001] a time limit of nan s."));
  cuda_emulated_devices = 0;
  std::string none;
  std::thread([&] { none = said({}); }).join();
  cuda_emulated_devices = 2;
  sp::launch third;
  third.local_rank = 2;
  CHECK(contains(said({.start = third}),
                 "shardproof[SP504] no such device: rank 0 is number 2 on its machine, which has 2 GPUs. Fix: start a rank for each GPU"));
  cuda_emulated_devices = 1;
  CHECK(contains(none, "shardproof[SP504] no such device: cuda."));
  auto* const stream = std::exchange(sp::device_link.stream, nullptr);
  CHECK(contains(said({.mesh = {.tp = 2}, .start = two}), "shardproof[SP505] "));
  sp::device_link.stream = stream;
  bool ran = false;
  nccl::run(sp::mesh{}, [&] { ran = !sp::self.world && sp::self.device == &gpu(); });
  CHECK(ran);
  CHECK(sp::self.device != &gpu());
}

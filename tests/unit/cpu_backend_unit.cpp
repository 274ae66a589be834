// backend/cpu.hpp: the one file of the test programs that includes it, and what is special to it: the allocator, vectors.
#include <shardproof/backend/cpu.hpp>
#include <string>
#include <thread>
#include <vector>
#include <catch2/catch.hpp>
namespace sp = shardproof;

TEST_CASE("the cpu backend registers itself", "[cpu]") {
  REQUIRE(sp::detail::registered_backends[int(sp::device_kind::cpu)]);
  CHECK(std::string(sp::backend_of(sp::device_kind::cpu).name()) == "cpu");
}

TEST_CASE("size classes waste at most an eighth and are told apart", "[cpu]") {
  int last = -1;
  for (std::size_t n = 1; n < 100000; ++n) {
    const sp::cpu::size_class c(n);
    if (c.bytes < n || (n > 512 && (c.bytes - n) * 8 > n) || c.bytes % 64 || c.index < last || c.index > last + 1) FAIL("size class of " << n);
    if (sp::cpu::size_class(c.bytes).index != c.index || sp::cpu::size_class(c.bytes).bytes != c.bytes) FAIL("size class of " << n << " is not its own");
    last = c.index;
  }
  CHECK(sp::cpu::size_class(std::size_t(1) << 40).index < sp::cpu::size_class::count);
}

TEST_CASE("a released block serves the next request of its size", "[cpu]") {
  if (!sp::cpu::keeps_blocks) return;
  sp::backend& b = sp::backend_of(sp::device_kind::cpu);
  for (const std::size_t bytes : {100ul, 100000ul, 5000000ul}) {
    void* const p = b.allocate(bytes);
    b.release(p, bytes);
    void* const q = b.allocate(bytes - 1);
    CHECK(p == q);
    void* const r = b.allocate(bytes);
    CHECK(r != q);
    b.release(q, bytes - 1);
    b.release(r, bytes);
  }
}

TEST_CASE("large blocks start at a huge page", "[cpu]") {
  sp::backend& b = sp::backend_of(sp::device_kind::cpu);
  const std::size_t bytes = 20u << 20;
  void* const p = b.allocate(bytes);
#if defined(__linux__)
  CHECK(reinterpret_cast<std::size_t>(p) % sp::cpu::huge_page == 0);
#endif
  std::memset(p, 1, bytes);
  b.release(p, bytes);
}

#if defined(__linux__)
TEST_CASE("blocks of a middling size share regions, which end with their last block", "[cpu]") {
  sp::cpu::region_store store;
  constexpr std::size_t bytes = std::size_t(3) << 20;
  std::vector<char*> blocks;
  for (int i = 0; i < 25; ++i) {
    blocks.push_back(static_cast<char*>(store.take(bytes)));
    std::memset(blocks.back(), i, bytes);
  }
  CHECK(store.count() == 3);                                 // ten blocks of 3 MiB fit into 32 MiB
  int wrong = 0;
  for (int i = 0; i < 25; ++i)
    for (std::size_t j = 0; j < bytes; j += 4096) wrong += blocks[std::size_t(i)][j] != char(i);
  CHECK(wrong == 0);
  store.give(blocks[4], bytes);
  CHECK(store.take(bytes) == blocks[4]);
  char* other = nullptr;
  std::thread([&] { other = static_cast<char*>(store.take(bytes)); }).join();
  CHECK(store.count() == 4);                                 // another thread fills a region of its own
  store.give(other, bytes);
  CHECK(store.count() == 3);
  for (char* p : blocks) store.give(p, bytes);
  CHECK(store.count() == 0);
}
#endif

TEST_CASE("cpu_memory counts the tensors of its thread", "[cpu]") {
  std::thread([] {
    sp::backend& b = sp::backend_of(sp::device_kind::cpu);
    CHECK(sp::cpu_memory().current == 0);
    void* const p = b.allocate(1000);
    void* const q = b.allocate(3000000);
    CHECK(sp::cpu_memory().current == 3001000);
    b.release(q, 3000000);
    CHECK(sp::cpu_memory().current == 1000);
    CHECK(sp::cpu_memory().peak == 3001000);
    sp::reset_cpu_memory_peak();
    CHECK(sp::cpu_memory().peak == 1000);
    b.release(p, 1000);
    CHECK(sp::cpu_memory().current == 0);
  }).join();
}

TEST_CASE("a block may be released by another thread, also after its own has ended", "[cpu]") {
  sp::backend& b = sp::backend_of(sp::device_kind::cpu);
  void *p = nullptr, *q = nullptr;
  std::thread([&] { p = b.allocate(100000), q = b.allocate(4000000); }).join();
  std::memset(p, 1, 100000);
  std::memset(q, 1, 4000000);
  std::thread([&] {
    b.release(p, 100000);
    b.release(q, 4000000);
    if (!sp::cpu::keeps_blocks) return;
    void* const again = b.allocate(100000);
    CHECK(again == p);
    b.release(again, 100000);
  }).join();
}

TEST_CASE("what a thread keeps is bounded by what it once used", "[cpu]") {
  std::thread([] {
    constexpr std::size_t limit = std::size_t(64) << 20, bytes = std::size_t(24) << 20;
    for (int i = 0; i < 8; ++i) sp::cpu::give(sp::cpu::obtain(sp::cpu::size_class(bytes), bytes), bytes);     // as if from elsewhere
    CHECK(sp::cpu::memory().kept() <= limit);
    sp::cpu::memory().drop();
    CHECK(sp::cpu::memory().kept() == 0);
  }).join();
}

namespace {
struct late {
  void* p = nullptr;
  ~late() {
    if (p) sp::backend_of(sp::device_kind::cpu).release(p, 5000);
  }
};
thread_local late first_made;
}  // namespace

TEST_CASE("a tensor that outlives its thread's lists is still released", "[cpu]") {
  std::thread([] {
    (void)&first_made;                                       // made before the lists, so destroyed after them
    first_made.p = nullptr;
    first_made.p = sp::backend_of(sp::device_kind::cpu).allocate(5000);
    CHECK_FALSE(sp::cpu::memory_lists::ended());
  }).join();
}

TEST_CASE("vectors load 16-bit values exactly", "[cpu]") {
  using namespace sp::cpu;
  constexpr int n = lanes<float>;
  int wrong = 0;
  for (unsigned bits = 0; bits < 65536; bits += n) {
    sp::bf16 b[n];
    sp::f16 h[n];
    for (int i = 0; i < n; ++i) b[i].bits = h[i].bits = std::uint16_t(bits + unsigned(i));
    const vec<float> from_b = load<float>(b), from_h = load<float>(h);
    for (int i = 0; i < n; ++i) {
      const float x = b[i], y = h[i];
      wrong += !(from_b[i] == x || (x != x && from_b[i] != from_b[i]));
      wrong += !(from_h[i] == y || (y != y && from_h[i] != from_h[i]));
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("a transposed square is the square transposed", "[cpu]") {
  using namespace sp::cpu;
  constexpr int n = lanes<float>;
  vec<float> v[n];
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) v[i][j] = float(100 * i + j);
  transpose(v);
  bool right = true;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) right = right && v[i][j] == float(100 * j + i);
  CHECK(right);
}

TEST_CASE("exp is right from the smallest subnormal to the largest value", "[cpu]") {
  using namespace sp::cpu;
  double worst = 0;
  for (float x = -103.5f; x < 88.7f; x += 0.0137f) {
    const double expected = std::exp(double(x)), got = double(exp(broadcast(x))[0]);
    worst = std::max(worst, std::fabs(got - expected) / std::max(expected, 1.2e-38));
  }
  CHECK(worst < 2.5e-7);
  CHECK(exp(broadcast(-200.0f))[0] == 0);
  CHECK(exp(broadcast(88.8f))[0] == std::numeric_limits<float>::infinity());
}

TEST_CASE("square roots are right to the last place or two", "[cpu]") {
  using namespace sp::cpu;
  double worst = 0;
  for (double x = 1e-37; x < 1e38; x *= 1.0173) {
    const double expected = std::sqrt(double(float(x)));
    worst = std::max(worst, std::fabs(double(square_root(broadcast(float(x)))[0]) - expected) / expected);
  }
  CHECK(worst < 2e-7);
  CHECK(square_root(broadcast(0.0f))[0] == 0);
}

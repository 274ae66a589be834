// What the CUDA backend decides before anything is launched: geometry, cuts, and addresses of a captured step. No CUDA at all.
#include <map>
#include <vector>
#include <catch2/catch.hpp>
#include <shardproof/backend/cuda/arena.hpp>
#include <shardproof/backend/cuda/geometry.hpp>
#include <shardproof/backend/cuda/parts.hpp>
namespace cuda = shardproof::cuda;

static_assert(cuda::over(0).blocks == 0 && cuda::over(1).blocks == 1 && cuda::over(256).blocks == 1 && cuda::over(257).blocks == 2);
static_assert(cuda::over(1l << 40).blocks == cuda::most_blocks);
static_assert(cuda::rows(0, 16).blocks == 0 && cuda::rows(7, 16).blocks == 7 && cuda::rows(1l << 40, 16).blocks == cuda::most_blocks);
static_assert(cuda::rows(1, 0).threads == 32 && cuda::rows(1, 33).threads == 64 && cuda::rows(1, 4096).threads == 512 && cuda::rows(1, 1l << 30).threads == 1024);
static_assert(cuda::parts_of(0, 4) == 0 && cuda::parts_of(8, 4) == 2 && cuda::parts_of(9, 4) == 3 && cuda::parts_of(-1, 4) == 0);
static_assert(cuda::whole_lines(4096, 4) == 1024 && cuda::whole_lines(200, 2) == 64 && cuda::whole_lines(127, 8) == 0);

TEST_CASE("rows of any length are launched in whole warps, within the limits of a device", "[gpu]") {
  for (long n = 0; n < 20000; n += 37) {
    const cuda::geometry g = cuda::rows(5, n);
    REQUIRE(g.threads % 32 == 0);
    REQUIRE(g.threads >= 32);
    REQUIRE(g.threads <= 1024);
    REQUIRE(g.blocks == 5);
  }
}

TEST_CASE("parts cover every element once, and begin at whole lines", "[gpu]") {
  for (std::size_t size : {1, 2, 4, 8})
    for (long parts : {1, 2, 3, 7, 8, 36})
      for (long n : {0, 1, 31, 32, 33, 257, 4099, 100000}) {
        CHECK(cuda::part_begin(0, parts, n, size) == 0);
        CHECK(cuda::part_begin(parts, parts, n, size) == n);
        for (long k = 0; k < parts; ++k) {
          const long a = cuda::part_begin(k, parts, n, size), b = cuda::part_begin(k + 1, parts, n, size);
          CHECK((a <= b && (a == n || a * long(size) % 128 == 0)));
        }
      }
}

TEST_CASE("packs of 16 bytes begin where addresses are aligned, whatever the count", "[gpu]") {
  for (std::size_t size : {1, 2, 4, 8})
    for (unsigned off = 0; off < 16; off += unsigned(size))
      for (long n = 0; n < 70; ++n) {
        const cuda::packing p = cuda::packing_of(off, true, n, size), q = cuda::packing_of(off, false, n, size);
        const long lanes = long(16 / size), behind = n - p.head - p.packs * lanes;
        CHECK((q.head == 0 && q.packs == 0));
        CHECK((p.head >= 0 && p.packs >= 0 && behind >= 0));
        if (p.packs) CHECK(((off + std::size_t(p.head) * size) % 16 == 0 && p.head < lanes && behind < lanes));
        else CHECK((p.head == 0 || n - p.head < lanes));
      }
}

namespace {
std::map<void*, std::size_t> slabs;
void* get_slab(std::size_t n) { void* p = ::operator new(n); slabs[p] = n; return p; }
void drop_slab(void* p, std::size_t) { slabs.erase(p); ::operator delete(p); }
}  // namespace

TEST_CASE("an arena reuses and joins what is released, and never overlaps", "[gpu]") {
  slabs.clear();
  {
    cuda::arena a(get_slab, drop_slab);
    void* const first = a.take(1000);
    void* const second = a.take(300);
    CHECK(reinterpret_cast<std::size_t>(second) - reinterpret_cast<std::size_t>(first) == 1024);   // 256-byte steps
    a.give(first);
    CHECK(a.take(900) == first);
    a.give(first);
    a.give(second);
    CHECK(a.take(1024 + 512) == first);                                      // the two are one again
    a.give(first);
    CHECK(a.bytes() == cuda::arena::slab_bytes);
    void* const large = a.take(3 * cuda::arena::slab_bytes);                 // a slab of its own
    CHECK(slabs.size() == 2);
    a.give(large);

    std::map<char*, std::size_t> held;
    unsigned random = 1;
    for (int i = 0; i < 5000; ++i) {
      random = random * 1664525u + 1013904223u;
      if (random >> 31 || held.empty()) {
        const std::size_t n = random >> 8 & 0xffff;
        char* const p = static_cast<char*>(a.take(n + 1));
        const auto next = held.lower_bound(p);
        if (next != held.end()) REQUIRE(p + n < next->first);
        if (next != held.begin()) REQUIRE(std::prev(next)->first + std::prev(next)->second < p);
        held[p] = n;
        REQUIRE(a.holds(p));
      } else {
        auto at = held.begin();
        std::advance(at, long(random % held.size()));
        a.give(at->first);
        REQUIRE_FALSE(a.holds(at->first));
        held.erase(at);
      }
    }
    CHECK(a.held() == held.size());
    a.close();
    const std::size_t before = a.bytes();
    for (const auto& [p, n] : held) a.give(p);
    CHECK(a.held() == 0);
    CHECK(a.bytes() == before);                                              // the step still writes there
  }
  CHECK(slabs.empty());
}

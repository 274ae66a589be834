// Memory of device cuda on the emulator: what is asked for in vain, ids that name no row, addresses of the host.
#include <string>
#include <utility>
#include <catch2/catch.hpp>
#include <cuda_runtime.h>
#include <shardproof/engine/threads.hpp>
#include <shardproof/runtime/device_stream.hpp>
#include <shardproof/runtime/replay.hpp>
#include <shardproof/shardproof.hpp>
#include "gpu/thrown.hpp"
#include "unit/conformance.hpp"
using namespace conformance;
using Catch::Matchers::Contains;

namespace {
sp::backend& gpu() { return sp::backend_of(sp::device_kind::cuda); }
}  // namespace

TEST_CASE("a tensor that does not fit is refused with what was asked for and what there is", "[gpu]") {
  cudaMemPoolTrimTo(nullptr, 0);
  const std::size_t before = cuda_emulated::memory_used;
  cuda_emulated::memory_limit = before + 1000000;
  const std::string text = thrown([] { (void)gpu().allocate(3000000); });
  CHECK_THAT(text, Contains("shardproof[SP506]"));
  CHECK_THAT(text, Contains("a tensor of 3000000 bytes"));
  CHECK_THAT(text, Contains("1 MB of "));
  CHECK_THAT(text, Contains("Fix:"));
  void* const p = gpu().allocate(900000);                                    // nothing was lost
  CHECK(gpu().available_bytes() == 100000);
  gpu().release(p, 900000);
  cuda_emulated::memory_limit = std::size_t(1) << 40;
  CHECK(cuda_emulated::memory_used == before);
}

TEST_CASE("a step that is captured needs its memory once, although it was run before", "[gpu]") {
  for (const int ranks : {1, 2}) {
    cudaMemPoolTrimTo(nullptr, 0);
    cuda_emulated::memory_limit = cuda_emulated::memory_used + std::size_t(ranks) * 48000000;
    CHECK(thrown([&] {
            sp::run({.mesh = {.tp = ranks}, .device = sp::device_kind::cuda}, [] {
              sp::replay step;
              for (int i = 0; i < 3; ++i)
                step([] {
                  const sp::ref x = sp::leaf(sp::dtype::f32, {7000000});
                  sp::device().fill(x->v(), 1);
                });
            });
          }) == "");
    cuda_emulated::memory_limit = std::size_t(1) << 40;
  }
}

TEST_CASE("a rank that was given a device asks about that one alone", "[gpu]") {
  const int before = std::exchange(cuda_emulated_devices, 3);
  const double all = gpu().available_bytes();
  sp::device_of_rank = 0;
  const double own = gpu().available_bytes();
  sp::device_of_rank = -1;
  cuda_emulated_devices = before;
  CHECK(all == 3 * own);
}

TEST_CASE("without a device the refusal is SP504, before anything runs", "[gpu]") {
  cuda_emulated_devices = 0;
  std::string text;
  std::thread fresh([&] { text = thrown([] { sp::run({.mesh = {.tp = 2}, .device = sp::device_kind::cuda}, [] {}); }); });     // a thread that has no queue yet
  fresh.join();
  cuda_emulated_devices = 1;
  CHECK_THAT(text, Contains("shardproof[SP504]"));
  CHECK_THAT(text, Contains("no CUDA-capable device is detected"));
  CHECK_THAT(text, Contains("use device cpu"));
}

TEST_CASE("ids that name no row are told by the next call that waits, once, and read nothing", "[gpu]") {
  for (const long bad : {131l, -1l, 1l << 40}) {
    const on_device table(gpu(), sp::dtype::f32, {4, 2}, noise(8, 1)), ids(gpu(), sp::dtype::i64, {3}, {1, double(bad), 2}), y(gpu(), sp::dtype::f32, {3, 2});
    CHECK(gpu().first_outside(ids.v, 0, 4) == -1);
    gpu().gather_rows(y.v, table.v, ids.v, 0);
    const std::string text = thrown([] { gpu().synchronize(); });
    CHECK_THAT(text, Contains("shardproof[SP001]"));
    CHECK_THAT(text, Contains("ids hold " + std::to_string(bad) + ", and there are 4 rows"));
    const numbers t = table.values();
    CHECK(y.values() == numbers{t[2], t[3], 0, 0, t[4], t[5]});
  }
}

TEST_CASE("the device's peak counts what tensors have held", "[gpu]") {
  double both = 0, later = 0;
  std::thread rank([&] {                                                     // more than any test before has held
    void* const a = gpu().allocate(400000000);
    void* const b = gpu().allocate(500);
    both = gpu().peak_bytes();
    gpu().release(a, 400000000);
    void* const c = gpu().allocate(100);
    later = gpu().peak_bytes();
    gpu().release(b, 500), gpu().release(c, 100);
  });
  rank.join();
  CHECK(both >= 400000500);
  CHECK(both < 400100000);
  CHECK(later == both);
}

TEST_CASE("a collective of host memory is refused, and names the device", "[gpu]") {
  const std::string text = thrown([] {
    sp::run({.mesh = {.tp = 2}, .device = sp::device_kind::cuda}, [] {
      double x = 1;
      sp::self.world->all_reduce(&x, 1, sp::dtype::f64);
    });
  });
  CHECK_THAT(text, Contains("shardproof[SP001] all_reduce of memory that device cuda does not hold"));
}

TEST_CASE("the memory of a captured step goes with the last of its tensors", "[gpu]") {
  sp::run({.device = sp::device_kind::cuda}, [] {
    const auto x = sp::whole(sp::sizes_of<sp::dims<sp::seq>>{3}, std::vector<float>{1, 2, 3});
    const std::size_t before = cuda_emulated::memory_used;
    decltype(x + x) y;
    {
      sp::replay step;
      for (int i = 0; i < 3; ++i) step([&] { y = x + x; });
      CHECK(step.captured());
      CHECK(cuda_emulated::memory_used >= before + (1 << 20));
    }
    CHECK(sp::device().read(y.at->v(), 2) == 6);                             // the tensor outlives the step
    y = x + x;
    CHECK(cuda_emulated::memory_used < before + 1000);
  });
}

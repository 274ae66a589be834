// Linked into the equivalence tests a second time: what they run on the CPU then runs on device cuda, emulated or real.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>
#include <shardproof/runtime/backend.hpp>

namespace {
struct on_cuda : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;
  void testRunStarting(const Catch::TestRunInfo&) override {
    auto& known = shardproof::detail::registered_backends;
    known[int(shardproof::device_kind::cpu)] = &shardproof::backend_of(shardproof::device_kind::cuda);
    known[int(shardproof::device_kind::cpu)]->require();
  }
};
}  // namespace
CATCH_REGISTER_LISTENER(on_cuda)

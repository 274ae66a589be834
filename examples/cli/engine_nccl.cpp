/// @file
/// Ranks as processes with a GPU each. Linked by the option SHARDPROOF_NCCL, and in tests against an emulator.
#include <shardproof/engine/nccl.hpp>
#include "engine.hpp"

namespace {

void run(const cli::common_options& o, const std::function<void()>& body) {
  shardproof::nccl::run_options how{.mesh = {.tp = o.tp, .dp = o.dp}};
  if (o.timeout) how.timeout_seconds = *o.timeout;
  shardproof::nccl::run(how, body);
}
const bool linked = (cli::nccl_engine = run, true);

}  // namespace

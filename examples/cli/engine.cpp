/// @file
/// Engines by name.
#include "engine.hpp"
#include <functional>
#include <string>
#include <vector>
#include <shardproof/core/error.hpp>
#include <shardproof/runtime/node.hpp>

namespace cli {

void want_engine(const common_options& o) {
  if (o.engine == "threads") return;
  if (o.engine == "nccl" && nccl_engine) {
    if (o.device == "cuda") return;
    throw sp::error(sp::code::unsupported_value, "--engine nccl is for ranks with a GPU each, and --device is " + o.device + ".",
                    "add --device cuda, or use --engine threads.");
  }
  if (o.engine == "nccl")
    throw sp::error(sp::code::unsupported_value, "--engine nccl is not linked into this program.",
                    "use --engine threads, or build with -DSHARDPROOF_NCCL=ON where NCCL is.");
  throw sp::error(sp::code::unsupported_value,
                  "--engine " + o.engine + " is not " + (o.engine == "mpi" || o.engine == "gloo" ? "linked into this program." : "known."),
                  "use --engine threads.");
}

namespace {
/// Ranks that train on other data, or begin with other weights, would not fail: they would be wrong.
void require_same_command() {
  if (!sp::self.world) return;
  const int ranks = sp::self.world->size();
  const sp::ref mine = sp::leaf(sp::dtype::i64, {1}), all = sp::leaf(sp::dtype::i64, {ranks});
  const auto hash = std::int64_t(std::hash<std::string>{}(command_line));
  sp::device().from_host(mine->v(), &hash);
  const std::vector<long> one(std::size_t(ranks), 1);
  sp::self.world->all_gather(mine->data.get(), all->data.get(), one, sp::dtype::i64);
  std::vector<std::int64_t> hashes(one.size(), 0);
  sp::device().to_host(hashes.data(), all->v());
  for (int r = 1; r < ranks; ++r)
    if (hashes[std::size_t(r)] != hashes[0])
      throw sp::error(sp::code::no_launcher, "rank " + std::to_string(r) + " was started with other arguments than rank 0.",
                      "start all ranks by one command line.");
}
}  // namespace

answer on_ranks(const common_options& o, const std::function<answer()>& verb) {
  if (o.engine == "threads") return verb();
  answer a = answer::done;
  nccl_engine(o, [&] {
    require_same_command();
    a = verb();
  });
  return a;
}

}  // namespace cli

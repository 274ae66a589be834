/// @file
/// Engines by name.
#include "engine.hpp"
#include <shardproof/core/error.hpp>

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

answer on_ranks(const common_options& o, const std::function<answer()>& verb) {
  if (o.engine == "threads") return verb();
  answer a = answer::done;
  nccl_engine(o, [&] { a = verb(); });
  return a;
}

}  // namespace cli

#pragma once
/// @file
/// Which ranks carry out a verb: threads that it starts itself (session::run), or the processes of a launcher, of which this is one.
///
///     answer a = on_ranks(common, [&] { return train(common, options); });
///
/// As a rank of a launcher the whole verb runs inside of the engine, so that whatever is refused on one rank ends the others at once.
/// Each process says why it stops; the first rank alone prints what the verb has to say, and writes its files.
#include <functional>
#include <string>
#include <shardproof/core/mesh.hpp>
#include "options.hpp"

namespace cli {

/// Runs a body as this process's rank of the mesh; set where engine_nccl.cpp is linked.
using process_engine = void (*)(const common_options&, const std::function<void()>&);
inline process_engine nccl_engine = nullptr;

/// This process's arguments, which ranks compare.
inline std::string command_line;

/// @error SP606 no such engine, one that is not linked, or one that does not serve the device.
void want_engine(const common_options&);
/// @error SP501 ... SP506 of an engine whose ranks are processes.
answer on_ranks(const common_options&, const std::function<answer()>& verb);

}  // namespace cli

#pragma once
/// @file
/// Who started this process, as what rank: read from the variables that launchers set.
///
///     const sp::launch l = sp::launch_environment();      // mpirun -n 4: {openmpi, rank 2, world_size 4, local_rank 2, ...}
///     if (l.by == sp::launcher::none) ...                 // started by hand: one process
///     sp::read_launch([&](const char* name) { return table[name]; });            // from elsewhere than the environment
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>
#include <shardproof/core/error.hpp>
namespace shardproof {

/// In the order in which they are tried: one that was started by another comes first (torchrun by srun, mpirun in a batch job of
/// SLURM, whose own variables then say the same on all ranks).
enum class launcher : unsigned char { none, torchrun, openmpi, pmi, slurm };
constexpr const char* name_of(launcher l) {
  constexpr const char* names[] = {"none", "torchrun", "openmpi", "pmi", "slurm"};
  return names[int(l)];
}

/// What a launcher says. Without one: rank 0 of 1.
struct launch {
  launcher by = launcher::none;
  int rank = 0, world_size = 1;
  int local_rank = 0;          ///< on this machine, to choose a device; -1: not said (pmi)
  int local_world_size = 0;    ///< ranks on this machine; 0: not said
  std::string master_address;  ///< where rank 0 listens; torchrun only
  int master_port = 0;
};

namespace detail {

/// The variables of one launcher; null where it has none.
struct launch_variables {
  launcher by;
  const char *rank, *size, *local_rank, *local_size;
  bool local_rank_needed;
  bool size_tells;  ///< a size without a rank is a broken launch (in SLURM it is a shell of salloc)
};
inline constexpr launch_variables known_launchers[] = {
    {launcher::torchrun, "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", true, true},
    {launcher::openmpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE", true, true},
    {launcher::pmi, "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", false, true},
    {launcher::slurm, "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", nullptr, true, false},
};

[[noreturn]] inline void refuse_launch(const std::string& what) {
  throw error(code::no_launcher, "the launch environment is " + what,
              "start the program by a launcher, or pass rank, world size and rendezvous explicitly.");
}
[[noreturn]] inline void not_set(const char* name) { refuse_launch(std::string("incomplete: ") + name + " is not set."); }
/// The value of `name`: a whole number in [least, most].
inline int launch_number(const char* name, const char* text, int least, int most, const char* range) {
  int value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, e] = std::from_chars(text, end, value);
  if (e != std::errc{} || stop != end)
    refuse_launch(std::string("malformed: ") + name + " is \"" + text + "\", not a whole number.");
  if (value < least || value > most) refuse_launch(std::string("malformed: ") + name + " is " + text + ", not " + range + ".");
  return value;
}

}  // namespace detail

/// Reads a launch through `get`: name -> const char*, null if not set. The first launcher whose rank and world size are both set
/// counts. SP503: a variable is missing, no number or out of range; it is named.
template <class Get> launch read_launch(Get&& get) {
  constexpr int any = 0x7fffffff;
  const detail::launch_variables *found = nullptr, *half = nullptr;
  for (const auto& v : detail::known_launchers) {
    const bool rank = get(v.rank), size = get(v.size);
    if (rank && size) {
      found = &v;
      break;
    }
    if (!half && (rank || (size && v.size_tells))) half = &v;
  }
  if (!found && half) detail::not_set(get(half->rank) ? half->size : half->rank);
  if (!found) return {};

  launch l;
  l.by = found->by;
  l.world_size = detail::launch_number(found->size, get(found->size), 1, any, "at least 1");
  l.rank = detail::launch_number(found->rank, get(found->rank), 0, l.world_size - 1, "a rank of this world size");
  if (const char* text = found->local_size ? get(found->local_size) : nullptr)
    l.local_world_size = detail::launch_number(found->local_size, text, 1, l.world_size, "between 1 and the world size");
  if (const char* text = get(found->local_rank))
    l.local_rank = detail::launch_number(found->local_rank, text, 0, (l.local_world_size ? l.local_world_size : l.world_size) - 1,
                                         "a rank of this machine");
  else if (found->local_rank_needed) detail::not_set(found->local_rank);
  else l.local_rank = -1;

  if (l.by == launcher::torchrun) {
    const char *address = get("MASTER_ADDR"), *port = get("MASTER_PORT");
    if (l.world_size > 1 && (!address || !*address)) detail::not_set("MASTER_ADDR");
    if (l.world_size > 1 && !port) detail::not_set("MASTER_PORT");
    if (address) l.master_address = address;
    if (port) l.master_port = detail::launch_number("MASTER_PORT", port, 1, 65535, "a port");
  }
  return l;
}
/// The same from the environment of this process.
inline launch launch_environment() {
  return read_launch([](const char* name) { return static_cast<const char*>(std::getenv(name)); });
}

}  // namespace shardproof

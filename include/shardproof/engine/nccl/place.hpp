#pragma once
/// @file
/// Where the ranks of a launch meet, and by what they know each other from the ranks of other runs.
///
///     const nccl::place p = nccl::place_of(sp::launch_environment());    // torchrun: MASTER_ADDR and MASTER_PORT
///     nccl::read_place(l, [&](const char* name) { return table[name]; });            // from elsewhere than the environment
///
/// | variable                  | what it says                                                                                  |
/// |---------------------------|-----------------------------------------------------------------------------------------------|
/// | SHARDPROOF_NCCL_ID_FILE   | meet by this file, on a file system that all ranks share                                      |
/// | SHARDPROOF_NCCL_PORT      | rank 0 listens here; else at MASTER_PORT, or at the next one where torchrun itself listens there |
/// | SHARDPROOF_NCCL_TOKEN     | this run's name, another one each time; else the launcher's job                               |
#include <cstdint>
#include <shardproof/engine/environment.hpp>
namespace shardproof::nccl {

struct place {
  std::string host;             ///< where rank 0 listens; empty: they meet by the file
  int port = 0;
  std::string file;
  std::uint64_t token = 0;      ///< of this run; 0: none is known
};
/// Of ranks on one machine that no launcher told a port.
inline constexpr int usual_port = 29533;

namespace detail {
inline std::uint64_t hashed(std::uint64_t h, const char* text) {
  for (; *text; ++text) h = (h ^ static_cast<unsigned char>(*text)) * 1099511628211ull;
  return (h ^ 0xff) * 1099511628211ull;                                    // "a", "b" is not "ab", ""
}
/// A job's name, made of several variables of which the first must be set.
struct job_variables { const char* names[3]; };
inline constexpr job_variables known_jobs[] = {
    {{"SHARDPROOF_NCCL_TOKEN", nullptr, nullptr}},
    {{"TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", nullptr}},
    {{"PMIX_NAMESPACE", nullptr, nullptr}},
    {{"OMPI_MCA_ess_base_jobid", nullptr, nullptr}},
    {{"SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"}},
};
template <class Get> std::uint64_t token_of_job(Get& get) {
  for (const job_variables& v : known_jobs) {
    const char* first = get(v.names[0]);
    if (!first || !*first || std::strcmp(first, "none") == 0) continue;     // torchrun's name of a run that has none
    std::uint64_t h = 14695981039346656037ull;
    for (const char* name : v.names) {
      const char* text = name ? get(name) : nullptr;
      h = hashed(h, text ? text : "");
    }
    return h ? h : 1;
  }
  return 0;
}
}  // namespace detail

/// @error SP503 a variable is missing or malformed; it is named.
template <class Get> place read_place(const launch& l, Get&& get) {
  const auto set = [&](const char* name) {
    const char* text = get(name);
    return text && *text ? text : nullptr;
  };
  place p;
  p.token = detail::token_of_job(get);
  if (const char* file = set("SHARDPROOF_NCCL_ID_FILE")) {
    p.file = file;
    if (!p.token)
      throw error(code::no_launcher,
                  "the launch environment is incomplete: SHARDPROOF_NCCL_TOKEN is not set, and the launcher names no job, so that an old " + p.file +
                      " could not be told from a new one.",
                  "set SHARDPROOF_NCCL_TOKEN to the same new text on every rank, such as the time of the start.");
    return p;
  }
  const bool on_one_machine = l.world_size == 1 || l.local_world_size == l.world_size;
  p.host = l.master_address;
  if (const char* host = set("MASTER_ADDR"); host && p.host.empty()) p.host = host;
  if (p.host.empty() && on_one_machine) p.host = "127.0.0.1";
  if (p.host.empty()) shardproof::detail::not_set("MASTER_ADDR");
  if (const char* port = set("SHARDPROOF_NCCL_PORT")) {
    p.port = shardproof::detail::launch_number("SHARDPROOF_NCCL_PORT", port, 1, 65535, "a port");
    return p;
  }
  p.port = l.master_port;
  if (const char* port = set("MASTER_PORT"); port && !p.port) p.port = shardproof::detail::launch_number("MASTER_PORT", port, 1, 65535, "a port");
  if (!p.port && on_one_machine) p.port = usual_port;
  if (!p.port) shardproof::detail::not_set("MASTER_PORT");
  // torchrun's agent keeps a store of its own at that port, and rank 0 could not listen there.
  if (const char* agent = set("TORCHELASTIC_USE_AGENT_STORE"); agent && std::strcmp(agent, "True") == 0) p.port += p.port < 65535 ? 1 : -1;
  return p;
}
/// The same from the environment of this process.
inline place place_of(const launch& l) {
  return read_place(l, [](const char* name) { return static_cast<const char*>(std::getenv(name)); });
}

}  // namespace shardproof::nccl

#pragma once
/// @file
/// The engine `nccl`: the ranks of a mesh as processes with a GPU each, on one machine or many, started by a launcher.
///
///     sp::nccl::run(sp::mesh{.tp = 4, .dp = 2}, [&] { train(); });           // in each of the eight processes
///     sp::nccl::run({.mesh = {.tp = 8}, .timeout_seconds = 60}, [&](int world_rank) { ... });
///     $ torchrun --nproc-per-node 8 --no-python ./train    // or mpirun, or srun; engine/nccl/place.hpp says where the ranks meet
///
/// Needs NCCL and the CUDA runtime, not nvcc, and device cuda linked. What goes wrong on one rank ends all of them:
/// - a body throws: that error on its rank, SP502 with its words on the others, at once;
/// - a process ends, or a rank returns while others wait for it: SP502 naming it;
/// - nothing that is queued moves for `timeout_seconds`: SP502 (ranks that make different calls show as this);
/// - what was started does not fit together (world sizes, ranks, versions, ports): SP503 on all ranks, before the body is called.
#include <optional>
#include <type_traits>
#include <shardproof/engine/nccl/group.hpp>
#include <shardproof/engine/nccl/id_file.hpp>
namespace shardproof::nccl {

struct run_options {
  shardproof::mesh mesh{};
  double timeout_seconds = 300;         ///< how long queued collectives may stand still; infinity: for ever
  double start_seconds = 120;           ///< how long ranks wait for each other at the start
  std::optional<launch> start{};        ///< who this process is; else what the launcher says
  std::optional<place> where{};         ///< where the ranks meet; else what the environment says
};

namespace detail {

inline void check(const run_options& o, const launch& l) {
  const mesh& m = o.mesh;
  const std::string text = "a mesh of tp " + std::to_string(m.tp) + ", dp " + std::to_string(m.dp) + ", pp " + std::to_string(m.pp);
  if (m.tp < 1 || m.dp < 1 || m.pp < 1) throw error(code::usage, text + " has no ranks.", "give every axis at least one rank.");
  if (!(o.timeout_seconds > 0) || !(o.start_seconds > 0))
    throw error(code::usage, "a time limit of " + seconds_text(o.timeout_seconds > 0 ? o.start_seconds : o.timeout_seconds) + ".",
                "pass limits > 0; infinity waits for ever.");
  const long size = long(m.tp) * m.dp * m.pp;
  if (size == l.world_size) return;
  if (l.by == launcher::none && !o.start)
    throw error(code::no_launcher, text + " has " + std::to_string(size) + " ranks, and this process was started alone.",
                "start it by a launcher, such as torchrun --nproc-per-node " + std::to_string(size) +
                    " --no-python ...; ranks that are threads of one process: sp::run.");
  throw error(code::no_launcher, text + " has " + std::to_string(size) + " ranks, and the launcher started " + std::to_string(l.world_size) + ".",
              "make them the same.");
}
/// The device of this process: its rank on this machine. One that sees a single device has been given it.
inline int choose_device(const launch& l) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    (void)cudaGetLastError();
    throw error(code::no_device, "no such device: cuda.", "use device cpu, or run on a machine that has the device and its driver.");
  }
  if (count == 1) return 0;
  if (l.local_rank >= count)
    throw error(code::no_device,
                "no such device: rank " + std::to_string(l.rank) + " is number " + std::to_string(l.local_rank) + " on its machine, which has " +
                    std::to_string(count) + " GPUs.",
                "start a rank for each GPU; ranks that share one are threads: sp::run.");
  return l.local_rank >= 0 ? l.local_rank : l.rank % count;
}
inline unique_id new_id() {
  ncclUniqueId id;
  if (const ncclResult_t r = ncclGetUniqueId(&id); r != ncclSuccess) refuse_nccl(r, "an id for the run", nullptr);
  unique_id out;
  static_assert(sizeof id.internal == sizeof out);
  std::memcpy(out.data(), id.internal, sizeof out);
  return out;
}
inline ncclComm_t open_world(watch& w, const unique_id& id, const launch& l, double seconds) {
  ncclUniqueId given;
  std::memcpy(given.internal, id.data(), id.size());
  ncclConfig_t c = NCCL_CONFIG_INITIALIZER;
  c.blocking = 0;
  return w.open("the start of the world", seconds, nullptr, [&](ncclComm_t* to) { return ncclCommInitRankConfig(to, l.world_size, given, l.rank, &c); });
}
/// This rank's group on an axis: ranks whose other coordinates are its own.
inline std::unique_ptr<group> open_axis(group& world, const mesh& m, int world_rank, std::size_t a) {
  const spot here = m.at(world_rank);
  std::vector<int> members;
  int color = 0, number = 0;
  for (int r = 0; r < m.size(); ++r) {
    spot s = m.at(r), mine = here;
    if (s.rank[a] == 0) {                                // parts are numbered by their first rank
      mine.rank[a] = 0;
      if (s == mine) color = number;
      ++number;
    }
    s.rank[a] = mine.rank[a] = here.rank[a];
    if (s == mine) members.push_back(r);
  }
  return world.part(std::move(members), here.rank[a], color, axis_names[a]);
}

/// Whose failure a wait for the device tells; one run a thread.
inline thread_local fate* fate_of_run = nullptr;
inline void tell_failure() {
  if (fate_of_run && fate_of_run->failed()) fate_of_run->stop("a wait for the device");
}
inline const bool tells_failure = (device_link.after_wait = tell_failure, true);
/// What a run changes around its body.
struct surroundings {
  context before = self;
  int device = device_of_rank;
  fate* outer = fate_of_run;
  ~surroundings() {
    self = before;
    device_of_rank = device;
    fate_of_run = outer;
  }
};

/// The body of a run, by reference; not a template, so that the rest is compiled once.
struct body_of_run {
  void* what;
  void (*call)(void*, int);
};
inline void run_world(const run_options& o, const launch& l, backend& device, int device_number, body_of_run body) {
  int version = 0;
  (void)ncclGetVersion(&version);
  const place where = o.where ? *o.where : place_of(l);
  const newcomer me{l.rank, l.world_size, version};
  company c = where.file.empty() ? meet_by_tcp(where, me, new_id, o.start_seconds) : meet_by_file(where, me, new_id, o.start_seconds);
  fate f(l.rank, l.world_size, std::move(c.lines));
  watch w(f, l.rank, device_number, o.timeout_seconds);
  fate_of_run = &f;
  std::optional<group> world;                            // these outlive the abort of what they have queued
  std::unique_ptr<group> on[max_axes];
  try {
    std::vector<int> all(std::size_t(l.world_size));
    for (int r = 0; r < l.world_size; ++r) all[std::size_t(r)] = r;
    world.emplace(w, device, open_world(w, c.id, l, o.start_seconds), std::move(all), l.rank, "world");
    if (l.rank == 0) forget_id_file(where);
    self.world = &*world;
    for (std::size_t a = 0; a < max_axes; ++a)
      if (self.where.ranks[a] > 1) {
        on[a] = open_axis(*world, o.mesh, l.rank, a);
        self.on[a] = on[a].get();
      }
    body.call(body.what, l.rank);
    device.synchronize();
    f.leave();
    while (f.has_lines() && !f.others_have_returned() && !f.failed()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!f.failed()) w.close();
  } catch (...) {
    f.fail(std::current_exception());
    w.abort();
  }
  if (const auto cause = f.cause()) std::rethrow_exception(cause);
}
inline void run_rank(const run_options& o, body_of_run body) {
  const launch l = o.start ? *o.start : launch_environment();
  check(o, l);
  backend& device = backend_of(device_kind::cuda);
  const int number = choose_device(l);
  const surroundings restored;
  device_of_rank = number;
  check_cuda(cudaSetDevice(number), "the choice of a device");
  self = context{.where = o.mesh.at(l.rank), .device = &device};
  device.require();
  if (l.world_size == 1) return body.call(body.what, 0);
  if (!device_link.stream) throw error(code::no_backend, "device cuda does not tell its stream (runtime/device_stream.hpp)");
  run_world(o, l, device, number, body);
}

}  // namespace detail

/// Runs `body()` or `body(world_rank)` as this process's rank of the mesh; returns when the bodies of all ranks have returned (where
/// they met by a file: when this one's has). Throws the error of this rank's body, or SP502 about the rank that failed first.
/// @error SP001 a mesh without ranks; SP503 no launcher, or ranks that do not fit together; SP504 no GPU; SP505 device cuda is not linked
template <class F> void run(const run_options& o, F&& body) {
  static_assert(std::is_invocable_v<F&, int> || std::is_invocable_v<F&>, "sp::nccl::run takes body() or body(int world_rank)");
  detail::run_rank(o, {const_cast<void*>(static_cast<const void*>(std::addressof(body))), [](void* f, int r) {
                         auto& body_again = *static_cast<std::remove_reference_t<F>*>(f);
                         if constexpr (std::is_invocable_v<F&, int>) body_again(r);
                         else body_again();
                       }});
}
template <class F> void run(const mesh& m, F&& body) { run(run_options{.mesh = m}, body); }

}  // namespace shardproof::nccl

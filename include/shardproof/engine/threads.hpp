#pragma once
/// @file
/// The engine `threads`: the ranks of a mesh as threads of this process, without a launcher, MPI or sockets.
///
///     sp::run(4, [&] { train(); });                                            // four ranks of tp
///     sp::run(sp::mesh{.tp = 2, .dp = 2}, [&](int world_rank) { ... });
///     sp::run({.mesh = {.tp = 2}, .timeout_seconds = 2}, [&] { ... });         // a watchdog of two seconds
///
/// What goes wrong on one rank ends all of them, and `run` throws it:
/// - a body throws: that error, the first one, whatever it is;
/// - ranks make different collective calls, or wait for each other in different groups: SP501, on all ranks within 2 s;
/// - a rank returns while others wait for it: SP502 naming it, at once;
/// - a rank does not arrive in time: SP502 after `timeout_seconds`. Its waiting ranks are released, but a thread cannot be killed:
///   `run` waits until the late one returns or calls a collective.
/// A body may catch these errors, but the run has failed: its collectives throw again, and so does `run`.
#include <type_traits>
#include <shardproof/engine/threads/device_group.hpp>
#include <shardproof/engine/threads/group.hpp>
namespace shardproof {

struct run_options {
  shardproof::mesh mesh{};
  double timeout_seconds = 30;  ///< how long a rank waits in a collective for another; infinity: for ever
  device_kind device = device_kind::cpu;
  bool pin = true;  ///< each rank to a core, if there are enough and no other run is under way
};

namespace in_process {

/// More threads than this are a mistake.
inline constexpr long most_ranks = 4096;

inline void check(const run_options& o) {
  const mesh& m = o.mesh;
  const std::string text =
      "a mesh of tp " + std::to_string(m.tp) + ", dp " + std::to_string(m.dp) + ", pp " + std::to_string(m.pp);
  if (m.tp < 1 || m.dp < 1 || m.pp < 1) throw error(code::usage, text + " has no ranks.", "give every axis at least one rank.");
  if (m.tp > most_ranks || m.dp > most_ranks || m.pp > most_ranks || long(m.tp) * m.dp * m.pp > most_ranks)
    throw error(code::usage, text + " needs more than " + std::to_string(most_ranks) + " threads.",
                "use fewer ranks, or the engine mpi.");
  if (!(o.timeout_seconds > 0))
    throw error(code::usage, "a time limit of " + std::to_string(o.timeout_seconds) + " s.",
                "pass timeout_seconds > 0; infinity waits for ever.");
}

/// The CPU's backend is looked up when it is first used; another device must be linked and there now, or its ranks would use the CPU.
inline backend* device_for(device_kind d) {
  if (d == device_kind::cpu) return shardproof::detail::registered_backends[int(d)];
  backend_of(d).require();
  return &backend_of(d);
}

/// All groups of a mesh, and each rank's side of them.
class company {
 public:
  company(const run_options& o, bool crowded)
      : device_(device_for(o.device)),
        board_(o.mesh.size(), o.timeout_seconds),
        small_(crowded ? meeting::small_if_crowded : meeting::small),
        ranks_(std::size_t(o.mesh.size())) {
    const mesh& m = o.mesh;
    const int strides[max_axes] = {1, m.tp, m.tp * m.dp};
    if (m.size() > 1)
      found(
          0, 1, m.size(), "world", [](member & r) -> auto& { return r.world; });
    for (int r = 0; r < m.size(); ++r)
      for (std::size_t a = 0; a < max_axes; ++a)
        if (const spot s = m.at(r); s.rank[a] == 0 && s.ranks[a] > 1)
          found(
              r, strides[a], s.ranks[a], axis_names[a], [a](member & k) -> auto& { return k.on[a]; });
  }
  board& fate() { return board_; }
  context context_of(int r, const run_options& o) const {
    const member& k = ranks_[std::size_t(r)];
    context c{.where = o.mesh.at(r), .world = k.world.get(), .device = device_};
    for (std::size_t a = 0; a < max_axes; ++a) c.on[a] = k.on[a].get();
    return c;
  }

 private:
  struct member {
    std::unique_ptr<communicator> world, on[max_axes];
  };
  template <class Where> void found(int first, int stride, int size, const char* name, Where where) {
    std::vector<int> members;
    for (int i = 0; i < size; ++i) members.push_back(first + i * stride);
    meetings_.push_back(std::make_unique<meeting>(members, name, small_));
    for (int i = 0; i < size; ++i)
      where(ranks_[std::size_t(members[std::size_t(i)])]) = side_of(*meetings_.back(), i);
  }
  std::unique_ptr<communicator> side_of(meeting& m, int i) {
    if (device_ && !device_->host_memory()) return std::make_unique<device_group>(board_, m, i, *device_);
    return std::make_unique<group>(board_, m, i);
  }
  backend* device_;
  board board_;
  std::size_t small_;
  std::vector<std::unique_ptr<meeting>> meetings_;
  std::vector<member> ranks_;
};

/// The body of a run, by reference; not a template, so that the rest of `run` is compiled once.
struct body_of_run {
  void* what;
  void (*call)(void*, int);
};

/// One rank alone stays on the caller's thread.
inline void run_alone(const run_options& o, body_of_run body) {
  struct restore_self {
    context before = self;
    ~restore_self() { self = before; }
  } restore;
  self = context{.where = o.mesh.at(0), .device = device_for(o.device)};
  body.call(body.what, 0);
}

inline void run_together(const run_options& o, body_of_run body) {
  const int size = o.mesh.size();
  const std::vector<int> cores = usable_cores();
  company all(o, std::size_t(size) > cores.size());
  struct presence {
    int ranks;
    bool alone = live_ranks.fetch_add(ranks) == 0;
    ~presence() { live_ranks.fetch_sub(ranks); }
  } here{size};
  live_cores.store(int(cores.size()));
  const bool pin = o.pin && here.alone && std::size_t(size) <= cores.size(), nested = !cores_before_pinning.empty();
  (void)stopwatch::rate();

  const auto rank_thread = [&](int r) {
    if (pin) {
      cores_before_pinning = cores;
      bind_to({cores[std::size_t(r)]});
    } else if (nested) bind_to(cores);  // a thread inherits the binding of the rank that starts it
    try {
      self = all.context_of(r, o);
      body.call(body.what, r);
    } catch (...) { all.fate().fail(r, std::current_exception()); }
    all.fate().returned(r);
  };
  std::vector<std::thread> threads;
  threads.reserve(std::size_t(size));
  try {
    for (int r = 0; r < size; ++r) threads.emplace_back(rank_thread, r);
  } catch (const std::exception& e) {
    all.fate().fail(error(code::rank_lost, "rank " + std::to_string(threads.size()) + " could not be started: " + e.what() + ".",
                          "use fewer ranks, or raise the limit on threads."));
  }
  for (std::thread& t : threads) t.join();
  if (const auto cause = all.fate().cause()) std::rethrow_exception(cause);
}

}  // namespace in_process

/// Runs `body()` or `body(world_rank)` on every rank of the mesh, each with its own `sp::self`; returns when all have returned.
/// The body is one object, shared by all ranks. Calls may be nested, repeated and concurrent. Throws the error of the rank that
/// failed first; SP001 for a mesh without ranks, SP505 for a device whose backend is not linked.
template <class F> void run(const run_options& o, F&& body) {
  static_assert(std::is_invocable_v<F&, int> || std::is_invocable_v<F&>, "sp::run takes body() or body(int world_rank)");
  in_process::check(o);
  (void)in_process::device_for(o.device);
  const in_process::body_of_run call{const_cast<void*>(static_cast<const void*>(std::addressof(body))), [](void* f, int r) {
                                       auto& body_again = *static_cast<std::remove_reference_t<F>*>(f);
                                       if constexpr (std::is_invocable_v<F&, int>) body_again(r);
                                       else body_again();
                                     }};
  if (o.mesh.size() == 1) in_process::run_alone(o, call);
  else in_process::run_together(o, call);
}
template <class F> void run(const mesh& m, F&& body) { run(run_options{.mesh = m}, body); }
/// `tp` ranks of tensor parallelism.
template <class F> void run(int tp, F&& body) { run(run_options{.mesh = {.tp = tp}}, body); }

}  // namespace shardproof

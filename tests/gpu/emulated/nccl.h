#pragma once
/// @file
/// NCCL without GPUs: ranks are threads of this process, buffers lie in the emulated memory, and an operation is done when all ranks
/// have called it; until then its communicator says that it is in progress, which is how one that does not block answers.
///
///     nccl_emulated::counts.broadcasts                                 // calls of each kind so far, of all ranks
///     nccl_emulated::now.broken_rank = 1;                              // rank 1's communicators tell a remote error
///
/// Ranks that call different things, or exchange different counts, wait for ever, as they do on GPUs. A buffer outside of the emulated
/// memory ends the program.
#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
#include <cuda_runtime.h>
#include <shardproof/runtime/dtype.hpp>

#define NCCL_MAJOR 2
#define NCCL_MINOR 28
#define NCCL_PATCH 9
#define NCCL_VERSION_CODE 22809
#define NCCL_UNIQUE_ID_BYTES 128
#define NCCL_CONFIG_UNDEF_INT INT_MIN
#define NCCL_SPLIT_NOCOLOR -1

enum ncclResult_t {
  ncclSuccess, ncclUnhandledCudaError, ncclSystemError, ncclInternalError, ncclInvalidArgument, ncclInvalidUsage, ncclRemoteError, ncclInProgress
};
enum ncclRedOp_t { ncclSum = 0, ncclMax = 2, ncclMin = 3 };
enum ncclDataType_t { ncclInt8 = 0, ncclUint8 = 1, ncclInt32 = 2, ncclInt64 = 4, ncclFloat16 = 6, ncclFloat32 = 7, ncclFloat64 = 8, ncclBfloat16 = 9 };
struct ncclUniqueId { char internal[NCCL_UNIQUE_ID_BYTES]; };
struct ncclConfig_t { int blocking; };
#define NCCL_CONFIG_INITIALIZER { NCCL_CONFIG_UNDEF_INT }

struct ncclComm;
namespace nccl_emulated {

struct behaviour {
  std::atomic<int> broken_rank{-1};                      ///< of the world
  std::atomic<int> refuses{0};                           ///< an ncclResult_t that the next start of a world answers
};
inline behaviour now;
struct counters {
  std::atomic<long> all_reduces{0}, all_gathers{0}, reduce_scatters{0}, broadcasts{0}, reduces{0}, sends{0}, splits{0}, aborted{0}, destroyed{0}, open{0};
};
inline counters counts;

enum class kind { all_reduce, all_gather, reduce_scatter, broadcast, reduce, send, receive, split };
struct post {
  kind what{};
  const void* from = nullptr;
  void* to = nullptr;
  std::size_t count = 0;
  ncclDataType_t type{};
  ncclRedOp_t how{};
  int peer = 0;                                          ///< or the root; split: the color
  int key = 0;
  ncclComm** made = nullptr;
  std::size_t from_bytes = 0, to_bytes = 0;
  std::shared_ptr<std::atomic<bool>> done = std::make_shared<std::atomic<bool>>(false);
};
/// What the ranks of one communicator share.
struct clique {
  std::mutex lock;
  int size = 0, joined = 0;
  std::atomic<bool> dead{false};
  std::vector<int> world;                                ///< ranks of the world
  std::map<long, std::vector<std::unique_ptr<post>>> meetings;             ///< by number of the collective
  std::map<std::pair<int, int>, std::deque<post>> sends, receives;         ///< by who to whom
};
inline std::mutex lock_of_all;
inline std::map<std::string, std::shared_ptr<clique>> cliques;

inline shardproof::dtype type_of(ncclDataType_t t) {
  using shardproof::dtype;
  switch (t) {
    case ncclInt8: return dtype::i8;
    case ncclUint8: return dtype::u8;
    case ncclInt32: return dtype::i32;
    case ncclInt64: return dtype::i64;
    case ncclFloat16: return dtype::f16;
    case ncclFloat64: return dtype::f64;
    case ncclBfloat16: return dtype::bf16;
    default: return dtype::f32;
  }
}
inline std::size_t bytes(std::size_t count, ncclDataType_t t) { return count * shardproof::bytes_of(type_of(t)); }
/// The lock of the memory is held.
inline bool is_there(const void* p, std::size_t n) {
  if (n == 0) return true;
  for (const auto& [at, size] : cuda_emulated::memory)
    if (p >= at && static_cast<const char*>(p) + n <= static_cast<const char*>(at) + size) return true;
  return false;
}
inline void check_memory(const post& p) {
  const std::lock_guard guard(cuda_emulated::memory_lock);
  if (!is_there(p.from, p.from_bytes) || !is_there(p.to, p.to_bytes)) cuda_emulated::wrong("NCCL is given a buffer outside of the memory");
}
/// out = the reduction of elements [first, first + count) of all `from`, in rank order.
inline std::vector<char> reduced(const std::vector<std::unique_ptr<post>>& all, std::size_t first, std::size_t count, const post& as) {
  std::vector<char> out(bytes(count, as.type));
  shardproof::visit(type_of(as.type), [&](auto zero) {
    using T = decltype(zero);
    for (std::size_t i = 0; i < count; ++i) {
      T sum{};
      for (std::size_t r = 0; r < all.size(); ++r) {
        const T x = static_cast<const T*>(all[r]->from)[first + i];
        if (r == 0) sum = x;
        else if (as.how == ncclMax) sum = x > sum ? x : sum;
        else if (as.how == ncclMin) sum = x < sum ? x : sum;
        else sum = T(sum + x);
      }
      std::memcpy(out.data() + i * sizeof(T), &sum, sizeof(T));
    }
  });
  return out;
}
inline bool fit(const post& a, const post& b) {
  return a.what == b.what && (a.what == kind::split || (a.count == b.count && a.type == b.type && a.how == b.how && a.peer == b.peer));
}

}  // namespace nccl_emulated

struct ncclComm {
  std::shared_ptr<nccl_emulated::clique> c;
  int rank = 0;
  long calls = 0;
  std::deque<std::shared_ptr<std::atomic<bool>>> waits_for;
};
using ncclComm_t = ncclComm*;

namespace nccl_emulated {

inline void split_all(clique& c, std::vector<std::unique_ptr<post>>& all) {
  std::map<int, std::vector<int>> by_color;
  for (int r = 0; r < c.size; ++r)
    if (all[std::size_t(r)]->peer != NCCL_SPLIT_NOCOLOR) by_color[all[std::size_t(r)]->peer].push_back(r);
  for (auto& [color, ranks] : by_color) {
    std::stable_sort(ranks.begin(), ranks.end(), [&](int a, int b) { return all[std::size_t(a)]->key < all[std::size_t(b)]->key; });
    auto part = std::make_shared<clique>();
    part->size = part->joined = int(ranks.size());
    for (int r : ranks) part->world.push_back(c.world[std::size_t(r)]);
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      *all[std::size_t(ranks[i])]->made = new ncclComm{part, int(i), 0, {}};
      ++counts.open;
    }
  }
}
/// All have come: moves the data.
inline void perform(clique& c, std::vector<std::unique_ptr<post>>& all) {
  const post& a = *all[0];
  const std::size_t n = bytes(a.count, a.type);
  if (a.what == kind::all_reduce) {
    const std::vector<char> sum = reduced(all, 0, a.count, a);
    for (auto& p : all) std::memcpy(p->to, sum.data(), n);
  } else if (a.what == kind::all_gather) {
    std::vector<char> whole;
    for (auto& p : all) whole.insert(whole.end(), static_cast<const char*>(p->from), static_cast<const char*>(p->from) + n);
    for (auto& p : all) std::memcpy(p->to, whole.data(), whole.size());
  } else if (a.what == kind::reduce_scatter) {
    std::vector<std::vector<char>> parts;
    for (std::size_t r = 0; r < all.size(); ++r) parts.push_back(reduced(all, r * a.count, a.count, a));
    for (std::size_t r = 0; r < all.size(); ++r) std::memcpy(all[r]->to, parts[r].data(), n);
  } else if (a.what == kind::broadcast) {
    const std::vector<char> whole(static_cast<const char*>(all[std::size_t(a.peer)]->from), static_cast<const char*>(all[std::size_t(a.peer)]->from) + n);
    for (auto& p : all) std::memcpy(p->to, whole.data(), n);
  } else if (a.what == kind::reduce) {
    const std::vector<char> sum = reduced(all, 0, a.count, a);
    std::memcpy(all[std::size_t(a.peer)]->to, sum.data(), n);
  } else split_all(c, all);
  for (auto& p : all) p->done->store(true);
}
inline void exchange(clique& c, std::pair<int, int> way) {
  auto &s = c.sends[way], &r = c.receives[way];
  const std::lock_guard guard(cuda_emulated::memory_lock);
  if (!s.empty() && !r.empty() && !(is_there(s.front().from, s.front().from_bytes) && is_there(r.front().to, r.front().to_bytes))) return void(c.dead = true);
  while (!s.empty() && !r.empty() && s.front().count == r.front().count && s.front().type == r.front().type) {
    std::memcpy(r.front().to, s.front().from, bytes(s.front().count, s.front().type));
    s.front().done->store(true);
    r.front().done->store(true);
    s.pop_front();
    r.pop_front();
  }
}
inline void enter(ncclComm& comm, const post& p) {
  clique& c = *comm.c;
  const std::lock_guard guard(c.lock);
  if (c.dead) return;
  if (p.what == kind::send || p.what == kind::receive) {
    const std::pair<int, int> way = p.what == kind::send ? std::pair{comm.rank, p.peer} : std::pair{p.peer, comm.rank};
    (p.what == kind::send ? c.sends : c.receives)[way].push_back(p);
    return exchange(c, way);
  }
  auto& all = c.meetings[comm.calls++];
  all.resize(std::size_t(c.size));
  all[std::size_t(comm.rank)] = std::make_unique<post>(p);
  for (const auto& q : all)
    if (!q || !fit(*q, p)) return;
  const std::lock_guard memory(cuda_emulated::memory_lock);
  for (const auto& q : all)                              // a rank that failed released its buffers; on a GPU they would wait for the kernel
    if (!is_there(q->from, q->from_bytes) || !is_there(q->to, q->to_bytes)) return void(c.dead = true);
  perform(c, all);
  c.meetings.erase(comm.calls - 1);
}
inline thread_local int depth = 0;
inline thread_local std::vector<std::tuple<ncclComm*, post, cudaStream_t>> grouped;
inline void begin(ncclComm& comm, const post& p, cudaStream_t s) {
  if (s && s->capture) {                                 // when the graph runs, its rank waits there
    cuda_emulated::queue(s, [&comm, c = comm.c, p] {
      post again = p;
      again.done = std::make_shared<std::atomic<bool>>(false);
      if (!c->dead) enter(comm, again);
      while (!again.done->load() && !c->dead) std::this_thread::yield();
    });
    return;
  }
  comm.waits_for.push_back(p.done);
  enter(comm, p);
}
inline ncclResult_t state_of(ncclComm& comm) {
  if (now.broken_rank >= 0 && comm.c->world[std::size_t(comm.rank)] == now.broken_rank) return ncclRemoteError;
  {
    const std::lock_guard guard(comm.c->lock);
    if (comm.c->joined < comm.c->size) return ncclInProgress;
  }
  while (!comm.waits_for.empty() && comm.waits_for.front()->load()) comm.waits_for.pop_front();
  return comm.waits_for.empty() ? ncclSuccess : ncclInProgress;
}
inline ncclResult_t add(ncclComm& comm, post p, cudaStream_t s, std::size_t from_bytes, std::size_t to_bytes) {
  if (p.peer < 0 || p.peer >= comm.c->size) return ncclInvalidArgument;
  p.from_bytes = from_bytes, p.to_bytes = to_bytes;
  check_memory(p);
  if (depth) {
    grouped.emplace_back(&comm, p, s);
    return ncclSuccess;
  }
  begin(comm, p, s);
  return state_of(comm);
}

}  // namespace nccl_emulated

inline const char* ncclGetErrorString(ncclResult_t r) {
  constexpr const char* names[] = {"no error", "unhandled cuda error", "unhandled system error", "internal error", "invalid argument", "invalid usage",
                                   "remote process exited or there was a network error", "NCCL operation in progress"};
  return names[int(r)];
}
inline const char* ncclGetLastError(ncclComm_t) { return ""; }
inline ncclResult_t ncclGetVersion(int* v) { *v = NCCL_VERSION_CODE; return ncclSuccess; }
inline ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<unsigned long> count{0};
  std::memset(id, 0, sizeof *id);
  const unsigned long n = ++count;
  std::memcpy(id->internal, &n, sizeof n);
  for (std::size_t i = sizeof n; i < sizeof id->internal; ++i) id->internal[i] = char(i * n);
  return ncclSuccess;
}
inline ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank, ncclConfig_t* config) {
  using namespace nccl_emulated;
  if (config->blocking != 0) cuda_emulated::wrong("only communicators that do not block are emulated");
  if (const int r = now.refuses.exchange(0)) return ncclResult_t(r);
  const std::lock_guard guard(lock_of_all);
  auto& c = cliques[std::string(id.internal, sizeof id.internal)];
  if (!c) {
    c = std::make_shared<clique>();
    c->size = size;
    for (int r = 0; r < size; ++r) c->world.push_back(r);
  }
  const std::lock_guard inner(c->lock);
  ++c->joined;
  ++counts.open;
  *comm = new ncclComm{c, rank, 0, {}};
  return ncclInProgress;
}
inline ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* made, ncclConfig_t* config) {
  using namespace nccl_emulated;
  if (config->blocking != 0) cuda_emulated::wrong("only communicators that do not block are emulated");
  ++counts.splits;
  post p;
  p.what = kind::split, p.peer = color, p.key = key, p.made = made;
  begin(*comm, p, nullptr);
  return ncclInProgress;
}
inline ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* r) { *r = nccl_emulated::state_of(*comm); return ncclSuccess; }
inline ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclInProgress; }
inline ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  ++nccl_emulated::counts.destroyed;
  --nccl_emulated::counts.open;
  delete comm;
  return ncclSuccess;
}
inline ncclResult_t ncclCommAbort(ncclComm_t comm) {
  {
    const std::lock_guard guard(comm->c->lock);
    comm->c->dead = true;                                // its buffers may go from here on
    comm->c->meetings.clear();
    comm->c->sends.clear();
    comm->c->receives.clear();
  }
  ++nccl_emulated::counts.aborted;
  --nccl_emulated::counts.open;
  delete comm;
  return ncclSuccess;
}
inline ncclResult_t ncclGroupStart() { ++nccl_emulated::depth; return ncclSuccess; }
inline ncclResult_t ncclGroupEnd() {
  using namespace nccl_emulated;
  if (--depth) return ncclSuccess;
  ncclResult_t r = ncclSuccess;
  for (auto& [comm, p, s] : std::exchange(grouped, {})) begin(*comm, p, s), r = ncclInProgress;
  return r;
}
inline ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count, ncclDataType_t t, ncclRedOp_t how, ncclComm_t comm, cudaStream_t s) {
  using namespace nccl_emulated;
  ++counts.all_reduces;
  return add(*comm, {kind::all_reduce, from, to, count, t, how}, s, bytes(count, t), bytes(count, t));
}
inline ncclResult_t ncclAllGather(const void* from, void* to, std::size_t count, ncclDataType_t t, ncclComm_t comm, cudaStream_t s) {
  using namespace nccl_emulated;
  ++counts.all_gathers;
  return add(*comm, {kind::all_gather, from, to, count, t, ncclSum}, s, bytes(count, t), bytes(count, t) * std::size_t(comm->c->size));
}
inline ncclResult_t ncclReduceScatter(const void* from, void* to, std::size_t count, ncclDataType_t t, ncclRedOp_t how, ncclComm_t comm, cudaStream_t s) {
  using namespace nccl_emulated;
  ++counts.reduce_scatters;
  return add(*comm, {kind::reduce_scatter, from, to, count, t, how}, s, bytes(count, t) * std::size_t(comm->c->size), bytes(count, t));
}
inline ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t count, ncclDataType_t t, int root, ncclComm_t comm, cudaStream_t s) {
  using namespace nccl_emulated;
  ++counts.broadcasts;
  return add(*comm, {kind::broadcast, from, to, count, t, ncclSum, root}, s, comm->rank == root ? bytes(count, t) : 0, bytes(count, t));
}
inline ncclResult_t ncclReduce(const void* from, void* to, std::size_t count, ncclDataType_t t, ncclRedOp_t how, int root, ncclComm_t comm, cudaStream_t s) {
  using namespace nccl_emulated;
  ++counts.reduces;
  return add(*comm, {kind::reduce, from, to, count, t, how, root}, s, bytes(count, t), comm->rank == root ? bytes(count, t) : 0);
}
inline ncclResult_t ncclSend(const void* from, std::size_t count, ncclDataType_t t, int peer, ncclComm_t comm, cudaStream_t s) {
  using namespace nccl_emulated;
  ++counts.sends;
  return add(*comm, {kind::send, from, nullptr, count, t, ncclSum, peer}, s, bytes(count, t), 0);
}
inline ncclResult_t ncclRecv(void* to, std::size_t count, ncclDataType_t t, int peer, ncclComm_t comm, cudaStream_t s) {
  using namespace nccl_emulated;
  return add(*comm, {kind::receive, nullptr, to, count, t, ncclSum, peer}, s, 0, bytes(count, t));
}

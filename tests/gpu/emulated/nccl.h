#pragma once
/// @file
/// NCCL without GPUs: ranks are threads of this process, or processes that exchange files (nccl_processes.h), buffers lie in the
/// emulated memory, and an operation is done when all ranks have called it; until then its communicator says that it is in progress,
/// which is how one that does not block answers.
///
///     nccl_emulated::counts.broadcasts                                 // calls of each kind so far, of all ranks
///     nccl_emulated::now.broken_rank = 1;                              // rank 1's communicators tell a remote error
///
/// Ranks that call different things, or exchange different counts, wait for ever, as they do on GPUs. A buffer outside of the emulated
/// memory ends the program.
#include <thread>
#include <tuple>
#include <utility>
#include <unistd.h>
#include "nccl_processes.h"

namespace nccl_emulated {

inline void enter(ncclComm& comm, const post& p) {
  clique& c = *comm.c;
  const std::lock_guard guard(c.lock);
  if (c.dead) return;
  if (c.files.used()) return enter_by_files(comm, p);
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
  perform(c, all, comm.calls - 1);
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
      while (!again.done->load() && !c->dead) {
        if (c->files.used()) look(*c);
        std::this_thread::yield();
      }
    });
    return;
  }
  comm.waits_for.push_back(p.done);
  enter(comm, p);
}
inline ncclResult_t state_of(ncclComm& comm) {
  if (now.broken_rank >= 0 && comm.c->world[std::size_t(comm.rank)] == now.broken_rank) return ncclRemoteError;
  if (comm.c->files.used()) look(*comm.c);
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
  const unsigned long n = (static_cast<unsigned long>(::getpid()) << 32) + ++count;     // another one in each process
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
  unsigned long number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  c->files = mailbox("world" + std::to_string(number), rank);
  if (c->files.used()) c->files.put("joined" + std::to_string(rank), "");
  else ++c->joined;
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

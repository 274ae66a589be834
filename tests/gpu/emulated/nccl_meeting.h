#pragma once
/// @file
/// What ranks of the emulated NCCL do together once all of them have come: NCCL's types, and its operations on all ranks' buffers.
///
///     nccl_emulated::perform(clique, posts, call);                     // one post a rank: moves the data
///     nccl_emulated::exchange(clique, {0, 1});                         // what rank 0 sends and rank 1 receives
#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>
#include <cuda_runtime.h>
#include <shardproof/runtime/dtype.hpp>
#include "nccl_files.h"

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
  std::string room{};                                    ///< of a rank in another process: its bytes, and a place for what it gets
};
/// What the ranks of one communicator share.
struct clique {
  std::mutex lock;
  int size = 0, joined = 0;
  std::atomic<bool> dead{false};
  std::vector<int> world;                                ///< ranks of the world
  std::map<long, std::vector<std::unique_ptr<post>>> meetings;             ///< by number of the collective
  std::map<std::pair<int, int>, std::deque<post>> sends, receives;         ///< by who to whom
  mailbox files;                                         ///< of ranks that are processes
  std::map<std::pair<int, int>, long> sent, passed;      ///< so many of them, by who to whom
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

inline void split_all(clique& c, std::vector<std::unique_ptr<post>>& all, long call) {
  std::map<int, std::vector<int>> by_color;
  for (int r = 0; r < c.size; ++r)
    if (all[std::size_t(r)]->peer != NCCL_SPLIT_NOCOLOR) by_color[all[std::size_t(r)]->peer].push_back(r);
  for (auto& [color, ranks] : by_color) {
    std::stable_sort(ranks.begin(), ranks.end(), [&](int a, int b) { return all[std::size_t(a)]->key < all[std::size_t(b)]->key; });
    auto part = std::make_shared<clique>();
    part->size = part->joined = int(ranks.size());
    for (int r : ranks) part->world.push_back(c.world[std::size_t(r)]);
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      if (c.files.used() && ranks[i] != c.files.rank()) continue;
      part->files = c.files.part(std::to_string(call) + "-" + std::to_string(color), int(i));
      *all[std::size_t(ranks[i])]->made = new ncclComm{part, int(i), 0, {}};
      ++counts.open;
    }
  }
}
/// All have come: moves the data.
inline void perform(clique& c, std::vector<std::unique_ptr<post>>& all, long call) {
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
  } else split_all(c, all, call);
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

}  // namespace nccl_emulated

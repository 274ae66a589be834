#pragma once
/// @file
/// Ranks of the emulated NCCL that are processes: each writes its own posts, and does with all of them what threads do together.
///
///     nccl_emulated::enter_by_files(comm, post);                       // others will see it
///     nccl_emulated::look(clique);                                     // takes in what has come
#include "nccl_meeting.h"
namespace nccl_emulated {

struct letter {
  kind what;
  std::size_t count;
  ncclDataType_t type;
  ncclRedOp_t how;
  int peer, key;
  std::size_t from_bytes, to_bytes;
};
inline void put(const clique& c, const std::string& name, const post& p) {
  const letter l{p.what, p.count, p.type, p.how, p.peer, p.key, p.from_bytes, p.to_bytes};
  c.files.put(name, std::string(reinterpret_cast<const char*>(&l), sizeof l).append(static_cast<const char*>(p.from), p.from_bytes));
}
/// Null: it has not come yet.
inline std::unique_ptr<post> get(const clique& c, const std::string& name) {
  auto bytes = c.files.get(name);
  if (!bytes) return nullptr;
  letter l{};
  std::memcpy(&l, bytes->data(), sizeof l);
  auto p = std::make_unique<post>();
  p->what = l.what, p->count = l.count, p->type = l.type, p->how = l.how, p->peer = l.peer, p->key = l.key;
  p->room = std::move(*bytes);
  p->room.resize(sizeof l + l.from_bytes + l.to_bytes);
  p->from = p->room.data() + sizeof l;
  p->to = p->room.data() + sizeof l + l.from_bytes;
  return p;
}
inline std::string name_of(std::pair<int, int> way, long n) {
  return std::to_string(way.first) + "to" + std::to_string(way.second) + "." + std::to_string(n);
}
/// Takes in what has come.
inline void look(clique& c) {
  const std::lock_guard guard(c.lock);
  if (c.dead) return;
  for (; c.joined < c.size && c.files.get("joined" + std::to_string(c.joined)); ++c.joined) {}
  for (auto meeting = c.meetings.begin(); meeting != c.meetings.end();) {
    auto& [call, all] = *meeting;
    bool whole = true;
    for (std::size_t r = 0; r < all.size(); ++r) {
      if (!all[r]) all[r] = get(c, std::to_string(call) + "." + std::to_string(r));
      whole = whole && all[r] && fit(*all[r], *all[std::size_t(c.files.rank())]);
    }
    if (!whole) {
      ++meeting;
      continue;
    }
    perform(c, all, call);
    meeting = c.meetings.erase(meeting);
  }
  for (auto& [way, waiting] : c.receives)
    for (std::unique_ptr<post> sent; !waiting.empty() && (sent = get(c, name_of(way, c.passed[way]))); ++c.passed[way]) {
      const post& p = waiting.front();
      if (sent->count != p.count || sent->type != p.type) break;
      std::memcpy(p.to, sent->from, bytes(p.count, p.type));
      p.done->store(true);
      waiting.pop_front();
    }
}
inline void enter_by_files(ncclComm& comm, const post& p) {
  clique& c = *comm.c;
  if (p.what == kind::send) {
    const std::pair<int, int> way{comm.rank, p.peer};
    put(c, name_of(way, c.sent[way]++), p);
    p.done->store(true);
  } else if (p.what == kind::receive) c.receives[{p.peer, comm.rank}].push_back(p);
  else {
    const long call = comm.calls++;
    put(c, std::to_string(call) + "." + std::to_string(comm.rank), p);
    auto& all = c.meetings[call];
    all.resize(std::size_t(c.size));
    all[std::size_t(comm.rank)] = std::make_unique<post>(p);
  }
}

}  // namespace nccl_emulated

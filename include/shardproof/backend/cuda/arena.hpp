#pragma once
/// @file
/// The memory of a captured step: addresses that stay the same whenever the step is run again. No CUDA is needed to test it.
///
///     sp::cuda::arena a(take_slab, give_slab);             // functions that get and return large blocks
///     void* p = a.take(1000);  a.give(p);                  // first fit by address; neighbours are joined
///     a.holds(p);                                          // is it of this arena?
///
/// A block that is released while the step is captured serves later tensors of that step, as the queue runs them in order. What
/// is released afterwards is not used again, since the step writes there each time.
#include <cstddef>
#include <map>
namespace shardproof::cuda {

class arena {
 public:
  using get_slab = void* (*)(std::size_t);
  using drop_slab = void (*)(void*, std::size_t);
  static constexpr std::size_t alignment = 256, slab_bytes = std::size_t(32) << 20;

  arena(get_slab get, drop_slab drop) : get_(get), drop_(drop) {}
  arena(const arena&) = delete;
  ~arena() { for (const auto& [p, n] : slabs_) drop_(p, n); }

  void* take(std::size_t bytes) {
    const std::size_t n = (bytes + alignment - 1) / alignment * alignment;
    auto at = free_.begin();
    while (at != free_.end() && at->second < n) ++at;
    if (at == free_.end()) {
      const std::size_t room = n > slab_bytes ? n : slab_bytes;
      char* const p = static_cast<char*>(get_(room));
      slabs_[p] = room;
      at = free_.emplace(p, room).first;
    }
    char* const p = at->first;
    const std::size_t rest = at->second - n;
    free_.erase(at);
    if (rest) free_.emplace(p + n, rest);
    used_[p] = n;
    return p;
  }
  void give(void* p) {
    const auto block = used_.find(static_cast<char*>(p));
    auto [begin, bytes] = *block;
    used_.erase(block);
    if (closed_) return;
    auto next = free_.lower_bound(begin);
    if (next != free_.end() && begin + bytes == next->first && !slabs_.contains(next->first)) {
      bytes += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin() && !slabs_.contains(begin)) {
      const auto before = std::prev(next);
      if (before->first + before->second == begin) {
        before->second += bytes;
        return;
      }
    }
    free_.emplace(begin, bytes);
  }
  /// The step is captured: from now on nothing is used again.
  void close() { closed_ = true; }
  bool holds(const void* p) const { return used_.contains(static_cast<char*>(const_cast<void*>(p))); }
  /// Blocks that tensors hold.
  std::size_t held() const { return used_.size(); }
  std::size_t bytes() const {
    std::size_t n = 0;
    for (const auto& [p, room] : slabs_) n += room;
    return n;
  }

 private:
  get_slab get_;
  drop_slab drop_;
  std::map<char*, std::size_t> slabs_, free_, used_;
  bool closed_ = false;
};

}  // namespace shardproof::cuda

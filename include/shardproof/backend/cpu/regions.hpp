#pragma once
/// @file
/// Regions of huge pages that blocks of a middling size share: a weight of 1 MiB alone would lie in pages of 4 KiB.
///
///     void* p = regions().take(bytes);  ...  regions().give(p, bytes);
///
/// Measured on Zen 4 with two ranks: a cold matrix of 1.2 MiB is read at 16 GB/s in small pages and at 26 GB/s in huge ones. Each
/// thread fills regions of its own, so that memory lies near the core that first touches it. A region whose blocks have all come
/// back is returned to the system.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>
#if defined(__linux__)
# include <sched.h>
# include <sys/mman.h>
#endif
namespace shardproof::cpu {

#if defined(__linux__)
class region_store {
  struct block { std::size_t bytes; char* p; };
  struct region {
    char* start;
    const void* owner;                                       ///< a thread, by the address of a variable of its own
    std::size_t filled = 0;                                  ///< bytes dealt out so far, from the start
    long out = 0;                                            ///< blocks in use
    std::vector<block> back{};                               ///< blocks that came back
  };
  static constexpr std::size_t size = std::size_t(32) << 20, page = 4096, huge = std::size_t(2) << 20;
  static constexpr std::size_t in_pages(std::size_t bytes) { return (bytes + page - 1) / page * page; }
  std::vector<region> all_;
  std::atomic_flag busy_;                                    // <mutex> and <thread> are dear to include
  struct guard {
    std::atomic_flag& flag;
    explicit guard(std::atomic_flag& f) : flag(f) {
      while (flag.test_and_set(std::memory_order_acquire)) sched_yield();
    }
    ~guard() { flag.clear(std::memory_order_release); }
    guard(const guard&) = delete;
  };

  region& open(const void* me) {
    char* const mapped = static_cast<char*>(mmap(nullptr, size + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    const std::size_t before = (huge - reinterpret_cast<std::uintptr_t>(mapped) % huge) % huge;
    char* const start = mapped + before;
    if (before) munmap(mapped, before);
    if (before < huge) munmap(start + size, huge - before);
    madvise(start, size, MADV_HUGEPAGE);
    return all_.emplace_back(region{start, me});
  }

 public:
  static constexpr std::size_t largest = size / 2;
  /// A block of `bytes` <= largest, at a page's start; not cleared.
  void* take(std::size_t bytes) {
    static thread_local char mine;
    const std::size_t n = in_pages(bytes);
    const guard alone(busy_);
    region* room = nullptr;
    for (region& r : all_) {
      for (block& b : r.back)
        if (b.bytes == n) {
          char* const p = b.p;
          b = r.back.back();
          r.back.pop_back();
          ++r.out;
          return p;
        }
      if (!room && r.owner == &mine && r.filled + n <= size) room = &r;
    }
    if (!room) room = &open(&mine);
    ++room->out;
    return room->start + std::exchange(room->filled, room->filled + n);
  }
  void give(void* p, std::size_t bytes) noexcept {
    char* const at = static_cast<char*>(p);
    const guard alone(busy_);
    for (region& r : all_) {
      if (at < r.start || at >= r.start + size) continue;
      if (--r.out == 0) {
        munmap(r.start, size);
        if (&r != &all_.back()) r = std::move(all_.back());
        all_.pop_back();
      } else {
        try {
          r.back.push_back({in_pages(bytes), at});
        } catch (...) {                                      // no memory for the note: the block waits for its region's end
        }
      }
      return;
    }
  }
  std::size_t count() {
    const guard alone(busy_);
    return all_.size();
  }
};
inline region_store& regions() {
  static region_store& store = *new region_store;            // never destroyed: tensors in static variables outlive it otherwise
  return store;
}
#endif

}  // namespace shardproof::cpu

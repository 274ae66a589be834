#pragma once
/// @file
/// Blocks of memory for one rank: aligned to 64 bytes, kept by size class when released, large ones in huge pages.
///
///     void* p = memory().take(bytes);  ...  memory().give(p, bytes);
///     scratch<float> panel(n);                              // freed at the end of the scope
///     std::printf("%zu bytes at most\n", sp::cpu_memory().peak);
///
/// Every thread has its own lists, so nothing is locked. A block may be given back by another thread than the one that took it:
/// it then serves that thread. What a thread keeps is bounded, and all of it is returned when the thread ends.
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>
#include <shardproof/backend/cpu/regions.hpp>
namespace shardproof {

/// Bytes in tensors of the calling thread's rank, now and at most so far. A block counts as released where it is given back.
struct cpu_memory_use { std::size_t current = 0, peak = 0; };

namespace cpu {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool keeps_blocks = false;             // a kept block would hide a use after release
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool keeps_blocks = false;
#else
inline constexpr bool keeps_blocks = true;
#endif
#else
inline constexpr bool keeps_blocks = true;
#endif

/// Sizes are rounded up to 64, 128 ... 512 bytes, then to eight steps per doubling: at most an eighth is lost.
struct size_class {
  static constexpr int count = 8 + 8 * 40;
  int index = 0;
  std::size_t bytes = 0;
  constexpr explicit size_class(std::size_t wanted) {
    const std::size_t n = std::max<std::size_t>(wanted, 1);
    if (n <= 512) {
      index = int((n - 1) / 64);
      bytes = std::size_t(index + 1) * 64;
    } else {
      const int doubling = int(std::bit_width(n - 1));                         // n in (2^(doubling - 1), 2^doubling]
      const std::size_t base = std::size_t(1) << (doubling - 1), step = base / 8;
      const std::size_t steps = (n - base + step - 1) / step;
      index = 8 + (doubling - 10) * 8 + int(steps) - 1;
      bytes = base + steps * step;
    }
  }
};

inline constexpr std::size_t huge_page = std::size_t(2) << 20;

/// Blocks of these sizes share huge pages with others (regions.hpp).
inline bool in_region([[maybe_unused]] const size_class& c) {
#if defined(__linux__)
  return keeps_blocks && c.bytes >= (std::size_t(128) << 10) && c.bytes <= region_store::largest;
#else
  return false;
#endif
}

/// Memory from the system. A large block starts at a huge page and asks for them, except for the last, partly used one:
/// that one would make a tensor's resident size exceed its bytes by up to 2 MiB.
inline void* obtain(const size_class& c, std::size_t wanted) {
#if defined(__linux__)
  if (in_region(c)) return regions().take(c.bytes);
  if (c.bytes >= huge_page) {
    void* const mapped = mmap(nullptr, c.bytes + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    char* const start = static_cast<char*>(mapped);
    const std::size_t before = (huge_page - reinterpret_cast<std::size_t>(start) % huge_page) % huge_page;
    if (before) munmap(start, before);
    if (before < huge_page) munmap(start + before + c.bytes, huge_page - before);
    madvise(start + before, wanted / huge_page * huge_page, MADV_HUGEPAGE);
    return start + before;
  }
#else
  (void)wanted;
#endif
  if (void* p = std::aligned_alloc(64, c.bytes)) return p;
  throw std::bad_alloc();
}
inline void hand_back(void* p, const size_class& c) noexcept {
#if defined(__linux__)
  if (in_region(c)) return regions().give(p, c.bytes);
  if (c.bytes >= huge_page) { munmap(p, c.bytes); return; }
#endif
  std::free(p);
}

class memory_lists {
  struct link { link* next; };
  link* kept_[size_class::count] = {};
  std::size_t kept_bytes_ = 0, taken_ = 0, most_taken_ = 0;
  static inline thread_local bool ended_ = false;                          // trivially destroyed: readable after the lists are gone

 public:
  static bool ended() { return ended_; }
  void* take(std::size_t wanted) {
    const size_class c(wanted);
    taken_ += c.bytes;
    most_taken_ = std::max(most_taken_, taken_);
    link*& first = kept_[c.index];
    if (!first) return obtain(c, wanted);
    kept_bytes_ -= c.bytes;
    return std::exchange(first, first->next);
  }
  void give(void* p, std::size_t wanted) noexcept {
    const size_class c(wanted);
    taken_ -= std::min(taken_, c.bytes);
    // Never more than the thread once used: a training step finds all blocks of the last one, a loader's are not hoarded twice.
    const std::size_t limit = std::max<std::size_t>(most_taken_, std::size_t(64) << 20);
    if (!keeps_blocks || kept_bytes_ + c.bytes > limit) { hand_back(p, c); return; }
    kept_bytes_ += c.bytes;
    kept_[c.index] = ::new (p) link{kept_[c.index]};
  }
  /// Returns everything kept to the system.
  void drop() noexcept {
    for (int i = 0; i < size_class::count; ++i)
      while (link* p = kept_[i]) {
        kept_[i] = p->next;
        hand_back(p, bytes_of_class(i));
      }
    kept_bytes_ = 0;
  }
  std::size_t kept() const { return kept_bytes_; }
  ~memory_lists() { drop(); ended_ = true; }

 private:
  static size_class bytes_of_class(int i) {
    if (i < 8) return size_class(std::size_t(i + 1) * 64);
    const std::size_t base = std::size_t(1) << (9 + (i - 8) / 8);
    return size_class(base + base / 8 * std::size_t((i - 8) % 8 + 1));
  }
};
inline memory_lists& memory() {
  static thread_local memory_lists lists;
  return lists;
}

/// take and give that also work after the thread's lists are gone, when the last tensors of a thread are destroyed late.
inline void* take(std::size_t bytes) { return memory_lists::ended() ? obtain(size_class(bytes), bytes) : memory().take(bytes); }
inline void give(void* p, std::size_t bytes) noexcept {
  if (memory_lists::ended()) hand_back(p, size_class(bytes));
  else memory().give(p, bytes);
}

/// An array of n uninitialised T for the length of a scope.
template <class T> class scratch {
  T* p_;
  std::size_t bytes_;

 public:
  explicit scratch(long n) : bytes_(std::size_t(n) * sizeof(T)) { p_ = static_cast<T*>(take(bytes_)); }
  ~scratch() { give(p_, bytes_); }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  T* get() const { return p_; }
  T& operator[](long i) const { return p_[i]; }
};

/// What `sp::cpu_memory` reports; kernels' scratch is not in it.
struct byte_counter { long current = 0, peak = 0; };
inline thread_local byte_counter tensor_bytes;

}  // namespace cpu

inline cpu_memory_use cpu_memory() {
  return {std::size_t(std::max(0l, cpu::tensor_bytes.current)), std::size_t(cpu::tensor_bytes.peak)};
}
/// Starts a new peak at what the calling thread holds now.
inline void reset_cpu_memory_peak() { cpu::tensor_bytes.peak = std::max(0l, cpu::tensor_bytes.current); }

}  // namespace shardproof

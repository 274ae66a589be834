#pragma once
// What the tests of the engine `threads` share.
//
// Catch's assertions are not for several threads at once: ranks write down what they see, and the test looks at it afterwards.
#include <catch2/catch.hpp>
#include <functional>
#include <shardproof/engine/threads.hpp>
namespace threads_test {
namespace sp = shardproof;
using sp::communicator, sp::dtype, sp::reduction;
using seconds_clock = std::chrono::steady_clock;

inline double since(seconds_clock::time_point t) { return std::chrono::duration<double>(seconds_clock::now() - t).count(); }

/// Collects complaints of ranks.
class complaints {
 public:
  void add(const std::string& s) {
    const std::lock_guard guard(lock_);
    ++count_;
    if (count_ <= 5) text_ += s + "\n";
  }
  void check(bool good, const std::string& s) {
    if (!good) add(s);
  }
  std::string text() const { return text_; }

 private:
  std::mutex lock_;
  std::string text_;
  int count_ = 0;
};

/// Runs, and returns what it threw: the message of an sp::error, of a std::exception, or "".
template <class F> std::string thrown(const sp::run_options& o, F f) {
  try {
    sp::run(o, f);
  } catch (const std::exception& e) { return e.what(); } catch (int i) {
    return "int " + std::to_string(i);
  }
  return "";
}

inline bool contains(const std::string& s, const std::string& part) { return s.find(part) != std::string::npos; }

inline std::uint64_t scramble(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return x ^ x >> 31;
}

/// All-reduces of n elements: copied by the engine, and lent.
inline void large(communicator& c, long n = 50000, dtype t = dtype::f32, reduction how = reduction::sum) {
  std::vector<double> x(std::size_t(n) + 1);
  c.all_reduce(x.data(), n, t, how);
}
inline void small(communicator& c, long n = 8, dtype t = dtype::f32, reduction how = reduction::sum) { large(c, n, t, how); }

/// Sanitizers make threads slow; the long tests repeat less under them.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace threads_test

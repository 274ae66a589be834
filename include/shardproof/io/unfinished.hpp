#pragma once
/// @file
/// Files that have not yet taken their place: a program that is told to stop removes them first.
///
///     void stop(int) { sp::io::remove_unfinished();  ::_exit(2); }             // a signal handler; see examples/cli/main.cpp
///     std::signal(SIGTERM, stop);
///
/// atomic_writer and atomic_folder keep the list; a program without such a handler, or one that is killed, leaves temporaries.
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <pthread.h>
#include <string>
#include <unistd.h>
namespace shardproof::io {

namespace detail {
// Fixed and without destructors: a handler may read them at any moment, after main too. More files than this are not listed.
inline constexpr int most_unfinished = 1024;
inline std::atomic<char*> unfinished[most_unfinished];
inline std::atomic<int> shields{0};
inline std::atomic<bool> stopping{false};
inline thread_local int shield_depth = 0;
}  // namespace detail

/// While one lives, this thread takes no signal that ends programs, and remove_unfinished() waits on other threads: for the
/// moments between making a file and listing it, and while finished files take their places.
class shield {
 public:
  shield() {
    if (detail::shield_depth++ > 0) return;
    sigset_t held;
    ::sigemptyset(&held);
    for (const int s : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&held, s);
    ::pthread_sigmask(SIG_BLOCK, &held, &before_);
    ++detail::shields;
    if (!detail::stopping) return;
    --detail::shields;                                         // another thread is about to end the process: begin nothing new
    while (true) ::pause();
  }
  ~shield() {
    if (--detail::shield_depth > 0) return;
    --detail::shields;
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  shield(const shield&) = delete;
  shield& operator=(const shield&) = delete;

 private:
  sigset_t before_{};
};

/// A path on the list, from list() to forget(); call both under a shield.
class unfinished_path {
 public:
  void list(const std::string& path) {
    char* const text = ::strdup(path.c_str());
    for (slot_ = 0; text && slot_ < detail::most_unfinished; ++slot_) {
      char* empty = nullptr;
      if (detail::unfinished[slot_].compare_exchange_strong(empty, text)) return;
    }
    std::free(text);
    slot_ = -1;
  }
  void forget() noexcept {
    if (slot_ >= 0) std::free(detail::unfinished[slot_].exchange(nullptr));
    slot_ = -1;
  }

 private:
  int slot_ = -1;
};

/// Removes every listed file, then every listed folder. Only for a program that ends right behind it: other threads stop where
/// they begin or place a file. May be called from a signal handler.
inline void remove_unfinished() noexcept {
  detail::stopping = true;
  while (detail::shields > 0) {
    const timespec moment{0, 1'000'000};
    ::nanosleep(&moment, nullptr);
  }
  for (const auto& path : detail::unfinished)
    if (path) ::unlink(path);
  for (const auto& path : detail::unfinished)
    if (path) ::rmdir(path);
}

}  // namespace shardproof::io

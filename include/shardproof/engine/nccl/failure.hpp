#pragma once
/// @file
/// What the processes of a run know of each other's fate, over the lines they met by: so that what goes wrong on one rank ends all
/// of them at once, and not when a collective has waited its time.
///
///     nccl::fate f(me.rank, me.size, std::move(company.lines));
///     f.fail(std::current_exception());                    // this rank's body threw: the others are told
///     f.listen(20);                                        // reads what the others say; on the thread that watches (watch.hpp)
///     if (f.failed()) f.stop("all_reduce #3");             // SP502: rank 2 was lost (it threw: ...), so that this rank stops at ...
///
/// Lines form a star: rank 0 passes on what it hears. A line that ends without a word is a process that ended. Ranks that met by a
/// file have no lines, and notice each other's end by the time limit of a collective.
#include <atomic>
#include <exception>
#include <mutex>
#include <shardproof/engine/nccl/bootstrap.hpp>
#include <shardproof/engine/threads/call.hpp>
namespace shardproof::nccl {

class fate {
 public:
  fate(int rank, int size, std::vector<descriptor> lines) : rank_(rank), returned_(std::size_t(size)) {
    for (std::size_t i = 0; i < lines.size(); ++i)
      if (lines[i]) lines_.push_back({rank == 0 ? int(i) : 0, std::move(lines[i]), {}, 0});
  }

  bool failed() const { return failed_.load(std::memory_order_acquire); }
  bool has_lines() const { return !lines_.empty(); }
  /// This rank's body threw, or its engine found what is wrong. Later failures are consequences and are dropped.
  void fail(std::exception_ptr what) {
    std::string words = "it threw an exception";
    try {
      std::rethrow_exception(what);
    } catch (const std::exception& e) { words = std::string("it threw: ") + e.what(); } catch (...) {
    }
    if (settle(rank_, what, words)) tell(word_of(kind::failed, rank_, words), -1);
  }
  void fail(const error& e) { fail(std::make_exception_ptr(e)); }
  /// What a rank throws that is stopped there because the run has failed. What it found itself it throws as it is.
  [[noreturn]] void stop(const std::string& at) const {
    const std::lock_guard guard(lock_);
    if (culprit_ == rank_) std::rethrow_exception(cause_);
    throw lost(culprit_, words_, at);
  }
  /// The root cause; null if all went well.
  std::exception_ptr cause() const {
    const std::lock_guard guard(lock_);
    return cause_;
  }

  /// This rank's body has returned, and its queue is empty.
  void leave() { tell(word_of(kind::returned, rank_, ""), -1); }
  bool has_returned(int rank) const {
    const std::lock_guard guard(lock_);
    return returned_[std::size_t(rank)];
  }
  bool others_have_returned() const {
    const std::lock_guard guard(lock_);
    for (std::size_t r = 0; r < returned_.size(); ++r)
      if (int(r) != rank_ && !returned_[r]) return false;
    return true;
  }

  /// Waits so many milliseconds for what other ranks say, and takes it in. One thread calls it.
  void listen(int milliseconds) {
    std::vector<pollfd> all;
    for (const line& l : lines_) all.push_back({l.fd ? l.fd.get() : -1, POLLIN, 0});
    if (all.empty()) return std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    if (io::uninterrupted([&] { return ::poll(all.data(), nfds_t(all.size()), milliseconds); }) <= 0) return;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (all[i].revents) hear(lines_[i]);
  }

 private:
  enum class kind : std::uint32_t { returned = 1, failed = 2 };
  struct word {
    std::uint32_t what, rank;
    char text[1592];
  };
  struct line {
    int rank;
    descriptor fd;
    word said;
    std::size_t got;
  };
  static word word_of(kind k, int rank, const std::string& text) {
    word w{std::uint32_t(k), std::uint32_t(rank), {}};
    std::snprintf(w.text, sizeof w.text, "%s", text.c_str());
    return w;
  }
  static error lost(int rank, const std::string& words, const std::string& at) {
    return error(code::rank_lost,
                 "rank " + std::to_string(rank) + " was lost (" + words + "), so that this rank stops" + (at.empty() ? "." : " at " + at + "."),
                 in_process::fix_lost);
  }
  bool settle(int rank, std::exception_ptr what, const std::string& words) {
    const std::lock_guard guard(lock_);
    if (cause_) return false;
    cause_ = what ? what : std::make_exception_ptr(lost(rank, words, ""));
    culprit_ = rank;
    words_ = words;
    failed_.store(true, std::memory_order_release);
    return true;
  }
  /// To all lines but that of rank `except`; one that cannot be told any more will be noticed elsewhere.
  void tell(const word& w, int except) {
    const std::lock_guard guard(sending_);
    for (const line& l : lines_)
      if (l.fd && l.rank != except) (void)send_all(l.fd, &w, sizeof w, after(1));
  }
  void hear(line& l) {
    for (;;) {
      const arrival a = receive_some(l.fd, &l.said, sizeof l.said, l.got);
      if (a == arrival::nothing_yet) return;
      if (a == arrival::gone) {
        {
          const std::lock_guard guard(sending_);
          l.fd.close();
        }
        if (has_returned(l.rank)) return;
        return pass_on(word_of(kind::failed, l.rank, "its process ended"), l);
      }
      if (l.got < sizeof l.said) continue;
      l.got = 0;
      l.said.text[sizeof l.said.text - 1] = '\0';
      pass_on(l.said, l);
    }
  }
  void pass_on(const word& w, const line& from) {
    if (w.rank >= returned_.size()) return;
    if (w.what == std::uint32_t(kind::failed)) (void)settle(int(w.rank), nullptr, w.text);
    else {
      const std::lock_guard guard(lock_);
      returned_[w.rank] = true;
    }
    if (rank_ == 0) tell(w, from.rank);
  }

  const int rank_;
  std::vector<line> lines_;
  std::atomic<bool> failed_{false};
  mutable std::mutex lock_, sending_;
  std::vector<bool> returned_;
  std::exception_ptr cause_;
  int culprit_ = -1;
  std::string words_;
};

}  // namespace shardproof::nccl

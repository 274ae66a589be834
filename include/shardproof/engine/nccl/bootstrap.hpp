#pragma once
/// @file
/// How the ranks of a launch get NCCL's id: rank 0 makes it, and hands it to each of the others once all have come.
///
///     nccl::company c = nccl::meet_by_tcp(place, {.rank = 2, .size = 8, .version = 22809}, make_id, 60);
///     c.id;                                                // 128 bytes, the same on all ranks
///     c.lines;                                             // rank 0: a line to each other rank; they: one to rank 0. See failure.hpp
///
/// A newcomer says who it is, rank 0 answers all of them at once: with the id, or with what is wrong, so that every rank says the
/// same. Connections that are no ranks (a monitor, a stranger) are closed and told only if ranks are missing at the end.
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>
#include <shardproof/engine/nccl/place.hpp>
#include <shardproof/engine/nccl/wire.hpp>
namespace shardproof::nccl {

using unique_id = std::array<char, 128>;
/// Of this rank; `version` is the NCCL library's, which must be one.
struct newcomer { int rank = 0, size = 1, version = 0; };
struct company {
  unique_id id{};
  std::vector<descriptor> lines;     ///< by rank, rank 0's own is empty; of another rank: to rank 0 alone; none if they met by a file
};

/// "ranks 2, 5 and 6".
inline std::string list_of_ranks(const std::vector<int>& ranks) {
  std::string s = ranks.size() == 1 ? "rank " : "ranks ";
  constexpr std::size_t most = 12;
  const std::size_t shown = ranks.size() <= most ? ranks.size() : most;
  for (std::size_t i = 0; i < shown; ++i) s += (i == 0 ? "" : i + 1 == ranks.size() ? " and " : ", ") + std::to_string(ranks[i]);
  return ranks.size() > most ? s + " and " + std::to_string(ranks.size() - most) + " more" : s;
}

namespace detail {

inline constexpr std::uint32_t protocol = 1;
inline constexpr char greeting[8] = {'S', 'P', '-', 'N', 'C', 'C', 'L', '\n'};
struct hello {
  char magic[8];
  std::uint32_t protocol, size, rank, version;
  std::uint64_t token;
};
struct answer {
  char magic[8];
  std::uint32_t protocol, code;                                            ///< 0: welcome, and text begins with the id
  char text[1600];
};
static_assert(sizeof(hello) == 32 && sizeof(answer) == 1616);
inline hello hello_of(const newcomer& n, std::uint64_t token) {
  hello h{{}, protocol, std::uint32_t(n.size), std::uint32_t(n.rank), std::uint32_t(n.version), token};
  std::memcpy(h.magic, greeting, sizeof greeting);
  return h;
}
inline answer welcome(const unique_id& id) {
  answer a{};
  std::memcpy(a.magic, greeting, sizeof greeting);
  a.protocol = protocol;
  std::memcpy(a.text, id.data(), id.size());
  return a;
}
inline answer refusal(const error& e) {
  answer a = welcome({});
  a.code = std::uint32_t(e.which());
  std::snprintf(a.text, sizeof a.text, "%s", e.what());
  return a;
}
/// An error that another rank found, in its words.
[[noreturn]] inline void repeat(std::uint32_t which, std::string_view words) {
  const std::size_t head = words.find("] "), fix = words.rfind(" Fix: ");
  const code c = which == std::uint32_t(code::rank_lost)       ? code::rank_lost
                 : which == std::uint32_t(code::device_failed) ? code::device_failed
                                                               : code::no_launcher;
  if (head == words.npos || fix == words.npos || fix < head + 2) throw error(c, words);
  throw error(c, words.substr(head + 2, fix - head - 2), words.substr(fix + 6));
}

/// Rank 0's side: a seat for each other rank, and those that have not said who they are.
class reception {
 public:
  reception(const place& where, const newcomer& me, double seconds)
      : me_(me), token_(where.token), at_(place_text(io::shown(where.host), where.port)), seconds_(seconds), door_(listen_at(where.host, where.port, me.size)),
        seats_(std::size_t(me.size)) {}

  company receive(const std::function<unique_id()>& make_id) {
    const moment limit = after(seconds_);
    try {
      while (!missing().empty()) {
        if (now() >= limit) refuse_missing();
        wait(limit);
      }
      company all{make_id(), {}};
      const answer a = welcome(all.id);
      for (int r = 1; r < me_.size; ++r)
        if (!send_all(seats_[std::size_t(r)], &a, sizeof a, after(seconds_))) refuse_leaver(r);
      all.lines = std::move(seats_);
      return all;
    } catch (const error& e) {
      const answer a = refusal(e);
      for (const descriptor& fd : seats_)
        if (fd) (void)send_all(fd, &a, sizeof a, after(1));
      throw;
    }
  }

 private:
  struct guest {
    descriptor fd;
    hello said{};
    std::size_t got = 0;
  };
  std::vector<int> missing() const {
    std::vector<int> ranks;
    for (int r = 1; r < me_.size; ++r)
      if (!seats_[std::size_t(r)]) ranks.push_back(r);
    return ranks;
  }
  void wait(moment limit) {
    std::vector<pollfd> all{{door_.get(), POLLIN, 0}};
    for (const guest& g : guests_) all.push_back({g.fd.get(), POLLIN, 0});
    for (const descriptor& fd : seats_) all.push_back({fd ? fd.get() : -1, POLLIN, 0});
    if (io::uninterrupted([&] { return ::poll(all.data(), nfds_t(all.size()), milliseconds_until(limit, 1000)); }) <= 0) return;
    const std::size_t first_seat = 1 + guests_.size();
    for (std::size_t r = 1; r < seats_.size(); ++r)                        // a seated rank has nothing to say: it left
      if (all[first_seat + r].revents) refuse_leaver(int(r));
    for (std::size_t i = guests_.size(); i-- > 0;)
      if (all[1 + i].revents && listen_to(guests_[i])) guests_.erase(guests_.begin() + long(i));
    if (all[0].revents)
      while (descriptor fd{::accept4(door_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)}) {
        prompt(fd);
        guests_.push_back({std::move(fd), {}, 0});
      }
  }
  /// True where g is a guest no longer.
  bool listen_to(guest& g) {
    const arrival a = receive_some(g.fd, &g.said, sizeof g.said, g.got);
    const std::size_t seen = g.got < sizeof greeting ? g.got : sizeof greeting;
    if (std::memcmp(g.said.magic, greeting, seen) != 0 || a == arrival::gone) {
      if (strangers_++ == 0) stranger_ = io::shown({g.said.magic, seen});
      return true;
    }
    if (g.got < sizeof g.said) return false;
    seat(g);
    return true;
  }
  void seat(guest& g) {
    const hello& h = g.said;
    const std::string who = "rank " + std::to_string(h.rank) + " of " + std::to_string(h.size) + ", which came to rank 0 at " + at_ + ", ";
    const auto refuse = [&](const std::string& what, const char* fix) {
      const error e(code::no_launcher, who + what, fix);
      const answer a = refusal(e);
      (void)send_all(g.fd, &a, sizeof a, after(1));
      throw e;
    };
    if (h.protocol != protocol)
      refuse("speaks version " + std::to_string(h.protocol) + " of the protocol, not " + std::to_string(protocol) + ".",
             "build all ranks from one version of the library.");
    if (h.token != token_) {                                               // it is not ours, and ours go on
      const answer a =
          refusal(error(code::no_launcher, who + "belongs to another run than rank 0.", "give each run a port of its own (SHARDPROOF_NCCL_PORT)."));
      (void)send_all(g.fd, &a, sizeof a, after(1));
      ++strangers_;
      stranger_ = "a rank of another run";
      return;
    }
    if (h.size != std::uint32_t(me_.size))
      refuse("was started in a world of another size than rank 0, of " + std::to_string(me_.size) + ".", "start all ranks with one world size.");
    if (h.rank == 0 || h.rank >= h.size)
      refuse("has a rank that only ranks 1 to " + std::to_string(me_.size - 1) + " may have here.", "give each process its own rank, from 0 on.");
    if (seats_[h.rank]) refuse("is there twice.", "give each process its own rank, and end the ranks of former runs.");
    if (h.version != std::uint32_t(me_.version))
      refuse("has NCCL " + std::to_string(h.version) + ", and rank 0 has " + std::to_string(me_.version) + ".", "use one version of NCCL on all machines.");
    seats_[h.rank] = std::move(g.fd);
  }
  [[noreturn]] void refuse_leaver(int r) const {
    throw error(code::rank_lost, "rank " + std::to_string(r) + " was lost: it came to rank 0 at " + at_ + ", and left before all ranks had come.",
                "read that rank's first error.");
  }
  [[noreturn]] void refuse_missing() const {
    const std::vector<int> ranks = missing();
    throw error(code::rank_lost,
                list_of_ranks(ranks) + " of " + std::to_string(me_.size) + " did not come to rank 0 at " + at_ + " within " + seconds_text(seconds_) + ".",
                "start all ranks; let them reach that port; read " + std::string(ranks.size() == 1 ? "that rank's" : "those ranks'") + " first errors" +
                    (strangers_ ? ". [" + std::to_string(strangers_) + " connections were no ranks of this run; the first: " + stranger_ + "]" : "."));
  }

  newcomer me_;
  std::uint64_t token_;
  std::string at_;
  double seconds_;
  descriptor door_;
  std::vector<descriptor> seats_;
  std::vector<guest> guests_;
  int strangers_ = 0;
  std::string stranger_;
};

/// Another rank's side.
inline company visit_rank_0(const place& where, const newcomer& me, double seconds) {
  const std::string at = place_text(io::shown(where.host), where.port), mine = "rank " + std::to_string(me.rank);
  descriptor line = connect_to(where.host, where.port, after(seconds));
  if (!line)
    throw error(code::rank_lost, "rank 0 was lost or did not listen at " + at + " within " + seconds_text(seconds) + ": " + mine + " could not reach it.",
                "start rank 0; set MASTER_ADDR and MASTER_PORT alike on all ranks; read rank 0's first error.");
  const hello h = hello_of(me, where.token);
  answer a{};
  std::size_t got = 0;
  // Rank 0 was there before this rank came, and answers within its own time.
  const bool whole = send_all(line, &h, sizeof h, after(seconds)) && receive_all(line, &a, sizeof a, after(1.1 * seconds + 0.1), got);
  if (std::memcmp(a.magic, greeting, got < sizeof greeting ? got : sizeof greeting) != 0 || (got >= 12 && a.protocol != protocol))
    refuse_place("what " + mine + " found at " + at + " is no rank 0 of this library's: it answers \"" + io::shown({a.magic, got < 8 ? got : 8}) + "\".",
                 "set SHARDPROOF_NCCL_PORT to a free port on every rank.");
  if (!whole)
    throw error(code::rank_lost, "rank 0 was lost: it listened at " + at + " and did not answer " + mine + " within " + seconds_text(seconds) + ".",
                "read rank 0's first error.");
  a.text[sizeof a.text - 1] = '\0';
  if (a.code) repeat(a.code, a.text);
  company c;
  std::memcpy(c.id.data(), a.text, c.id.size());
  c.lines.push_back(std::move(line));
  return c;
}

}  // namespace detail

/// Collective: every rank calls it; make_id is called on rank 0, once all have come.
/// @error SP503 what was started does not fit together, SP502 who is missing.
inline company meet_by_tcp(const place& where, const newcomer& me, const std::function<unique_id()>& make_id, double seconds) {
  return me.rank == 0 ? detail::reception(where, me, seconds).receive(make_id) : detail::visit_rank_0(where, me, seconds);
}

}  // namespace shardproof::nccl

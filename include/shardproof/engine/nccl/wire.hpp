#pragma once
/// @file
/// Sockets with deadlines, for the few bytes that ranks exchange outside of NCCL.
///
///     nccl::descriptor door = nccl::listen_at("node-0", 29500, 8);       // SP503 where the port is taken
///     nccl::descriptor line = nccl::connect_to("node-0", 29500, nccl::after(60));        // tries until then; none: nobody listened
///     nccl::send_all(line, &m, sizeof m, nccl::after(1));
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <shardproof/io/posix.hpp>
namespace shardproof::nccl {

using io::descriptor;
using moment = std::chrono::steady_clock::time_point;

inline moment now() { return std::chrono::steady_clock::now(); }
/// Infinity, and all that is longer than a year, is a year.
inline moment after(double seconds) {
  constexpr double year = 365.0 * 24 * 3600;
  return now() + std::chrono::duration_cast<moment::duration>(std::chrono::duration<double>(seconds < year ? seconds : year));
}
/// Until t, for poll: at least 0, at most `most`.
inline int milliseconds_until(moment t, int most) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(t - now()).count();
  return int(left < 0 ? 0 : left < most ? left : most);
}
/// "0.5 s".
inline std::string seconds_text(double s) {
  char text[32];
  std::snprintf(text, sizeof text, "%g s", s);
  return text;
}
inline std::string place_text(const std::string& host, int port) {
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port);
}

[[noreturn]] inline void refuse_place(const std::string& what, const char* fix) { throw error(code::no_launcher, what, fix); }

namespace detail {
using addresses = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;
inline addresses resolve(const std::string& host, int port) {
  addrinfo wish{}, *found = nullptr;
  wish.ai_socktype = SOCK_STREAM;
  wish.ai_flags = AI_NUMERICSERV;
  const int e = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wish, &found);
  if (e == 0) return {found, &::freeaddrinfo};
  if (e == EAI_AGAIN) return {nullptr, &::freeaddrinfo};                   // names may come up later than ranks
  refuse_place("the host " + io::shown(host) + ", where rank 0 listens, is not known here (" + ::gai_strerror(e) + ").",
               "correct MASTER_ADDR, or use an address.");
}
inline descriptor new_socket(int family) { return descriptor(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }
inline void prompt(const descriptor& fd) {
  const int yes = 1;
  (void)::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
}
/// A connection to a port of this machine that nobody listens at may be given that very port, and answer itself.
inline bool met_itself(const descriptor& fd) {
  sockaddr_storage here{}, there{};
  socklen_t here_bytes = sizeof here, there_bytes = sizeof there;
  return ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&here), &here_bytes) == 0 &&
         ::getpeername(fd.get(), reinterpret_cast<sockaddr*>(&there), &there_bytes) == 0 && here_bytes == there_bytes &&
         std::memcmp(&here, &there, here_bytes) == 0;
}
/// errno is set where it fails.
inline descriptor bound(int family, const sockaddr* at, socklen_t bytes, int backlog) {
  descriptor fd = new_socket(family);
  const int yes = 1;
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 || ::bind(fd.get(), at, bytes) != 0 || ::listen(fd.get(), backlog) != 0) {
    const int why = errno;
    fd.close();
    errno = why;
  }
  return fd;
}
}  // namespace detail

/// Where rank 0 is reached; on all addresses of this machine where `host` is none of them (behind a translation of addresses).
/// @error SP503 the port is taken or may not be used, the host is not known.
inline descriptor listen_at(const std::string& host, int port, int backlog) {
  int why = EADDRNOTAVAIL;
  const detail::addresses all = detail::resolve(host, port);
  for (const addrinfo* a = all.get(); a; a = a->ai_next) {
    if (descriptor fd = detail::bound(a->ai_family, a->ai_addr, a->ai_addrlen, backlog)) return fd;
    why = errno;
    if (why != EADDRNOTAVAIL && why != EAFNOSUPPORT) break;
  }
  if (why == EADDRNOTAVAIL) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = htons(std::uint16_t(port));
    if (descriptor fd = detail::bound(AF_INET, reinterpret_cast<const sockaddr*>(&any), sizeof any, backlog)) return fd;
    why = errno;
  }
  const std::string at = place_text(io::shown(host), port);
  if (why == EADDRINUSE)
    refuse_place("rank 0 cannot listen at " + at + ": the port is taken, by another run or by the launcher itself.",
                 "set SHARDPROOF_NCCL_PORT to a free port on every rank, or end the other run.");
  refuse_place("rank 0 cannot listen at " + at + ": " + std::strerror(why) + ".",
               "set SHARDPROOF_NCCL_PORT to a port above 1023 that is free, or correct MASTER_ADDR.");
}

/// Tries until `limit`, as rank 0 may start last. None: nobody listened. @error SP503 the host is not known.
inline descriptor connect_to(const std::string& host, int port, moment limit) {
  for (int pause = 5;; pause = pause < 100 ? 2 * pause : 100) {
    const detail::addresses all = detail::resolve(host, port);
    for (const addrinfo* a = all.get(); a; a = a->ai_next) {
      descriptor fd = detail::new_socket(a->ai_family);
      if (!fd) continue;
      int e = ::connect(fd.get(), a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
      if (e == EINPROGRESS) {
        pollfd p{fd.get(), POLLOUT, 0};
        socklen_t bytes = sizeof e;
        if (io::uninterrupted([&] { return ::poll(&p, 1, milliseconds_until(limit, 2000)); }) <= 0 ||
            ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &e, &bytes) != 0)
          e = ETIMEDOUT;
      }
      if (e == 0 && !detail::met_itself(fd)) {
        detail::prompt(fd);
        return fd;
      }
    }
    if (now() >= limit) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds_until(limit, pause)));
  }
}

/// False where the other side is gone or does not read in time.
inline bool send_all(const descriptor& fd, const void* bytes, std::size_t n, moment limit) {
  const char* from = static_cast<const char*>(bytes);
  while (n > 0) {
    const ssize_t done = io::uninterrupted([&] { return ::send(fd.get(), from, n, MSG_NOSIGNAL); });
    if (done > 0) {
      from += done;
      n -= std::size_t(done);
    } else {
      if (done < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return false;
      pollfd p{fd.get(), POLLOUT, 0};
      if (now() >= limit || io::uninterrupted([&] { return ::poll(&p, 1, milliseconds_until(limit, 1000)); }) < 0) return false;
    }
  }
  return true;
}
enum class arrival : unsigned char { some, nothing_yet, gone };
/// What is there now: adds to `got`, up to n bytes in all.
inline arrival receive_some(const descriptor& fd, void* bytes, std::size_t n, std::size_t& got) {
  const ssize_t done = io::uninterrupted([&] { return ::recv(fd.get(), static_cast<char*>(bytes) + got, n - got, 0); });
  if (done < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? arrival::nothing_yet : arrival::gone;
  if (done == 0) return arrival::gone;
  got += std::size_t(done);
  return arrival::some;
}
/// False where the other side leaves or is silent too long; `got` says how far it came.
inline bool receive_all(const descriptor& fd, void* bytes, std::size_t n, moment limit, std::size_t& got) {
  while (got < n) {
    const arrival a = receive_some(fd, bytes, n, got);
    if (a == arrival::gone) return false;
    if (a == arrival::some) continue;
    pollfd p{fd.get(), POLLIN, 0};
    if (now() >= limit || io::uninterrupted([&] { return ::poll(&p, 1, milliseconds_until(limit, 1000)); }) < 0) return false;
  }
  return true;
}

}  // namespace shardproof::nccl

#pragma once
/// @file
/// For tests of ranks that meet by TCP.
///
///     const int port = free_port();
#include <cstdlib>
#include <shardproof/engine/nccl/wire.hpp>

/// One that the system finds free.
inline int free_port() {
  const shardproof::nccl::descriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof at;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), bytes) != 0 || ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&at), &bytes) != 0) std::abort();
  return ntohs(at.sin_port);
}

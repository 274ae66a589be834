#pragma once
/// @file
/// The communicator of ranks that are threads of one process: they read and write each other's buffers directly.
///
///     in_process::meeting m({0, 1}, "tp"); in_process::board b(2, 30);
///     in_process::group g(b, m, 0);                       // rank 0's side of it; rank 1 makes its own
///     g.all_reduce(p, n, sp::dtype::f32);
///
/// Operands of any collective are copied for the others if they are small, so that one rendezvous does.
#include <shardproof/engine/threads/collectives.hpp>
#include <shardproof/engine/threads/reduce.hpp>
namespace shardproof::in_process {

class group final : public collectives<group> {
  friend collectives<group>;

 public:
  group(board& b, meeting& m, int rank) : collectives(b, m, rank) {}

 private:
  std::unique_ptr<participant> part_of(meeting& m, int place) override { return std::make_unique<group>(board_, m, place); }
  static std::size_t checked(operation o, const void* p, long count, dtype t) { return checked_bytes(o, p, count, t); }
  void offer(call& c, const void* p, std::size_t bytes) { lend(c, p, bytes); }
  void arrive(call&) { meet(); }
  void depart() { part(); }

  static void copy(void* to, long to_at, const void* from, long from_at, long count, dtype t) {
    if (count == 0) return;
    const std::size_t size = bytes_of(t);
    std::byte* const y = static_cast<std::byte*>(to) + std::size_t(to_at) * size;
    const std::byte* const x = static_cast<const std::byte*>(from) + std::size_t(from_at) * size;
    if (x != y) std::memcpy(y, x, std::size_t(count) * size);
  }
  void reduce(void* to, long count, dtype t, reduction how) { in_process::reduce(t, how, from_, to, 0, count); }
  void reduce_in_place(long first, long last, dtype t, reduction how) { in_process::reduce_in_place(t, how, to_, first, last); }
};

}  // namespace shardproof::in_process

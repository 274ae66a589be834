#pragma once
/// @file
/// The communicator of ranks that are threads of one process: they read and write each other's buffers directly.
///
///     in_process::meeting m({0, 1}, "tp"); in_process::board b(2, 30);
///     in_process::group g(b, m, 0);                       // rank 0's side of it; rank 1 makes its own
///     g.all_reduce(p, n, sp::dtype::f32);
///
/// A large all_reduce is two-shot: rank r reduces part r of all buffers and writes the result into all of them, so that each rank
/// reads and writes every byte of one buffer once. A small one is one-shot: each rank reduces everything for itself.
#include <shardproof/engine/threads/participant.hpp>
namespace shardproof::in_process {

class group final : public participant {
 public:
  group(board& b, meeting& m, int rank) : participant(b, m, rank), from_(std::size_t(m.size())), to_(std::size_t(m.size())) {}

  void all_reduce(void* p, long count, dtype t, reduction how = reduction::sum) override {
    const stopwatch watch;
    const std::size_t bytes = checked(operation::all_reduce, p, count, t);
    call& c = begin(operation::all_reduce, t);
    c.how = how;
    c.amount = count;
    c.target = p;
    lend(c, p, bytes);
    meet();
    for (int r = 0; r < size_; ++r) {
      from_[std::size_t(r)] = theirs(r).source;
      to_[std::size_t(r)] = theirs(r).target;
      if (r != rank_ && count > 0 && theirs(r).target == p) [[unlikely]]
        same_buffer(r);
    }
    from_[std::size_t(rank_)] = p;  // not the copy, which lies in the others' caches
    if (c.staged) reduce(t, how, from_, p, 0, count);
    else reduce_in_place(t, how, to_, cut(rank_, count, t), cut(rank_ + 1, count, t));
    part();
    tally(operation::all_reduce, double(bytes), watch);
  }

  void all_gather(const void* mine, void* whole, std::span<const long> counts, dtype t) override {
    const stopwatch watch;
    const long total = checked(operation::all_gather, counts);
    const std::size_t bytes = checked(operation::all_gather, mine, counts[std::size_t(rank_)], t);
    checked(operation::all_gather, whole, total, t);
    call& c = begin(operation::all_gather, t);
    keep(c, counts);
    lend(c, mine, bytes);
    meet();
    auto* out = static_cast<std::byte*>(whole);
    for (int r = 0; r < size_; ++r) {
      const std::size_t n = std::size_t(counts[std::size_t(r)]) * bytes_of(t);
      put(out, r == rank_ ? mine : theirs(r).source, n);
      if (n) out += n;
    }
    part();
    tally(operation::all_gather, double(bytes), watch);
  }

  void reduce_scatter(const void* whole, void* mine, std::span<const long> counts, dtype t) override {
    const stopwatch watch;
    const long total = checked(operation::reduce_scatter, counts), count = counts[std::size_t(rank_)];
    const std::size_t bytes = checked(operation::reduce_scatter, whole, total, t);
    checked(operation::reduce_scatter, mine, count, t);
    call& c = begin(operation::reduce_scatter, t);
    keep(c, counts);
    lend(c, whole, bytes);
    meet();
    if (count > 0) {
      const std::size_t before = std::size_t(sum(counts.first(std::size_t(rank_)))) * bytes_of(t);
      for (int r = 0; r < size_; ++r) from_[std::size_t(r)] = static_cast<const std::byte*>(theirs(r).source) + before;
      reduce(t, reduction::sum, from_, mine, 0, count);
    }
    part();
    tally(operation::reduce_scatter, double(bytes), watch);
  }

  void all_to_all(const void* send, std::span<const long> send_counts, void* receive, std::span<const long> receive_counts,
                  dtype t) override {
    const stopwatch watch;
    const std::size_t bytes = checked(operation::all_to_all, send, checked(operation::all_to_all, send_counts), t);
    checked(operation::all_to_all, receive, checked(operation::all_to_all, receive_counts), t);
    call& c = begin(operation::all_to_all, t);
    keep(c, send_counts, receive_counts);
    lend(c, send, bytes);
    meet();
    compare_pairs();
    auto* out = static_cast<std::byte*>(receive);
    for (int r = 0; r < size_; ++r) {
      const std::size_t n = std::size_t(receive_counts[std::size_t(r)]) * bytes_of(t);
      if (n == 0) continue;
      const long before = sum({theirs(r).counts, std::size_t(rank_)});
      put(out, static_cast<const std::byte*>(theirs(r).source) + std::size_t(before) * bytes_of(t), n);
      out += n;
    }
    part();
    tally(operation::all_to_all, double(bytes), watch);
  }

  void broadcast(void* p, long count, dtype t, int root) override {
    const stopwatch watch;
    const std::size_t bytes = checked(operation::broadcast, p, count, t);
    check_root(root);
    call& c = begin(operation::broadcast, t);
    c.root = root;
    c.amount = count;
    if (rank_ == root) lend(c, p, bytes);
    meet();
    if (rank_ != root) put(p, theirs(root).source, bytes);
    part();
    tally(operation::broadcast, double(bytes), watch);  // on every rank, as the ledger does
  }

 private:
  std::unique_ptr<participant> part_of(meeting& m, int place) override { return std::make_unique<group>(board_, m, place); }
  static void put(void* to, const void* from, std::size_t bytes) {
    if (bytes && to != from) std::memcpy(to, from, bytes);
  }

  std::vector<const void*> from_;
  std::vector<void*> to_;
};

}  // namespace shardproof::in_process

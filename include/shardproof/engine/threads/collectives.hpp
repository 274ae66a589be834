#pragma once
/// @file
/// The collectives of ranks that are threads, wherever their buffers lie: what a rank announces, when it meets the others, and which
/// part of whose buffer goes where. How bytes are shown, moved and summed is the group's.
///
///     class my_group final : public in_process::collectives<my_group> { ... };          // group.hpp, device_group.hpp
///
/// A group has, for this class alone (not virtual: a small all_reduce takes 0.3 us):
///
///     std::size_t checked(operation, const void* p, long count, dtype)    // the bytes of an operand that it can use
///     void offer(call& c, const void* p, std::size_t bytes)               // c.source: p itself, or a copy (c.staged)
///     void arrive(call& c)                                                // all have announced the same; what they offer may be read
///     void depart()                                                       // nobody uses this rank's own buffers any more
///     void copy(void* to, long to_at, const void* from, long from_at, long count, dtype)            // count may be 0
///     void reduce(void* to, long count, dtype, reduction)                 // of from_, in rank order; `to` may be one of them
///     void reduce_in_place(long first, long last, dtype, reduction)       // of to_, those elements, into all of them
///
/// A large all_reduce is two-shot: rank r reduces part r of all buffers and writes the result into all of them, so that each rank
/// reads and writes every byte of one buffer once. A small one is one-shot, from copies: each rank reduces everything for itself.
#include <shardproof/engine/threads/participant.hpp>
namespace shardproof::in_process {

template <class Group> class collectives : public participant {
 public:
  void all_reduce(void* p, long count, dtype t, reduction how = reduction::sum) final {
    const stopwatch watch;
    const std::size_t bytes = its().checked(operation::all_reduce, p, count, t);
    call& c = begin(operation::all_reduce, t);
    c.how = how;
    c.amount = count;
    c.target = p;
    its().offer(c, p, bytes);
    its().arrive(c);
    for (int r = 0; r < size_; ++r) {
      from_[std::size_t(r)] = theirs(r).source;
      to_[std::size_t(r)] = theirs(r).target;
      if (r != rank_ && count > 0 && theirs(r).target == p) [[unlikely]]
        same_buffer(r);
    }
    from_[std::size_t(rank_)] = p;                       // not the copy, which lies in the others' caches
    if (c.staged) its().reduce(p, count, t, how);
    else its().reduce_in_place(cut(rank_, count, t), cut(rank_ + 1, count, t), t, how);
    its().depart();
    tally(operation::all_reduce, double(bytes), watch);
  }

  void all_gather(const void* mine, void* whole, std::span<const long> counts, dtype t) final {
    const stopwatch watch;
    const long total = checked_sum(operation::all_gather, counts, size_);
    const std::size_t bytes = its().checked(operation::all_gather, mine, counts[std::size_t(rank_)], t);
    its().checked(operation::all_gather, whole, total, t);
    call& c = begin(operation::all_gather, t);
    keep(c, counts);
    its().offer(c, mine, bytes);
    its().arrive(c);
    long at = 0;
    for (int r = 0; r < size_; ++r) {
      its().copy(whole, at, r == rank_ ? mine : theirs(r).source, 0, counts[std::size_t(r)], t);
      at += counts[std::size_t(r)];
    }
    its().depart();
    tally(operation::all_gather, double(bytes), watch);
  }

  void reduce_scatter(const void* whole, void* mine, std::span<const long> counts, dtype t) final {
    const stopwatch watch;
    const long total = checked_sum(operation::reduce_scatter, counts, size_), count = counts[std::size_t(rank_)];
    const std::size_t bytes = its().checked(operation::reduce_scatter, whole, total, t);
    its().checked(operation::reduce_scatter, mine, count, t);
    call& c = begin(operation::reduce_scatter, t);
    keep(c, counts);
    its().offer(c, whole, bytes);
    its().arrive(c);
    if (count > 0) {
      const std::size_t before = std::size_t(sum(counts.first(std::size_t(rank_)))) * bytes_of(t);
      for (int r = 0; r < size_; ++r) from_[std::size_t(r)] = static_cast<const std::byte*>(theirs(r).source) + before;
      its().reduce(mine, count, t, reduction::sum);
    }
    its().depart();
    tally(operation::reduce_scatter, double(bytes), watch);
  }

  void all_to_all(const void* send, std::span<const long> send_counts, void* receive, std::span<const long> receive_counts,
                  dtype t) final {
    const stopwatch watch;
    const std::size_t bytes = its().checked(operation::all_to_all, send, checked_sum(operation::all_to_all, send_counts, size_), t);
    its().checked(operation::all_to_all, receive, checked_sum(operation::all_to_all, receive_counts, size_), t);
    call& c = begin(operation::all_to_all, t);
    keep(c, send_counts, receive_counts);
    its().offer(c, send, bytes);
    its().arrive(c);
    compare_pairs();
    long at = 0;
    for (int r = 0; r < size_; ++r) {
      const long n = receive_counts[std::size_t(r)];
      its().copy(receive, at, theirs(r).source, sum({theirs(r).counts, std::size_t(rank_)}), n, t);
      at += n;
    }
    its().depart();
    tally(operation::all_to_all, double(bytes), watch);
  }

  void broadcast(void* p, long count, dtype t, int root) final {
    const stopwatch watch;
    const std::size_t bytes = its().checked(operation::broadcast, p, count, t);
    check_root(root, size_);
    call& c = begin(operation::broadcast, t);
    c.root = root;
    c.amount = count;
    if (rank_ == root) its().offer(c, p, bytes);
    its().arrive(c);
    if (rank_ != root) its().copy(p, 0, theirs(root).source, 0, count, t);
    its().depart();
    tally(operation::broadcast, double(bytes), watch);   // on every rank, as the ledger does
  }

 protected:
  collectives(board& b, meeting& m, int rank) : participant(b, m, rank), from_(std::size_t(m.size())), to_(std::size_t(m.size())) {}

  std::vector<const void*> from_;                        ///< what each rank offers, in rank order; of reductions
  std::vector<void*> to_;                                ///< and their own buffers

 private:
  Group& its() { return static_cast<Group&>(*this); }

  /// Where part r begins in a two-shot all_reduce; no two ranks write to one cache line.
  long cut(int r, long count, dtype t) const {
    const long line = 64 / long(bytes_of(t)), lines = (count + line - 1) / line;
    return std::min(count, lines * r / size_ * line);
  }
  /// What each rank sends is what the others expect; after `arrive`.
  void compare_pairs() {
    for (int a = 0; a < size_; ++a)
      for (int b = 0; b < size_; ++b)
        if (theirs(a).counts[b] != theirs(b).counts[size_ + a]) [[unlikely]]
          quarrel(a, b,
                  "; rank " + std::to_string(meeting_.world_rank(a)) + " sends count " + std::to_string(theirs(a).counts[b]) +
                      ", rank " + std::to_string(meeting_.world_rank(b)) + " expects " +
                      std::to_string(theirs(b).counts[size_ + a]));
  }
};

}  // namespace shardproof::in_process

#pragma once
/// @file
/// What every communicator of ranks that are threads has in common, wherever their buffers lie: it refuses arguments that make no
/// sense, counts, and splits.
///
///     class my_group final : public in_process::participant { ... };          // group.hpp, device_group.hpp
///     my_group g(board, meeting, 0);
///     g.split(1).size();
#include <shardproof/engine/threads/reduce.hpp>
#include <shardproof/engine/threads/rendezvous.hpp>
#include <shardproof/engine/threads/stopwatch.hpp>
namespace shardproof::in_process {

class participant : public communicator, protected rendezvous {
 public:
  using rendezvous::rendezvous;
  int rank() const final { return rank_; }
  int size() const final { return size_; }

  void barrier() final {
    const stopwatch watch;
    begin(operation::barrier, dtype::u8);
    meet();
    tally(operation::barrier, 0, watch);
  }

  communicator& split(int color) final {
    begin(operation::split, dtype::u8).amount = color;
    meet();
    std::vector<int> members;
    int place = 0;
    for (int r = 0; r < size_; ++r)
      if (theirs(r).amount == color) {
        if (r == rank_) place = int(members.size());
        members.push_back(r);
      }
    auto& g = parts_[members];
    if (!g) g = part_of(meeting_.part(members), place);
    return *g;
  }

 protected:
  /// This rank's side of a part of the group.
  virtual std::unique_ptr<participant> part_of(meeting& m, int place) = 0;

  static long sum(std::span<const long> counts) {
    long s = 0;
    for (long n : counts) s += n;
    return s;
  }

  /// Where part r begins in a two-shot all_reduce; no two ranks write to one cache line.
  long cut(int r, long count, dtype t) const {
    const long line = 64 / long(bytes_of(t)), lines = (count + line - 1) / line;
    return std::min(count, lines * r / size_ * line);
  }

  // ---- arguments: refused before the others see anything of this call
  std::size_t checked(operation o, const void* p, long count, dtype t) const {
    if (count < 0)
      throw error(code::usage, name_of(o) + std::string(" of ") + std::to_string(count) + " elements.",
                  "pass a count of zero or more.");
    if (count > 0 && !p)
      throw error(code::usage, name_of(o) + std::string(" of ") + std::to_string(count) + " elements at a null pointer.",
                  "pass the buffer; only a count of zero may come without.");
    return std::size_t(count) * bytes_of(t);
  }
  long checked(operation o, std::span<const long> counts) const {
    if (counts.size() != std::size_t(size_))
      throw error(code::usage,
                  name_of(o) + std::string(" with ") + std::to_string(counts.size()) + " counts in a group of " +
                      std::to_string(size_) + " ranks.",
                  "pass one count a rank.");
    for (long n : counts)
      if (n < 0)
        throw error(code::usage, name_of(o) + std::string(" with a count of ") + std::to_string(n) + ".",
                    "pass counts of zero or more.");
    return sum(counts);
  }

  void check_root(int root) const {
    if (root < 0 || root >= size_)
      throw error(code::usage,
                  "broadcast from root " + std::to_string(root) + " in a group of " + std::to_string(size_) + " ranks.",
                  "pass a rank of this group.");
  }
  /// What each rank sends is what the others expect; after `meet`.
  void compare_pairs() {
    for (int a = 0; a < size_; ++a)
      for (int b = 0; b < size_; ++b)
        if (theirs(a).counts[b] != theirs(b).counts[size_ + a]) [[unlikely]]
          quarrel(a, b,
                  "; rank " + std::to_string(meeting_.world_rank(a)) + " sends count " + std::to_string(theirs(a).counts[b]) +
                      ", rank " + std::to_string(meeting_.world_rank(b)) + " expects " +
                      std::to_string(theirs(b).counts[size_ + a]));
  }

  void tally(operation o, double bytes, const stopwatch& watch) {
    ++counters_.calls[int(o)];
    counters_.bytes[int(o)] += bytes;
    counters_.seconds += watch.seconds();
  }

 private:
  std::map<std::vector<int>, std::unique_ptr<participant>> parts_;
};

}  // namespace shardproof::in_process

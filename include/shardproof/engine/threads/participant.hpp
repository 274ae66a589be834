#pragma once
/// @file
/// A rank of a group of threads: what it does where no bytes move. It counts, waits, and splits.
///
///     in_process::participant& p = ...;                   // collectives.hpp
///     p.split(1).size();
#include <map>
#include <shardproof/engine/threads/arguments.hpp>
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

  void tally(operation o, double bytes, const stopwatch& watch) {
    ++counters_.calls[int(o)];
    counters_.bytes[int(o)] += bytes;
    counters_.seconds += watch.seconds();
  }

 private:
  std::map<std::vector<int>, std::unique_ptr<participant>> parts_;
};

}  // namespace shardproof::in_process

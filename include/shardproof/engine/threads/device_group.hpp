#pragma once
/// @file
/// The communicator of ranks that are threads of one process and whose buffers lie on devices: the host brings the ranks together
/// and compares what they announce; their queues wait for each other on the device, so that no collective waits for a kernel.
///
///     in_process::device_group g(b, m, 0, sp::backend_of(sp::device_kind::cuda));       // rank 0's side
///     g.all_reduce(p, n, sp::dtype::f32);                 // p in device memory; queued when it returns
///
/// At each rendezvous a rank leaves a mark in its queue, and its queue waits for the others' marks: once before buffers are read,
/// once before their owners may change them. Ranks may share a device (virtual ranks) or have one each that reaches the others'.
#include <shardproof/engine/threads/participant.hpp>
namespace shardproof::in_process {

class device_group final : public participant {
 public:
  /// A small all_reduce is one-shot, from copies in two alternating blocks: one rendezvous instead of two.
  static constexpr std::size_t small = 64 * 1024;

  device_group(board& b, meeting& m, int rank, backend& device)
      : participant(b, m, rank), device_(device), from_(std::size_t(m.size())), to_(std::size_t(m.size())) {}
  ~device_group() override {
    for (void* p : rooms_) if (p) device_.release(p, small);
  }

  void all_reduce(void* p, long count, dtype t, reduction how = reduction::sum) override {
    const stopwatch watch;
    const std::size_t bytes = checked(operation::all_reduce, p, count, t);
    call& c = begin(operation::all_reduce, t);
    c.how = how;
    c.amount = count;
    c.target = p;
    if (bytes <= small) copy_to_room(c, p, count, t);
    else offer(c, p);
    meet_queues(c);
    for (int r = 0; r < size_; ++r) {
      from_[std::size_t(r)] = theirs(r).source;
      to_[std::size_t(r)] = theirs(r).target;
      if (r != rank_ && count > 0 && theirs(r).target == p) [[unlikely]]
        same_buffer(r);
    }
    if (count > 0) {
      if (c.staged) device_.reduce_peers({p, t, {count}}, from_, how);
      else device_.reduce_peers_in_place(t, to_, cut(rank_, count, t), cut(rank_ + 1, count, t), how);
    }
    part_queues();
    tally(operation::all_reduce, double(bytes), watch);
  }

  void all_gather(const void* mine, void* whole, std::span<const long> counts, dtype t) override {
    const stopwatch watch;
    const long total = checked(operation::all_gather, counts);
    const std::size_t bytes = checked(operation::all_gather, mine, counts[std::size_t(rank_)], t);
    checked(operation::all_gather, whole, total, t);
    call& c = begin(operation::all_gather, t);
    keep(c, counts);
    offer(c, mine);
    meet_queues(c);
    long at = 0;
    for (int r = 0; r < size_; ++r) {
      copy(whole, at, theirs(r).source, 0, counts[std::size_t(r)], t);
      at += counts[std::size_t(r)];
    }
    part_queues();
    tally(operation::all_gather, double(bytes), watch);
  }

  void reduce_scatter(const void* whole, void* mine, std::span<const long> counts, dtype t) override {
    const stopwatch watch;
    const long total = checked(operation::reduce_scatter, counts), count = counts[std::size_t(rank_)];
    const std::size_t bytes = checked(operation::reduce_scatter, whole, total, t);
    checked(operation::reduce_scatter, mine, count, t);
    call& c = begin(operation::reduce_scatter, t);
    keep(c, counts);
    offer(c, whole);
    meet_queues(c);
    if (count > 0) {
      const std::size_t before = std::size_t(sum(counts.first(std::size_t(rank_)))) * bytes_of(t);
      for (int r = 0; r < size_; ++r) from_[std::size_t(r)] = static_cast<const std::byte*>(theirs(r).source) + before;
      device_.reduce_peers({mine, t, {count}}, from_, reduction::sum);
    }
    part_queues();
    tally(operation::reduce_scatter, double(bytes), watch);
  }

  void all_to_all(const void* send, std::span<const long> send_counts, void* receive, std::span<const long> receive_counts, dtype t) override {
    const stopwatch watch;
    const std::size_t bytes = checked(operation::all_to_all, send, checked(operation::all_to_all, send_counts), t);
    checked(operation::all_to_all, receive, checked(operation::all_to_all, receive_counts), t);
    call& c = begin(operation::all_to_all, t);
    keep(c, send_counts, receive_counts);
    offer(c, send);
    meet_queues(c);
    compare_pairs();
    long at = 0;
    for (int r = 0; r < size_; ++r) {
      const long n = receive_counts[std::size_t(r)];
      copy(receive, at, theirs(r).source, sum({theirs(r).counts, std::size_t(rank_)}), n, t);
      at += n;
    }
    part_queues();
    tally(operation::all_to_all, double(bytes), watch);
  }

  void broadcast(void* p, long count, dtype t, int root) override {
    const stopwatch watch;
    const std::size_t bytes = checked(operation::broadcast, p, count, t);
    check_root(root);
    call& c = begin(operation::broadcast, t);
    c.root = root;
    c.amount = count;
    if (rank_ == root) offer(c, p);
    meet_queues(c);
    if (rank_ != root) copy(p, 0, theirs(root).source, 0, count, t);
    part_queues();
    tally(operation::broadcast, double(bytes), watch);
  }

  // Queues that wait for each other make one graph: rank 0's, which the others' queues join and leave.
  void begin_capture(backend& d) override {
    call& c = begin(operation::barrier, dtype::u8);
    d.begin_capture(rank_ == 0);
    if (rank_ == 0) carry(c, phase_, d.mark());
    meet();
    if (rank_ != 0) d.wait_for(mark_of(0));
  }
  void* end_capture(backend& d) override {
    call& c = begin(operation::barrier, dtype::u8);
    if (rank_ != 0) carry(c, phase_, d.mark());
    meet();
    void* step = nullptr;
    if (rank_ == 0) {
      wait_for_others();
      step = d.end_capture();
    }
    barrier();
    return rank_ == 0 ? step : d.end_capture();
  }
  void run_captured(backend& d, void* step) override {
    call& before = begin(operation::barrier, dtype::u8);
    carry(before, phase_, d.mark());
    meet();
    if (rank_ == 0) {
      wait_for_others();
      d.run_captured(step);
    }
    call& after = begin(operation::barrier, dtype::u8);
    if (rank_ == 0) carry(after, phase_, d.mark());
    meet();
    if (rank_ != 0) d.wait_for(mark_of(0));
  }

 private:
  std::unique_ptr<participant> part_of(meeting& m, int place) override { return std::make_unique<device_group>(board_, m, place, device_); }
  std::size_t checked(operation o, const void* p, long count, dtype t) const {
    const std::size_t bytes = participant::checked(o, p, count, t);
    if (count > 0 && !device_.holds(p)) [[unlikely]]
      throw error(code::usage, name_of(o) + std::string(" of memory that device ") + device_.name() + " does not hold.",
                  "put the numbers into a tensor: sp::leaf, sp::input.");
    return bytes;
  }
  using participant::checked;

  void offer(call& c, const void* p) {
    c.source = p;
    c.staged = false;
  }
  void copy_to_room(call& c, const void* p, long count, dtype t) {
    void*& room = rooms_[phase_ & 1];
    if (!room) room = device_.allocate(small);
    copy(room, 0, p, 0, count, t);
    c.source = room;
  }
  void copy(void* to, long to_at, const void* from, long from_at, long count, dtype t) {
    if (count > 0) device_.copy({.dst = {to, t, {to_at + count}}, .src = {const_cast<void*>(from), t, {from_at + count}}, .rows = 1, .width = count, .dst_at = to_at, .src_at = from_at});
  }
  void wait_for_others() {
    for (int r = 0; r < size_; ++r)
      if (void* const m = mark_of(r); m && r != rank_) device_.wait_for(m);
  }
  void meet_queues(call& c) {
    carry(c, phase_, device_.mark());
    meet();
    wait_for_others();
  }
  void part_queues() {
    if (!has_lent()) return;
    part(device_.mark());
    wait_for_others();
  }

  backend& device_;
  std::vector<const void*> from_;
  std::vector<void*> to_;
  void* rooms_[2] = {};
};

}  // namespace shardproof::in_process

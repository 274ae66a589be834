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
#include <shardproof/engine/threads/collectives.hpp>
namespace shardproof::in_process {

class device_group final : public collectives<device_group> {
  friend collectives<device_group>;

 public:
  /// A small all_reduce is one-shot, from copies in two alternating blocks: one rendezvous instead of two.
  static constexpr std::size_t small = 64 * 1024;

  device_group(board& b, meeting& m, int rank, backend& device) : collectives(b, m, rank), device_(device) {}
  ~device_group() override {
    for (void* p : rooms_) if (p) device_.release(p, small);
  }

  // Queues that wait for each other make one graph: rank 0's, which the others' queues join and leave.
  void begin_capture(backend& d) override {
    call& c = begin(operation::begin_capture, dtype::u8);
    d.begin_capture(rank_ == 0);
    if (rank_ == 0) carry(c, phase_, d.mark());
    meet();
    if (rank_ != 0) d.wait_for(mark_of(0));
  }
  void* end_capture(backend& d) override {
    call& c = begin(operation::end_capture, dtype::u8);
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
  /// Without it the others' queues are in a capture that has ended: they fail as soon as they queue anything, of which this is the cause.
  void abandon_capture(backend& d) override {
    board_.fail(meeting_.world_rank(rank_), std::current_exception());
    d.abandon_capture();
  }
  void run_captured(backend& d, void* step) override {
    call& before = begin(operation::captured_step, dtype::u8);
    carry(before, phase_, d.mark());
    meet();
    if (rank_ == 0) {
      wait_for_others();
      d.run_captured(step);
    }
    call& after = begin(operation::captured_step, dtype::u8);
    if (rank_ == 0) carry(after, phase_, d.mark());
    meet();
    if (rank_ != 0) d.wait_for(mark_of(0));
  }

 private:
  std::unique_ptr<participant> part_of(meeting& m, int place) override { return std::make_unique<device_group>(board_, m, place, device_); }
  std::size_t checked(operation o, const void* p, long count, dtype t) const { return checked_bytes(o, p, count, t, device_); }

  void offer(call& c, const void* p, std::size_t bytes) {
    c.staged = c.what == operation::all_reduce && bytes <= small;
    c.source = p;
    if (!c.staged) return;
    if (!rooms_[0])  // both: a step is run once before it is captured, and what is allocated inside of a capture goes with the step
      for (void*& r : rooms_) r = device_.allocate(small);
    void* const room = rooms_[phase_ & 1];
    copy(room, 0, p, 0, long(bytes / bytes_of(c.type)), c.type);
    c.source = room;
  }
  void copy(void* to, long to_at, const void* from, long from_at, long count, dtype t) {
    if (count > 0) device_.copy({.dst = {to, t, {to_at + count}}, .src = {const_cast<void*>(from), t, {from_at + count}}, .rows = 1, .width = count, .dst_at = to_at, .src_at = from_at});
  }
  void reduce(void* to, long count, dtype t, reduction how) {
    if (count > 0) device_.reduce_peers({to, t, {count}}, from_, how);
  }
  void reduce_in_place(long first, long last, dtype t, reduction how) {
    if (first < last) device_.reduce_peers_in_place(t, to_, first, last, how);
  }

  void wait_for_others() {
    for (int r = 0; r < size_; ++r)
      if (void* const m = mark_of(r); m && r != rank_) device_.wait_for(m);
  }
  void arrive(call& c) {
    carry(c, phase_, device_.mark());
    meet();
    wait_for_others();
  }
  void depart() {
    if (!has_lent()) return;
    part(device_.mark());
    wait_for_others();
  }

  backend& device_;
  void* rooms_[2] = {};
};

}  // namespace shardproof::in_process

#pragma once
/// @file
/// The communicator of ranks that are threads of one process: they read and write each other's buffers directly.
///
///     in_process::meeting m({0, 1}, "tp"); in_process::board b(2, 30);
///     in_process::group g(b, m, 0);                       // rank 0's side of it; rank 1 makes its own
///     g.all_reduce(p, n, sp::dtype::f32);
///
/// Each collective begins with one rendezvous, at which all announcements are compared (SP501). Small operands are copied into
/// memory of the engine first, in two alternating blocks, so that nothing else is needed. Large ones are used where they lie,
/// and a second rendezvous ends their use. A large all_reduce is two-shot: rank r reduces part r of all buffers and writes the
/// result into all of them, so that each rank reads and writes every byte of one buffer once.
///
/// How a failure unwinds ranks whose buffers others may be using: a rank leaves at once only if, after the run has been marked as
/// failed, someone is still missing. Then nobody passes this rendezvous any more, because whoever completes it looks at the mark
/// afterwards. If nobody is missing, some may have passed, so it leaves through the second rendezvous, which all of them reach.
#include <shardproof/engine/threads/board.hpp>
#include <shardproof/engine/threads/reduce.hpp>
#include <shardproof/engine/threads/stopwatch.hpp>
#include <shardproof/runtime/context.hpp>
namespace shardproof::in_process {

class group final : public communicator {
 public:
  group(board& b, meeting& m, int rank)
      : board_(b), meeting_(m), rank_(rank), size_(m.size()), phase_(m.first()), from_(std::size_t(m.size())), to_(std::size_t(m.size())) {
    for (auto& c : counts_) c.resize(2 * std::size_t(size_));
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }

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
    }
    from_[std::size_t(rank_)] = p;                   // not the copy, which lies in the others' caches
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

  void all_to_all(const void* send, std::span<const long> send_counts, void* receive, std::span<const long> receive_counts, dtype t) override {
    const stopwatch watch;
    const std::size_t bytes = checked(operation::all_to_all, send, checked(operation::all_to_all, send_counts), t);
    checked(operation::all_to_all, receive, checked(operation::all_to_all, receive_counts), t);
    call& c = begin(operation::all_to_all, t);
    keep(c, send_counts, receive_counts);
    lend(c, send, bytes);
    meet();
    for (int a = 0; a < size_; ++a)
      for (int b = 0; b < size_; ++b)
        if (theirs(a).counts[b] != theirs(b).counts[size_ + a]) [[unlikely]]
          quarrel(a, b, "; rank " + std::to_string(meeting_.world_rank(a)) + " sends count " + std::to_string(theirs(a).counts[b]) + ", rank " +
                            std::to_string(meeting_.world_rank(b)) + " expects " + std::to_string(theirs(b).counts[size_ + a]));
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
    if (root < 0 || root >= size_)
      throw error(code::usage, "broadcast from root " + std::to_string(root) + " in a group of " + std::to_string(size_) + " ranks.", "pass a rank of this group.");
    call& c = begin(operation::broadcast, t);
    c.root = root;
    c.amount = count;
    if (rank_ == root) lend(c, p, bytes);
    meet();
    if (rank_ != root) put(p, theirs(root).source, bytes);
    part();
    tally(operation::broadcast, rank_ == root ? double(bytes) : 0, watch);
  }

  void barrier() override {
    const stopwatch watch;
    begin(operation::barrier, dtype::u8);
    meet();
    tally(operation::barrier, 0, watch);
  }

  communicator& split(int color) override {
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
    if (!g) g = std::make_unique<group>(board_, meeting_.part(members), place);
    return *g;
  }

 private:
  struct alignas(64) block { std::byte bytes[64]; };
  static constexpr std::chrono::milliseconds slice{10};           ///< between two looks at the board while asleep

  static long sum(std::span<const long> counts) {
    long s = 0;
    for (long n : counts) s += n;
    return s;
  }
  /// Where part r begins in a large all_reduce; no two ranks write to one cache line.
  long cut(int r, long count, dtype t) const {
    const long line = 64 / long(bytes_of(t)), lines = (count + line - 1) / line;
    return std::min(count, lines * r / size_ * line);
  }
  static void put(void* to, const void* from, std::size_t bytes) {
    if (bytes && to != from) std::memcpy(to, from, bytes);
  }

  // ---- arguments: refused before the others see anything of this call
  std::size_t checked(operation o, const void* p, long count, dtype t) const {
    if (count < 0) throw error(code::usage, name_of(o) + std::string(" of ") + std::to_string(count) + " elements.", "pass a count of zero or more.");
    if (count > 0 && !p) throw error(code::usage, name_of(o) + std::string(" of ") + std::to_string(count) + " elements at a null pointer.", "pass the buffer; only a count of zero may come without.");
    return std::size_t(count) * bytes_of(t);
  }
  long checked(operation o, std::span<const long> counts) const {
    if (counts.size() != std::size_t(size_))
      throw error(code::usage, name_of(o) + std::string(" with ") + std::to_string(counts.size()) + " counts in a group of " + std::to_string(size_) + " ranks.", "pass one count a rank.");
    for (long n : counts)
      if (n < 0) throw error(code::usage, name_of(o) + std::string(" with a count of ") + std::to_string(n) + ".", "pass counts of zero or more.");
    return sum(counts);
  }

  // ---- the announcement
  call& begin(operation what, dtype t) {
    if (board_.failed()) [[unlikely]] refuse(what);
    ++phase_;
    auto& name = names_[phase_ & 1];
    call& c = meeting_.announcement(rank_, phase_);
    c = call{.what = what, .type = t, .index = ++index_, .layer_hash = keep_name(name, self.layer), .layer = name};
    return c;
  }
  const call& theirs(int r) const { return meeting_.announcement(r, phase_); }
  /// Offers `bytes` at p to the others: a copy, or the buffer itself.
  void lend(call& c, const void* p, std::size_t bytes) {
    c.source = p;
    c.staged = bytes <= meeting_.small_bytes();
    if (!c.staged || bytes == 0) return;
    auto& room = rooms_[phase_ & 1];
    if (!room) room = std::make_unique<block[]>((meeting_.small_bytes() + sizeof(block) - 1) / sizeof(block));
    std::memcpy(room.get(), p, bytes);
    c.source = room.get();
  }
  void keep(call& c, std::span<const long> counts, std::span<const long> more = {}) {
    auto& kept = counts_[phase_ & 1];
    std::copy(more.begin(), more.end(), std::copy(counts.begin(), counts.end(), kept.begin()));
    c.counts = kept.data();
    std::uint64_t h = 0;
    for (long n : counts) h = mix(h, std::uint64_t(n));
    c.amount = std::int64_t(h);
  }

  // ---- the rendezvous
  void meet() {
    meeting_.publish(rank_, phase_);
    wait(phase_, true);
    lent_ = false;
    for (int r = 0; r < size_; ++r) {
      if (differ(theirs(0), theirs(r))) [[unlikely]] quarrel(0, r, "");
      lent_ |= !theirs(r).staged;
    }
    // Copies are complete and stay; they need no care.
    if (lent_ && board_.failed()) [[unlikely]] withdraw();
  }
  /// Ends the use of lent buffers, if there were any.
  void part() {
    if (!lent_) return;
    const call& c = theirs(rank_);
    meeting_.publish(rank_, ++phase_);
    wait(phase_, false);
    if (board_.failed()) [[unlikely]] board_.stop(c);          // someone may have withdrawn, and its share of the result is missing
  }
  void wait(phase_number n, bool entry) {
    patience p;
    bool listed = false;
    const int me = meeting_.world_rank(rank_);
    for (int r = 0;;) {
      while (r < size_ && meeting_.arrived(r, n)) ++r;
      if (r == size_) break;
      if (p.rest()) {
        if (entry && p.yielding() && board_.failed()) [[unlikely]] give_up(n, false);
        continue;
      }
      if (entry && !listed) board_.waits(me, meeting_, n, meeting_.announcement(rank_, n));
      listed |= entry;
      meeting_.sleep(r, n, slice);
      if (!entry || meeting_.arrived(r, n)) continue;
      if (!board_.failed())
        if (const auto verdict = board_.judge(me, p.seconds())) board_.fail(*verdict);
      if (board_.failed()) give_up(n, true);
    }
    if (listed) board_.goes_on(me);
  }
  /// The run has failed while this rank waits at phase n. Returns if nobody is missing any more (see the top of this file).
  void give_up(phase_number n, bool listed) {
    if (meeting_.missing(n) < 0) return;
    if (listed) board_.goes_on(meeting_.world_rank(rank_));
    meeting_.leave(rank_, n);
    board_.stop(meeting_.announcement(rank_, n));
  }
  /// The run has failed, and all have arrived with buffers lent to each other.
  [[noreturn]] void withdraw() {
    meeting_.leave(rank_, phase_);
    wait(phase_ + 1, false);
    board_.stop(theirs(rank_));
  }
  [[noreturn]] void quarrel(int a, int b, const std::string& more) {
    const call &x = theirs(a), &y = theirs(b);
    const std::string known = facts(x, y, size_);
    board_.fail(disagreement(meeting_.world_rank(a), x, meeting_.world_rank(b), y,
                             "group " + meeting_.name() + (known.empty() ? "" : "; " + known) + more));
    meeting_.leave(rank_, phase_);
    board_.stop(theirs(rank_));
  }
  [[noreturn]] void refuse(operation what) const {
    board_.stop(call{.what = what, .index = index_ + 1, .layer = self.layer ? self.layer : ""});
  }
  void tally(operation o, double bytes, const stopwatch& watch) {
    ++counters_.calls[int(o)];
    counters_.bytes[int(o)] += bytes;
    counters_.seconds += watch.seconds();
  }

  board& board_;
  meeting& meeting_;
  const int rank_, size_;
  phase_number phase_;
  std::uint32_t index_ = 0;
  bool lent_ = false;
  std::vector<const void*> from_;
  std::vector<void*> to_;
  std::vector<long> counts_[2];
  alignas(8) char names_[2][120] = {};
  std::unique_ptr<block[]> rooms_[2];
  std::map<std::vector<int>, std::unique_ptr<group>> parts_;
};

}  // namespace shardproof::in_process

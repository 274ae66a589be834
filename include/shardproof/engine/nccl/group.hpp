#pragma once
/// @file
/// The communicator of ranks that are processes with a GPU each: NCCL's collectives, in the order of the rank's own queue.
///
///     nccl::group tp(watch, device, comm, {4, 5, 6, 7}, 1, "tp");        // world rank 5's side
///     tp.all_reduce(p, n, sp::dtype::f32);                 // queued when it returns, as kernels are
///
/// Sums are made in an order that NCCL chooses for a size and a topology: all ranks have the same bits, and so have runs on the same
/// machines, but not the bits of engine `threads`; bf16 and f16 may be rounded at each step of a ring. Parts of different sizes go by
/// groups: a broadcast or a reduction for each part, sends and receives where all is exchanged. Ranks that make different calls are
/// not compared; they wait for each other until the time limit, and then say where each stood.
#include <map>
#include <utility>
#include <shardproof/engine/nccl/watch.hpp>
#include <shardproof/engine/threads/arguments.hpp>
#include <shardproof/engine/threads/stopwatch.hpp>
#include <shardproof/runtime/context.hpp>
namespace shardproof::nccl {

constexpr ncclDataType_t type_of(dtype t) {
  constexpr ncclDataType_t types[] = {ncclFloat32, ncclFloat64, ncclBfloat16, ncclFloat16, ncclInt64, ncclInt32, ncclInt8, ncclUint8};
  return types[int(t)];
}
constexpr ncclRedOp_t operation_of(reduction r) { return r == reduction::sum ? ncclSum : r == reduction::max ? ncclMax : ncclMin; }

class group final : public communicator {
  using operation = in_process::operation;
  using stopwatch = in_process::stopwatch;

 public:
  /// `members`: world ranks in this group's order.
  group(watch& w, backend& device, ncclComm_t c, std::vector<int> members, int rank, std::string name)
      : watch_(w),
        device_(device),
        comm_(c),
        shared_(std::make_shared<const std::vector<int>>(std::move(members))),
        members_(*shared_),
        rank_(rank),
        name_(std::move(name)) {}
  ~group() override { (void)cudaFree(room_); }
  int rank() const override { return rank_; }
  int size() const override { return int(members_.size()); }

  void all_reduce(void* p, long count, dtype t, reduction how = reduction::sum) override {
    const stopwatch time;
    const std::size_t bytes = checked(operation::all_reduce, p, count, t);
    issue(operation::all_reduce, count > 0, [&](cudaStream_t s) { return ncclAllReduce(p, p, std::size_t(count), type_of(t), operation_of(how), comm_, s); });
    tally(operation::all_reduce, double(bytes), time);
  }
  void all_gather(const void* mine, void* whole, std::span<const long> counts, dtype t) override {
    const stopwatch time;
    const long total = checked(operation::all_gather, counts);
    const std::size_t bytes = checked(operation::all_gather, mine, counts[std::size_t(rank_)], t);
    checked(operation::all_gather, whole, total, t);
    issue(operation::all_gather, total > 0, [&](cudaStream_t s) {
      if (alike(counts)) return ncclAllGather(mine, whole, std::size_t(counts[0]), type_of(t), comm_, s);
      return together([&](auto call) {
        each_part(counts, t, [&](int r, std::size_t at, std::size_t n) {
          void* const to = static_cast<std::byte*>(whole) + at;
          call(ncclBroadcast(r == rank_ ? mine : to, to, n, type_of(t), r, comm_, s));
        });
      });
    });
    tally(operation::all_gather, double(bytes), time);
  }
  void reduce_scatter(const void* whole, void* mine, std::span<const long> counts, dtype t) override {
    const stopwatch time;
    const long total = checked(operation::reduce_scatter, counts);
    const std::size_t bytes = checked(operation::reduce_scatter, whole, total, t);
    checked(operation::reduce_scatter, mine, counts[std::size_t(rank_)], t);
    issue(operation::reduce_scatter, total > 0, [&](cudaStream_t s) {
      if (alike(counts)) return ncclReduceScatter(whole, mine, std::size_t(counts[0]), type_of(t), ncclSum, comm_, s);
      return together([&](auto call) {
        each_part(counts, t, [&](int r, std::size_t at, std::size_t n) {
          call(ncclReduce(static_cast<const std::byte*>(whole) + at, r == rank_ ? mine : nullptr, n, type_of(t), ncclSum, r, comm_, s));
        });
      });
    });
    tally(operation::reduce_scatter, double(bytes), time);
  }
  void all_to_all(const void* send, std::span<const long> send_counts, void* receive, std::span<const long> receive_counts, dtype t) override {
    const stopwatch time;
    const long leaves = checked(operation::all_to_all, send_counts), comes = checked(operation::all_to_all, receive_counts);
    const std::size_t bytes = checked(operation::all_to_all, send, leaves, t);
    checked(operation::all_to_all, receive, comes, t);
    if (send_counts[std::size_t(rank_)] != receive_counts[std::size_t(rank_)])
      throw error(code::usage,
                  "all_to_all that sends " + std::to_string(send_counts[std::size_t(rank_)]) + " elements to itself and expects " +
                      std::to_string(receive_counts[std::size_t(rank_)]) + ".",
                  "pass receive_counts that are what the others send.");
    issue(operation::all_to_all, leaves > 0 || comes > 0, [&](cudaStream_t s) {
      return together([&](auto call) {
        each_part(send_counts, t,
                  [&](int r, std::size_t at, std::size_t n) { call(ncclSend(static_cast<const std::byte*>(send) + at, n, type_of(t), r, comm_, s)); });
        each_part(receive_counts, t,
                  [&](int r, std::size_t at, std::size_t n) { call(ncclRecv(static_cast<std::byte*>(receive) + at, n, type_of(t), r, comm_, s)); });
      });
    });
    tally(operation::all_to_all, double(bytes), time);
  }
  void broadcast(void* p, long count, dtype t, int root) override {
    const stopwatch time;
    const std::size_t bytes = checked(operation::broadcast, p, count, t);
    in_process::check_root(root, size());
    issue(operation::broadcast, count > 0, [&](cudaStream_t s) { return ncclBroadcast(p, p, std::size_t(count), type_of(t), root, comm_, s); });
    tally(operation::broadcast, double(bytes), time);  // on every rank, as the ledger does
  }
  /// The host waits, and its queue with it.
  void barrier() override {
    const stopwatch time;
    refuse_in_capture(operation::barrier);
    std::int64_t* const p = room();
    watch_.wait(issue(operation::barrier, true, [&](cudaStream_t s) { return ncclAllReduce(p, p, 1, ncclInt64, ncclSum, comm_, s); }));
    tally(operation::barrier, 0, time);
  }

  communicator& split(int color) override {
    refuse_in_capture(operation::split);
    const std::vector<int> places = places_of(gathered(color));
    auto& g = parts_[places];
    if (!g) {
      const int mine = places[std::size_t(rank_)];
      std::vector<int> members;
      int place = 0;
      for (int r = 0; r < size(); ++r)
        if (places[std::size_t(r)] == mine) {
          if (r == rank_) place = int(members.size());
          members.push_back(members_[std::size_t(r)]);
        }
      g = part(std::move(members), place, mine, "a part of " + name_);
    }
    return *g;
  }
  communicator& neighbours(int n) override {
    auto& g = neighbours_[n];
    if (!g) {
      refuse_in_capture(operation::split);
      const int first = rank_ / n * n;
      std::vector<int> members(members_.begin() + first, members_.begin() + std::min(first + n, size()));
      g = part(std::move(members), rank_ - first, rank_ / n, "a part of " + name_);
    }
    return *g;
  }
  /// A part whose members all ranks of this group know; collective. Each part has a `color` of its own, from 0 on.
  std::unique_ptr<group> part(std::vector<int> members, int place, int color, std::string name) {
    if (members.size() == members_.size()) return std::make_unique<group>(watch_, device_, comm_, std::move(members), place, std::move(name));
    ncclConfig_t c = NCCL_CONFIG_INITIALIZER;
    c.blocking = 0;
    const ncclComm_t made =
        watch_.open("the start of " + name, start_seconds, comm_, [&](ncclComm_t* to) { return ncclCommSplit(comm_, color, place, to, &c); });
    return std::make_unique<group>(watch_, device_, made, std::move(members), place, std::move(name));
  }
  static constexpr double start_seconds = 300;           ///< of a part, which may have to make connections

  void run_captured(backend& d, void* step) override {
    label what;
    what.what = operation::captured_step;
    what.members = shared_;
    watch_.require_running(what);                        // else its kernels would use communicators that are gone
    d.run_captured(step);
    watch_.queued(stream(), what);
  }

 private:
  static cudaStream_t stream() { return static_cast<cudaStream_t>(device_link.stream()); }
  /// Queues one collective; nothing where it moves nothing on any rank, which counts as a call all the same.
  template <class F> label issue(operation what, bool moves, F f) {
    label l;
    l.what = what;
    l.index = ++calls_;
    l.members = shared_;
    std::snprintf(l.layer, sizeof l.layer, "%s", self.layer);
    if (!moves) return l;
    const cudaStream_t s = stream();
    watch_.call(comm_, l, [&] { return f(s); });
    if (!device_.capturing()) watch_.queued(s, l);
    return l;
  }
  /// Calls that NCCL takes as one. The first that fails says how.
  template <class F> static ncclResult_t together(F f) {
    ncclResult_t worst = ncclGroupStart();
    if (worst != ncclSuccess) return worst;
    f([&](ncclResult_t r) {
      if (r != ncclSuccess && r != ncclInProgress && worst == ncclSuccess) worst = r;
    });
    const ncclResult_t end = ncclGroupEnd();
    return worst != ncclSuccess ? worst : end;
  }
  static bool alike(std::span<const long> counts) { return std::all_of(counts.begin(), counts.end(), [&](long n) { return n == counts[0]; }); }
  /// f(rank, its part's place in bytes, its elements) of parts that are not empty.
  template <class F> static void each_part(std::span<const long> counts, dtype t, F f) {
    std::size_t at = 0;
    for (std::size_t r = 0; r < counts.size(); ++r) {
      if (counts[r] > 0) f(int(r), at, std::size_t(counts[r]));
      at += std::size_t(counts[r]) * bytes_of(t);
    }
  }

  // ---- splits
  /// A number for each rank on the device, made at its first use.
  std::int64_t* room() {
    if (!room_) {
      void* p = nullptr;
      check_cuda(cudaMalloc(&p, sizeof(std::int64_t) * (members_.size() + 1)), "memory for a split");
      check_cuda(cudaMemsetAsync(p, 0, sizeof(std::int64_t) * (members_.size() + 1), stream()), "memory for a split");
      room_ = static_cast<std::int64_t*>(p);
    }
    return room_;
  }
  std::vector<std::int64_t> gathered(std::int64_t mine) {
    std::int64_t* const all = room() + 1;
    const cudaStream_t s = stream();
    check_cuda(cudaMemcpyAsync(all + rank_, &mine, sizeof mine, cudaMemcpyHostToDevice, s), "a copy to the device");
    watch_.wait(issue(operation::split, true, [&](cudaStream_t q) { return ncclAllGather(all + rank_, all, 1, ncclInt64, comm_, q); }));
    std::vector<std::int64_t> colors(members_.size());
    check_cuda(cudaMemcpyAsync(colors.data(), all, sizeof(std::int64_t) * colors.size(), cudaMemcpyDeviceToHost, s), "a copy from the device");
    check_cuda(cudaStreamSynchronize(s), "a copy from the device");
    return colors;
  }
  /// Which part each rank is in, parts numbered as they first occur: equal for equal splits, whatever the colors.
  static std::vector<int> places_of(const std::vector<std::int64_t>& colors) {
    std::map<std::int64_t, int> number;
    std::vector<int> places;
    for (const std::int64_t c : colors) places.push_back(number.emplace(c, int(number.size())).first->second);
    return places;
  }
  void refuse_in_capture(operation o) const {
    if (device_.capturing())
      throw error(code::usage, std::string("a captured step calls ") + name_of(o) + ", which waits for other ranks, and it runs later.",
                  "take it out of the step.");
  }

  std::size_t checked(operation o, const void* p, long count, dtype t) const { return in_process::checked_bytes(o, p, count, t, device_); }
  long checked(operation o, std::span<const long> counts) const { return in_process::checked_sum(o, counts, size()); }
  void tally(operation o, double bytes, const stopwatch& time) {
    ++counters_.calls[int(o)];
    counters_.bytes[int(o)] += bytes;
    counters_.seconds += time.seconds();
  }

  watch& watch_;
  backend& device_;
  const ncclComm_t comm_;
  const std::shared_ptr<const std::vector<int>> shared_;
  const std::vector<int>& members_;
  const int rank_;
  const std::string name_;
  unsigned calls_ = 0;
  std::int64_t* room_ = nullptr;                         ///< for barriers, and behind that for colors
  std::map<std::vector<int>, std::unique_ptr<group>> parts_;
  std::map<int, std::unique_ptr<group>> neighbours_;     ///< by their number
};

}  // namespace shardproof::nccl

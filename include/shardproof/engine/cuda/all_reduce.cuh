#pragma once
/// @file
/// All-reduce of ranks that read each other's memory, in one shot or in two. Summed in rank order 0, 1, ..., as on the CPU.
///
///     cuda::all_reduce<cuda::events>(peers, rank, nullptr, y, n, sp::dtype::f32, sp::reduction::sum, cuda::way_for(2, 4 * n));
///     cuda::all_reduce<cuda::flags>(peers, rank, x, x, n, sp::dtype::bf16, sp::reduction::sum, cuda::way_for(2, 2 * n));
///     cuda::all_reduce_one_grid(peers, ends, n, sp::dtype::f32, sp::reduction::sum, w);      // of all ranks, which are on one device
///
/// Under `events` one-shot reads data[r] of all ranks and writes y, which is none of them: every rank's addends are ready before, and
/// stay until all have done. Two-shot works in place on data[r] of all ranks (`from` and `to` are not used): all are ready before, and
/// complete when all have done. Otherwise x and y may be the same; x is copied to the slot, and what exceeds it follows in rounds.
///
/// Tiling: a block has a stretch of whole lines of 128 bytes, a part of it for each rank in two-shot. Bytes a rank, of n to reduce:
/// one-shot reads P n and writes n; two-shot reads n and writes n; with slots 2 n more (one-shot) or 4 n more, on the own device.
/// FLOP: (P - 1) a number, P times as many in one-shot. As vLLM's custom_all_reduce.cuh and TensorRT-LLM's kernels do it.
#include <shardproof/backend/cuda/spans.cuh>
#include <shardproof/engine/cuda/sync.cuh>
namespace shardproof::cuda {

namespace peer_detail {
/// Stretches of a rank's operand, one for each rank (or one alone); in a slot they lie `stride` elements apart.
struct pieces {
  long at[most_peers]{}, count[most_peers]{};
  int n = 0;
};

/// y = piece k of the operands combined; k is the rank's own, or the only one.
template <class T, int P, class Sync>
__global__ void __launch_bounds__(most_peer_threads)
    reduce_one_shot(const __grid_constant__ party who, const __grid_constant__ pieces p, long stride, reduction how, const __grid_constant__ Sync sync) {
  const peer_table& peers = who.peers;
  const int rank = rank_of_block<Sync>(who), k = p.n == 1 ? 0 : rank;
  meeting<Sync> m(sync, peers, rank);
  const T* const from = static_cast<const T*>(who.own.from[rank]);
  if constexpr (Sync::inside) {
    for (int q = 0; q < p.n; ++q) {
      const span s = of_block(p.count[q], sizeof(T));
      copy_span(shown<T>(peers, m, rank, q * stride + s.first), from + p.at[q] + s.first, s.n);
    }
    if (!m.meet()) return;
  }
  const span s = of_block(p.count[k], sizeof(T));
  const long own = p.at[k] + s.first, at = Sync::inside ? k * stride + s.first : own;
  T* const to = static_cast<T*>(who.own.to[rank]) + s.first;
  combine_span(buffers_of<P>(peers.ranks, [&](int r) { return Sync::inside && r == rank ? from + own : shown<const T>(peers, m, r, at); }),
               buffers_of<1>(1, [=](int) { return to; }), how, s.n);
  m.end();
}

/// Everybody's data = the combination of all, part r by rank r.
template <class T, int P, class Sync>
__global__ void __launch_bounds__(most_peer_threads)
    reduce_two_shot(const __grid_constant__ party who, long count, reduction how, const __grid_constant__ Sync sync) {
  const peer_table& peers = who.peers;
  const int rank = rank_of_block<Sync>(who);
  meeting<Sync> m(sync, peers, rank);
  const auto part = [&](int q) {                         // of rank q, and there of this block
    const long first = part_begin(q, peers.ranks, count, sizeof(T));
    const span s = of_block(part_begin(q + 1, peers.ranks, count, sizeof(T)) - first, sizeof(T));
    return span{first + s.first, s.n};
  };
  if constexpr (Sync::inside) {
    const T* const from = static_cast<const T*>(who.own.from[rank]);
    for (int q = 0; q < peers.ranks; ++q) copy_span(shown<T>(peers, m, rank, part(q).first), from + part(q).first, part(q).n);
    if (!m.meet()) return;
  }
  const span mine = part(rank);
  const auto all = buffers_of<P>(peers.ranks, [&](int r) { return shown<T>(peers, m, r, mine.first); });
  combine_span(all, all, how, mine.n);
  if constexpr (Sync::inside) {
    if (!m.meet()) return;
    T* const to = static_cast<T*>(who.own.to[rank]);
    for (int q = 0; q < peers.ranks; ++q) copy_span(to + part(q).first, shown<const T>(peers, m, rank, part(q).first), part(q).n);
  }
  m.end();
}

template <class Sync>
void launch_one_shot(const char* name, const party& who, dtype type, reduction how, const pieces& p, long stride, const way& w, const Sync& sync) {
  visit(type, [&](auto zero) {
    using T = decltype(zero);
    const auto kernel = kernel_for<T>(who.peers.ranks, how, [](auto ranks) { return reduce_one_shot<T, ranks(), Sync>; });
    launch_meeting<Sync>(name, kernel, who, w.blocks, w.threads, p, stride, how, sync);
  });
}
template <class Sync> void launch_two_shot(const party& who, dtype type, reduction how, long count, const way& w, const Sync& sync) {
  visit(type, [&](auto zero) {
    using T = decltype(zero);
    const auto kernel = kernel_for<T>(who.peers.ranks, how, [](auto ranks) { return reduce_two_shot<T, ranks(), Sync>; });
    launch_meeting<Sync>("all_reduce", kernel, who, w.blocks, w.threads, count, how, sync);
  });
}
/// Elements of one of `parts` in a slot, which is what a collective moves at once; all of them where there are no slots.
template <class Sync> long round_of(const peer_table& t, int parts, dtype type, long all) {
  if constexpr (!Sync::inside) return all;
  check_slots(t, std::is_same_v<Sync, flags>);
  return whole_lines(t.slot_bytes / parts, bytes_of(type));
}
/// In rounds, where a slot is smaller: all ranks have the same count and slots, hence the same rounds.
template <class Sync> void all_reduce(const party& who, long count, dtype type, reduction how, const way& w, const Sync& sync) {
  check_count(count, "all_reduce");
  const long size = long(bytes_of(type)), round = round_of<Sync>(who.peers, 1, type, count);
  for (long at = 0; at < count; at += round) {
    const long n = count - at < round ? count - at : round;
    const party here = moved(who, at * size, at * size);
    if (w.how == shots::two) launch_two_shot(here, type, how, n, w, sync);
    else launch_one_shot("all_reduce", here, type, how, pieces{{}, {n}, 1}, 0, w, sync);
  }
}
}  // namespace peer_detail

/// On this rank's queue. @error SP001 for a table that does not fit, or ranks of one device that flags would block.
template <class Sync>
void all_reduce(const peer_table& peers, int rank, const void* from, void* to, long count, dtype type, reduction how, const way& w,
                const Sync& sync = Sync::here()) {
  static_assert(!Sync::together, "see all_reduce_one_grid");
  peer_detail::all_reduce(peer_detail::party_of(peers, rank, from, to), count, type, how, w, sync);
}
/// Of all ranks, in one launch.
inline void all_reduce_one_grid(const peer_table& peers, const ends& own, long count, dtype type, reduction how, const way& w) {
  peer_detail::all_reduce(peer_detail::party_of(peers, own), count, type, how, w, one_grid{});
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// What follows a row-wise layer, in one kernel: all-reduce, residual addition and RMS norm. One-shot.
///
///     cuda::all_reduce_norm<cuda::events>(peers, rank, nullptr, residual, y, w, 1e-5, 0);   // residual += sum; y = rms_norm(residual)
///     cuda::all_reduce_norm<cuda::flags>(peers, rank, x, residual, y, w, 1e-5, 0);
///
/// residual and y are [rows, n], f32 or f64; the addends (data[r] under `events`, x otherwise) have their type; w is [n], of any
/// float type, or null. The same bits as all_reduce and add have; of the norm, all but the order in which the squares are summed.
///
/// Tiling: a block a row, a pack of 16 bytes a thread; four of a thread's packs stay in registers between the two passes (rows of up
/// to 8192 f32), what is beyond them is read again. Bytes a rank, of n a row: P + 1 read, 2 written; with a slot 2 more. The same in
/// three kernels reads P + 3 and writes 3. FLOP: P + 5 a number. Statistics are summed in double. Zhang & Sennrich, arXiv 1910.07467;
/// the fusion is TensorRT-LLM's and TokenWeave's (arXiv 2505.11329).
#include <shardproof/backend/cuda/block.cuh>
#include <shardproof/engine/cuda/all_reduce.cuh>
namespace shardproof::cuda {

/// A rank's tensors behind the sum. A launch for one rank looks at that rank's entry alone.
struct norm_ends {
  void* residual[most_peers]{};
  void* y[most_peers]{};
  const void* w[most_peers]{};
  dtype type_of_w = dtype::f32;
};

namespace peer_detail {
/// One weight; `type` is the same for all threads.
template <class T> __device__ T weight_at(const void* w, dtype type, long i) {
  switch (type) {
    case dtype::bf16: return load<T>(static_cast<const bf16*>(w), i);
    case dtype::f16: return load<T>(static_cast<const f16*>(w), i);
    case dtype::f64: return load<T>(static_cast<const double*>(w), i);
    default: return load<T>(static_cast<const float*>(w), i);
  }
}
/// A row of one rank in packs of N.
template <class T, int N, class Addends> struct norm_row {
  Addends addends;
  T *residual, *y;
  const void* w;
  dtype type_of_w;
  T offset;
  /// residual += sum, and that squared.
  __device__ pack<T, N> add_up(long at, double& squares) const {
    const pack<T, N> x = combination<N>(addends, reduction::sum, at);
    pack<T, N> r = pack_at<N>(residual + at, 0);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      r.of[k] = r.of[k] + x.of[k];
      squares += double(r.of[k]) * double(r.of[k]);
    }
    pack_at<N>(residual + at, 0) = r;
    return r;
  }
  __device__ void finish(long at, pack<T, N> r, T scale) const {
#pragma unroll
    for (int k = 0; k < N; ++k) r.of[k] = w ? r.of[k] * scale * (offset + weight_at<T>(w, type_of_w, at + k)) : r.of[k] * scale;
    pack_at<N>(y + at, 0) = r;
  }
  __device__ void run(long n, double eps) const {
    constexpr int kept = 4;
    const long first = long(threadIdx.x) * N, step = long(blockDim.x) * N;
    pack<T, N> rows[kept];
    double squares = 0;
#pragma unroll
    for (int k = 0; k < kept; ++k)
      if (first + k * step < n) rows[k] = add_up(first + k * step, squares);
    for (long at = first + kept * step; at < n; at += step) add_up(at, squares);
    const T scale = T(1 / sqrt(block_sum(squares) / double(n) + eps));
#pragma unroll
    for (int k = 0; k < kept; ++k)
      if (first + k * step < n) finish(first + k * step, rows[k], scale);
    for (long at = first + kept * step; at < n; at += step) finish(at, pack_at<N>(residual + at, 0), scale);
  }
};

struct norm_shape {
  long rows, n;
  double eps, offset;
  bool packs;                                            ///< rows may be moved in packs of 16 bytes
};
/// Block b has rows b, b + blocks, ... of every rank.
template <class T, int P, class Sync>
__global__ void __launch_bounds__(most_peer_threads)
    all_reduce_norm_rows(const __grid_constant__ party who, const __grid_constant__ norm_ends e, norm_shape s, const __grid_constant__ Sync sync) {
  const peer_table& peers = who.peers;
  const int rank = rank_of_block<Sync>(who);
  const long rows = s.rows, n = s.n;
  meeting<Sync> m(sync, peers, rank);
  const T* const x = static_cast<const T*>(who.own.from[rank]);
  if constexpr (Sync::inside) {
    for (long r = blockIdx.x; r < rows; r += gridDim.x) copy_span(shown<T>(peers, m, rank, r * n), x + r * n, n);
    if (!m.meet()) return;
  }
  const auto run = [&](auto size) {
    for (long r = blockIdx.x; r < rows; r += gridDim.x) {
      const auto addends = buffers_of<P>(peers.ranks, [&](int q) { return shown<const T>(peers, m, q, r * n); });
      T *const residual = static_cast<T*>(e.residual[rank]) + r * n, *const y = static_cast<T*>(e.y[rank]) + r * n;
      norm_row<T, size(), decltype(addends)>{addends, residual, y, e.w[rank], e.type_of_w, T(s.offset)}.run(n, s.eps);
    }
  };
  if (s.packs) run(std::integral_constant<int, 16 / int(sizeof(T))>{});
  else run(std::integral_constant<int, 1>{});
  m.end();
}
inline bool in_packs(const peer_table& t, const norm_ends& e, long row_bytes) {
  const auto aligned = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; };
  bool all = row_bytes % 16 == 0;
  for (int r = 0; r < t.ranks; ++r) all = all && aligned(t.data[r]) && aligned(e.residual[r]) && aligned(e.y[r]);
  return all;
}
template <class Sync> void all_reduce_norm(const party& who, norm_ends e, norm_shape s, dtype type, unsigned most, const Sync& sync) {
  if (type != dtype::f32 && type != dtype::f64) refuse_peers(std::string("all_reduce_norm of ") + name_of(type) + ".", "keep activations in F32 or F64.");
  if (s.rows == 0 || s.n == 0) return;
  const peer_table& t = who.peers;
  const long row_bytes = s.n * long(bytes_of(type)), all = s.rows, round = Sync::inside ? t.slot_bytes / row_bytes : all;
  if (round == 0) refuse_peers("rows of " + to_string(row_bytes) + " bytes, and a slot of " + to_string(t.slot_bytes) + ".", "give slots of a row at least.");
  s.packs = in_packs(t, e, row_bytes);
  const unsigned threads = at_most(threads_for_row(s.n), most_peer_threads);
  visit_float(type, [&](auto zero) {
    using T = decltype(zero);
    const auto kernel = kernel_for<T>(t.ranks, reduction::sum, [](auto ranks) { return all_reduce_norm_rows<T, ranks(), Sync>; });
    for (long at = 0; at < all; at += round) {
      s.rows = all - at < round ? all - at : round;
      launch_meeting<Sync>("all_reduce_norm", kernel, moved(who, at * row_bytes, 0), at_most(s.rows, most), threads, e, s, sync);
      for (int r = 0; r < t.ranks; ++r)
        if (e.y[r]) e.residual[r] = static_cast<T*>(e.residual[r]) + s.rows * s.n, e.y[r] = static_cast<T*>(e.y[r]) + s.rows * s.n;
    }
  });
}
}  // namespace peer_detail

/// On this rank's queue. y and residual are apart, and apart from all addends.
template <class Sync>
void all_reduce_norm(const peer_table& peers, int rank, const void* x, const view& residual, const view& y, const view& w, double eps, double offset,
                     unsigned most = usual_blocks, const Sync& sync = Sync::here()) {
  static_assert(!Sync::together, "see all_reduce_norm_one_grid");
  const long n = residual.s.rank ? residual.s[-1] : 0;
  peer_detail::check_rank(peers, rank);
  norm_ends e{.type_of_w = w.type};
  e.residual[rank] = residual.p;
  e.y[rank] = y.p;
  e.w[rank] = w.p;
  const peer_detail::norm_shape s{n ? residual.count() / n : 0, n, eps, offset, false};
  peer_detail::all_reduce_norm(peer_detail::party_of(peers, rank, x, nullptr), e, s, residual.type, most, sync);
}
/// Of all ranks, in one launch.
inline void all_reduce_norm_one_grid(const peer_table& peers, const ends& own, const norm_ends& e, long rows, long n, dtype type, double eps, double offset,
                                     unsigned most = usual_blocks) {
  peer_detail::all_reduce_norm(peer_detail::party_of(peers, own), e, {rows, n, eps, offset, false}, type, most, one_grid{});
}

}  // namespace shardproof::cuda

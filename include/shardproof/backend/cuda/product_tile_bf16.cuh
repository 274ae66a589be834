#pragma once
/// @file
/// A tile of a product by one block on tensor cores: operands are rounded to bf16 on their way, sums are f32.
///
///     product_tile_bf16::add<true, true>(a, b, 0, 128, {0, k}, y, n, false);             // as product_tile's; `along` of a and b known
///
/// Tiling: 64 x 128 results of eight warps, which have 32 x 32 each as fragments; 32 terms at a time in shared memory, while the next ones
/// are on their way. nvcuda::wmma, which runs on any device since Ampere; not as fast as Hopper's own instructions.
#include <cuda_bf16.h>
#include <mma.h>
#include <shardproof/backend/cuda/product_tile.cuh>
namespace shardproof::cuda::detail {

struct product_tile_bf16 {
  static constexpr int rows = 64, columns = 128, terms = 32, threads = 256, result_room = columns + 4;

  /// Size x terms elements of an operand: terms neighbours if Along, else the i are. Rows are 16 bytes longer than they have to be, so
  /// that rows below each other lie in different banks.
  template <int Size, bool Along> struct operand {
    static constexpr int room = (Along ? terms : Size) + 8, stored = Along ? Size : terms, packs = Size * terms / 4 / threads;
    static constexpr std::size_t bytes = std::size_t(stored) * room * 2;
    float x[packs][4];
    static __device__ int row(int v) { return (int(threadIdx.x) + v * threads) / ((Along ? terms : Size) / 4); }
    static __device__ int column(int v) { return (int(threadIdx.x) + v * threads) % ((Along ? terms : Size) / 4) * 4; }
    template <class S> __device__ void read(const tile_operand<S>& o, long i0, long l0, long end, bool wide) {
#pragma unroll
      for (int v = 0; v < packs; ++v) o.read(x[v], i0 + (Along ? row(v) : column(v)), l0 + (Along ? column(v) : row(v)), end, wide);
    }
    __device__ void put(__nv_bfloat16* to) const {
#pragma unroll
      for (int v = 0; v < packs; ++v) {
        auto* const y = reinterpret_cast<__nv_bfloat162*>(to + row(v) * room + column(v));
        y[0] = __floats2bfloat162_rn(x[v][0], x[v][1]);
        y[1] = __floats2bfloat162_rn(x[v][2], x[v][3]);
      }
    }
    /// Element (i, l) of what was put.
    static __device__ const __nv_bfloat16* at(const __nv_bfloat16* p, int i, int l) { return p + (Along ? i * room + l : l * room + i); }
  };

  template <bool AlongA, bool AlongB, class A, class B>
  static __device__ void add(const tile_operand<A>& a, const tile_operand<B>& b, long i0, long j0, term_range range, float* c, long ldc, bool adds) {
    namespace wmma = nvcuda::wmma;
    using left_operand = operand<rows, AlongA>;
    using right_operand = operand<columns, AlongB>;
    // The result lies over both operands at the end.
    constexpr std::size_t both = left_operand::bytes + right_operand::bytes, result_bytes = std::size_t(rows) * result_room * 4;
    static_assert(left_operand::bytes % 32 == 0);
    struct alignas(32) memory { unsigned char of[both < result_bytes ? result_bytes : both]; };
    __shared__ memory shared;
    auto *const left = reinterpret_cast<__nv_bfloat16*>(shared.of), *const right = reinterpret_cast<__nv_bfloat16*>(shared.of + left_operand::bytes);
    auto* const result = reinterpret_cast<float*>(shared.of);
    const int warp = int(threadIdx.x) / 32, wi = warp / 4 * 32, wj = warp % 4 * 32;
    const bool wide_a = a.is_wide(), wide_b = b.is_wide();
    left_operand next_a;
    right_operand next_b;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum[2][2];
#pragma unroll
    for (auto& row : sum)
      for (auto& x : row) wmma::fill_fragment(x, 0.f);
    next_a.read(a, i0, range.from, range.to, wide_a);
    next_b.read(b, j0, range.from, range.to, wide_b);
    for (long l = range.from; l < range.to; l += terms) {
      __syncthreads();                                   // what the tiles held has been used
      next_a.put(left);
      next_b.put(right);
      __syncthreads();
      if (l + terms < range.to) {
        next_a.read(a, i0, l + terms, range.to, wide_a);
        next_b.read(b, j0, l + terms, range.to, wide_b);
      }
#pragma unroll
      for (int k = 0; k < terms; k += 16) {
        wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, std::conditional_t<AlongA, wmma::row_major, wmma::col_major>> x[2];
        wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, std::conditional_t<AlongB, wmma::col_major, wmma::row_major>> y[2];
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          wmma::load_matrix_sync(x[e], left_operand::at(left, wi + 16 * e, k), left_operand::room);
          wmma::load_matrix_sync(y[e], right_operand::at(right, wj + 16 * e, k), right_operand::room);
        }
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
          for (int j = 0; j < 2; ++j) wmma::mma_sync(sum[i][j], x[i], y[j], sum[i][j]);
      }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j)
        wmma::store_matrix_sync(result + (wi + 16 * i) * result_room + wj + 16 * j, sum[i][j], result_room, wmma::mem_row_major);
    __syncthreads();
    for (int at = int(threadIdx.x); at < rows * columns; at += threads) {
      const long r = i0 + at / columns, col = j0 + at % columns;
      if (r >= a.count || col >= b.count) continue;
      const float s = result[at / columns * result_room + at % columns];
      c[r * ldc + col] = adds ? c[r * ldc + col] + s : s;
    }
  }
};

}  // namespace shardproof::cuda::detail

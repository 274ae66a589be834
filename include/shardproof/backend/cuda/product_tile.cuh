#pragma once
/// @file
/// A tile of a product by one block, in the arithmetic of its type: for products that are no cuBLASLt problem, as those of groups.
///
///     const tile_operand<float> a{x, k, true, m}, b{w, k, true, n};                     // x [m, k], w [n, k]: both run along the sum
///     product_tile<float, 64>::add(a, b, 0, 64, {0, k}, y, n, false);                   // y[0 ... 64, 64 ... 128] = x w^T
///
/// Tiling: Size x Size results of 256 threads, which have 4 x 4 or 8 x 8 each in registers; 16 (f64: 8) terms at a time in shared memory,
/// while the next ones are on their way. 16-bit operands are widened as they are read. An element's terms are added one after the other.
#include <cmath>
#include <shardproof/backend/cuda/rows.cuh>
namespace shardproof::cuda::detail {

/// Element (i, l): row or column i of the result, term l of its sum.
template <class S> struct tile_operand {
  const S* p;
  long stride;                                           ///< from one stored row to the next
  bool along;                                            ///< terms are neighbours; else the i are
  long count;                                            ///< of i that there are
  __device__ bool is_wide() const { return stride % 4 == 0 && reinterpret_cast<std::uintptr_t>(p) % alignof(pack<S, 4>) == 0; }
  /// Four neighbours from (i, l) on; zero where there are none. Terms end at `end`.
  template <class T> __device__ void read(T (&to)[4], long i, long l, long end, bool wide) const {
    const long left = along ? (i < count ? end - l : 0) : (l < end ? count - i : 0);
    load_pack(to, p + (along ? i * stride + l : l * stride + i), left, wide && left >= 4);
  }
};
struct term_range { long from, to; };

template <class T, int Size> struct product_tile {
  static constexpr int threads = 256, terms = sizeof(T) == 8 ? 8 : 16, room = Size + 4, own = Size / 16;
  static constexpr int packs = Size * terms / 4 / threads ? Size * terms / 4 / threads : 1;   // of an operand a thread
  static_assert(Size * terms / 4 % threads == 0 || Size * terms / 4 < threads);

  /// One operand's share of a step, on its way from memory.
  template <class S> struct share {
    T x[packs][4];
    static __device__ bool has(int at) { return at < Size * terms / 4; }
    __device__ void read(const tile_operand<S>& o, long i0, long l0, long end, bool wide) {
#pragma unroll
      for (int v = 0; v < packs; ++v)
        if (const int at = int(threadIdx.x) + v * threads; has(at)) {
          const int i = o.along ? at / (terms / 4) : at % (Size / 4) * 4, l = o.along ? at % (terms / 4) * 4 : at / (Size / 4);
          o.read(x[v], i0 + i, l0 + l, end, wide);
        }
    }
    __device__ void put(T (&to)[terms][room], bool along) const {
#pragma unroll
      for (int v = 0; v < packs; ++v)
        if (const int at = int(threadIdx.x) + v * threads; has(at)) {
          const int i = along ? at / (terms / 4) : at % (Size / 4) * 4, l = along ? at % (terms / 4) * 4 : at / (Size / 4);
#pragma unroll
          for (int e = 0; e < 4; ++e) to[along ? l + e : l][along ? i : i + e] = x[v][e];
        }
    }
  };
  /// A thread's rows, or columns: fours that are 64 apart.
  static __device__ int place(int t, int e) { return e / 4 * 64 + t * 4 + e % 4; }
  struct alignas(16) stage {
    T of[terms][room];
    __device__ void read(T (&to)[own], int k, int t) const {
#pragma unroll
      for (int e = 0; e < own; e += 4) {
        const pack<T, 4> p = pack_at<4>(of[k] + place(t, e), 0);
#pragma unroll
        for (int i = 0; i < 4; ++i) to[e + i] = p.of[i];
      }
    }
  };

  /// c[i0 ..., j0 ...] (+)= the sum over the terms of `range` of a(i, l) b(j, l); rows of c are `ldc` apart. All threads of the block call.
  template <class A, class B>
  static __device__ void add(const tile_operand<A>& a, const tile_operand<B>& b, long i0, long j0, term_range range, T* c, long ldc, bool adds) {
    __shared__ stage left, right;
    const int tx = int(threadIdx.x) % 16, ty = int(threadIdx.x) / 16;
    const bool wide_a = a.is_wide(), wide_b = b.is_wide();
    share<A> next_a;
    share<B> next_b;
    T sum[own][own] = {};
    next_a.read(a, i0, range.from, range.to, wide_a);
    next_b.read(b, j0, range.from, range.to, wide_b);
    for (long l = range.from; l < range.to; l += terms) {
      __syncthreads();                                   // what the tiles held has been used
      next_a.put(left.of, a.along);
      next_b.put(right.of, b.along);
      __syncthreads();
      if (l + terms < range.to) {
        next_a.read(a, i0, l + terms, range.to, wide_a);
        next_b.read(b, j0, l + terms, range.to, wide_b);
      }
#pragma unroll 2
      for (int k = 0; k < terms; ++k) {
        T x[own], y[own];
        left.read(x, k, ty);
        right.read(y, k, tx);
#pragma unroll
        for (int i = 0; i < own; ++i)
#pragma unroll
          for (int j = 0; j < own; ++j) sum[i][j] = std::fma(x[i], y[j], sum[i][j]);
      }
    }
#pragma unroll
    for (int i = 0; i < own; ++i)
#pragma unroll
      for (int j = 0; j < own; ++j) {
        const long r = i0 + place(ty, i), col = j0 + place(tx, j);
        if (r < a.count && col < b.count) c[r * ldc + col] = adds ? c[r * ldc + col] + sum[i][j] : sum[i][j];
      }
  }
};

}  // namespace shardproof::cuda::detail

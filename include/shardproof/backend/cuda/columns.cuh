#pragma once
/// @file
/// Sums down the columns: dst[j] += scale * sum over r of f(r, j), the same bits whatever the device.
///
///     struct square { const float* x; long n; __device__ float operator()(long r, long j) const { return x[r * n + j] * x[r * n + j]; } };
///     cuda::add_columns("name", dst, rows, n, square{x, n});                             // dst: float* or double*
///     cuda::add_columns("name", column_targets<float, 2>{dw, db}, rows, n, both{...});   // both() returns terms<float, 2>; dw or db may be null
///
/// f is a class with a __device__ operator() whose result's type is written out (no lambda, no auto: the host asks for it). It is
/// called once for each (r, j), neighbouring threads with neighbouring columns. That type is the sums': let it be double where
/// digits matter (f32: chains of rows / (parts * 32) terms or so, then a tree; the parts' sums and dst are added in double anyway).
/// What it reads is read once; beside it columns * parts sums are written and read, parts at most 1056 and mostly below 16.
/// Tiling: a block sums 32 columns (or the power of two that covers fewer) of one part of the rows, four rows a thread at a time;
/// where the rows have several parts, a second launch adds the parts' sums in double. One add a term.
#include <type_traits>
#include <utility>
#include <shardproof/backend/cuda/matrix_tile.cuh>
#include <shardproof/backend/cuda/memory.cuh>
namespace shardproof::cuda {

/// What f returns where one pass makes several sums.
template <class A, int N> struct terms { A of[N]; };
/// Where they go; a null pointer: not wanted.
template <class T, int N> struct column_targets { T* of[N]; };

/// How rows are cut, from nothing but the shape.
struct column_plan {
  matrix_tile tile;
  long part_rows = 0, parts = 0;
  static constexpr long rows_per_thread = 16;            ///< at least, before rows are cut into parts
  static constexpr long most_resident = 132 * 8;         ///< blocks of 256 threads that an H200 runs at a time
  constexpr column_plan(long rows, long columns) : tile(tile_for(columns, 5)) {
    if (rows <= 0 || columns <= 0) return;
    const long wanted = parts_of(rows, tile.height() * rows_per_thread), tiles = parts_of(columns, tile.width());
    const long limit = tiles < most_resident ? most_resident / tiles : 1;
    part_rows = parts_of(parts_of(rows, wanted < limit ? wanted : limit), tile.height()) * tile.height();
    parts = parts_of(rows, part_rows);
  }
};

namespace detail {
template <class A, int N> __device__ void add_terms(terms<A, N>& s, const terms<A, N>& v) {
#pragma unroll
  for (int k = 0; k < N; ++k) s.of[k] += v.of[k];
}
/// f(r, j) + f(r + step, j) + ... in four chains, so that four rows are on their way from memory at a time.
template <class A, int N, class F> __device__ terms<A, N> add_rows_of_column(const F& f, long r, long end, long step, long j) {
  constexpr int deep = 4;
  terms<A, N> s[deep] = {}, v[deep];
  for (; r + (deep - 1) * step < end; r += deep * step) {
#pragma unroll
    for (int d = 0; d < deep; ++d) v[d] = f(r + d * step, j);
#pragma unroll
    for (int d = 0; d < deep; ++d) add_terms(s[d], v[d]);
  }
  for (; r < end; r += step) add_terms(s[0], f(r, j));
  add_terms(s[0], s[1]);
  add_terms(s[2], s[3]);
  add_terms(s[0], s[2]);
  return s[0];
}

/// Where partial is not null, the sums of part p go to partial[(p * N + k) * columns + j]; else there is one part.
template <class T, class A, int N, class F>
__global__ void add_columns_kernel(column_targets<T, N> to, A* partial, long rows, long columns, column_plan plan, double scale, F f) {
  __shared__ terms<A, N> of_thread[threads_per_block];
  const matrix_tile t = plan.tile;
  const long width = t.width(), height = t.height(long(blockDim.x));
  for (long first = long(blockIdx.x) * width; first < columns; first += t.column_stride())
    for (long part = blockIdx.y; part < plan.parts; part += gridDim.y) {
      const long j = first + t.column(), begin = part * plan.part_rows, end = begin + plan.part_rows < rows ? begin + plan.part_rows : rows;
      terms<A, N> s = {};
      if (j < columns) s = add_rows_of_column<A, N>(f, begin + t.row(), end, height, j);
      of_thread[threadIdx.x] = s;
      for (long half = height / 2; half; half /= 2) {
        __syncthreads();
        if (t.row() < half) add_terms(of_thread[threadIdx.x], of_thread[threadIdx.x + unsigned(half * width)]);
      }
      if (t.row() == 0 && j < columns) {
        s = of_thread[threadIdx.x];
#pragma unroll
        for (int k = 0; k < N; ++k) {
          if (partial) partial[(part * N + k) * columns + j] = s.of[k];
          else if (to.of[k]) to.of[k][j] = T(double(to.of[k][j]) + scale * double(s.of[k]));
        }
      }
      __syncthreads();                                   // the next tile's sums take the same places
    }
}

/// The parts' sums as the rows of another sum.
template <class A, int N> struct of_parts {
  const A* p;
  long columns;
  __device__ terms<double, N> operator()(long part, long j) const {
    terms<double, N> s;
#pragma unroll
    for (int k = 0; k < N; ++k) s.of[k] = double(p[(part * N + k) * columns + j]);
    return s;
  }
};
/// A single sum as one of several.
template <class F> struct single_term {
  F f;
  __device__ terms<std::remove_cvref_t<decltype(std::declval<const F&>()(0L, 0L))>, 1> operator()(long r, long j) const { return {{f(r, j)}}; }
};

template <class T, class A, int N, class F>
void launch_columns(const char* name, const column_targets<T, N>& to, A* partial, long rows, long columns, column_plan plan, double scale, const F& f) {
  geometry g{.blocks = at_most(parts_of(columns, plan.tile.width()), most_blocks), .blocks_y = at_most(plan.parts, most_blocks_y)};
  launch(name, add_columns_kernel<T, A, N, F>, g, to, partial, rows, columns, plan, scale, f);
}
}  // namespace detail

template <class T, int N, class F>
void add_columns(const char* name, const column_targets<T, N>& dst, long rows, long columns, const F& f, double scale = 1) {
  using A = std::remove_cvref_t<decltype(std::declval<const F&>()(0L, 0L).of[0])>;
  if (rows <= 0 || columns <= 0) return;
  const column_plan plan(rows, columns);
  if (plan.parts == 1) return detail::launch_columns<T, A, N>(name, dst, nullptr, rows, columns, plan, scale, f);
  const scratch<A> partial(plan.parts * N * columns);
  detail::launch_columns<T, A, N>(name, dst, partial.p, rows, columns, plan, scale, f);
  column_plan last = plan;
  last.parts = 1;
  last.part_rows = plan.parts;
  detail::launch_columns<T, double, N>(name, dst, nullptr, plan.parts, columns, last, scale, detail::of_parts<A, N>{partial.p, columns});
}
template <class T, class F> void add_columns(const char* name, T* dst, long rows, long columns, const F& f, double scale = 1) {
  add_columns(name, column_targets<T, 1>{{dst}}, rows, columns, detail::single_term<F>{f}, scale);
}

}  // namespace shardproof::cuda

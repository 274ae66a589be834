#pragma once
/// @file
/// Products of rows in groups (experts): each group's rows with its own matrix, in one launch, whatever the groups' sizes are.
///
///     cuda::grouped_matmul({.a = x, .b = w, .c = y, .offsets = at, .rows = rows, .n = n, .k = k, .tb = true});    // y[r] = w[group of r] x[r]
///     cuda::grouped_outer({.a = dy, .b = x, .c = dw, .offsets = at, .rows = rows, .n = k, .k = n});               // dw[g] += dy^T x
///
/// Which tile is whose is found on the device (group_tiles.cuh), so that nothing waits and a step can be captured. Where a group has eight
/// rows or fewer on average the kernels of few_rows.cuh read its weights once, as they are stored; else tiles of 64 or 128 rows
/// (product_tile.cuh), or on tensor cores (product_tile_bf16.cuh) where products.hpp has operands rounded to bf16. What it has rounded to
/// tf32 is not rounded here. Bytes: weights of groups that have rows once for each tile of rows, rows once for each tile of columns.
/// 2 n k FLOP a row. Gale et al., MegaBlocks, arXiv 2211.15841.
#include <shardproof/backend/cuda/few_rows.cuh>
#include <shardproof/backend/cuda/group_tiles.cuh>
#include <shardproof/backend/cuda/product_tile_bf16.cuh>
namespace shardproof::cuda {

namespace detail {
/// What kernels are told: pointers to the first elements, extents of all rows.
template <class T, class B> struct grouped_job {
  T* c;
  const T* a;
  const B* b;
  const std::int64_t* offsets;
  long rows, groups, n, k;
  bool tb, adds;
  long tiles = 0;                                        ///< of rows
  /// Zeros where rows are nobody's.
  __device__ void clear(const group_tile& t, long j0, long columns) const {
    if (adds) return;
    const long width = n - j0 < columns ? n - j0 : columns;
    for (long i = threadIdx.x; i < t.count * width; i += blockDim.x) c[(t.first + i / width) * n + j0 + i % width] = T(0);
  }
};

/// compute(tile, j0) for each tile of rows and columns that is this block's.
template <int Rows, class T, class B, class F> __device__ void each_tile(const grouped_job<T, B>& x, long columns, F compute) {
  for (long t = blockIdx.y; t < x.tiles; t += gridDim.y) {
    const group_tile to = tile_of_groups(x.offsets, x.groups, x.rows, Rows, t);
    for (long j0 = long(blockIdx.x) * columns; j0 < x.n; j0 += long(gridDim.x) * columns) {
      if (to.group < 0) x.clear(to, j0, columns);
      else compute(to, j0);
    }
  }
}

template <class T, class B, int R, int C> __global__ void __launch_bounds__(128) grouped_few_by_rows(grouped_job<T, B> x, bool together) {
  each_tile<R>(x, C, [&](const group_tile& to, long j0) {
    few_rows_tile_by_rows<T, B, R, C>(x.c + to.first * x.n, x.a + to.first * x.k, x.b + to.group * x.n * x.k, 0, j0, to.count, x.n, x.k, together, x.adds);
  });
}
template <class T, class B, int R, int V> __global__ void __launch_bounds__(512) grouped_few_by_columns(grouped_job<T, B> x, bool together) {
  each_tile<R>(x, 32 * V, [&](const group_tile& to, long j0) {
    few_rows_tile_by_columns<T, B, R, V>(x.c + to.first * x.n, x.a + to.first * x.k, x.b + to.group * x.n * x.k, 0, j0, to.count, x.n, x.k, together, x.adds);
  });
}
template <class T, class B, int Size> __global__ void __launch_bounds__(256, Size == 128 ? 2 : 3) grouped_rows(grouped_job<T, B> x) {
  each_tile<Size>(x, Size, [&](const group_tile& to, long j0) {
    const tile_operand<T> a{x.a + to.first * x.k, x.k, true, to.count};
    const tile_operand<B> b{x.b + to.group * x.n * x.k, x.tb ? x.k : x.n, x.tb, x.n};
    product_tile<T, Size>::add(a, b, 0, j0, {0, x.k}, x.c + to.first * x.n, x.n, x.adds);
  });
}
template <bool Along, class B> __global__ void __launch_bounds__(256) grouped_rows_bf16(grouped_job<float, B> x) {
  using tile = product_tile_bf16;
  each_tile<tile::rows>(x, tile::columns, [&](const group_tile& to, long j0) {
    const tile_operand<float> a{x.a + to.first * x.k, x.k, true, to.count};
    const tile_operand<B> b{x.b + to.group * x.n * x.k, Along ? x.k : x.n, Along, x.n};
    tile::add<true, Along>(a, b, 0, j0, {0, x.k}, x.c + to.first * x.n, x.n, x.adds);
  });
}

/// c[g] += a[rows of g]^T b[rows of g], c [groups, k, n].
template <class T, class Compute> __device__ void each_outer(const grouped_job<T, T>& x, long rows, long columns, Compute compute) {
  for (long g = blockIdx.z; g < x.groups; g += gridDim.z) {
    const term_range of{long(x.offsets[g]), long(x.offsets[g + 1])};
    if (of.from == of.to) continue;
    for (long i0 = long(blockIdx.y) * rows; i0 < x.k; i0 += long(gridDim.y) * rows)
      for (long j0 = long(blockIdx.x) * columns; j0 < x.n; j0 += long(gridDim.x) * columns)
        compute(tile_operand<T>{x.a, x.k, false, x.k}, tile_operand<T>{x.b, x.n, false, x.n}, i0, j0, of, x.c + g * x.k * x.n);
  }
}
template <class T, int Size> __global__ void __launch_bounds__(256, Size == 128 ? 2 : 3) outer_of_groups(grouped_job<T, T> x) {
  each_outer(x, Size, Size, [&](const auto& a, const auto& b, long i0, long j0, term_range of, T* c) { product_tile<T, Size>::add(a, b, i0, j0, of, c, x.n, true); });
}
template <class T> __global__ void __launch_bounds__(256) outer_of_groups_bf16(grouped_job<T, T> x) {
  using tile = product_tile_bf16;
  each_outer(x, tile::rows, tile::columns,
             [&](const auto& a, const auto& b, long i0, long j0, term_range of, T* c) { tile::add<false, false>(a, b, i0, j0, of, c, x.n, true); });
}

/// Tiles of so many rows and columns; with few tiles of rows a block makes a few of columns, as finding its rows takes a while.
template <class T, class B> geometry over_groups(grouped_job<T, B>& x, long rows, long columns) {
  x.tiles = most_tiles(x.rows, x.groups, rows);
  geometry g{.blocks_y = at_most(x.tiles, most_blocks_y), .threads = 256};
  const long each = g.blocks_y ? parts_of(long(most_blocks), long(g.blocks_y)) : 1;
  g.blocks = at_most(parts_of(x.n, columns), unsigned(each > 64 ? each : 64));
  return g;
}
constexpr bool has_few_rows_a_group(long rows, long groups) { return rows <= rows_at_once * groups; }

template <class T, class B, int R> void few_rows_of_groups(grouped_job<T, B> x) {
  constexpr int C = few_columns<T, R>, V = columns_of<B>;
  if (x.tb) {
    geometry g = over_groups(x, R, C);
    shape_few_by_rows<T, B, R>(g, x.k);
    launch("grouped_matmul", grouped_few_by_rows<T, B, R, C>, g, x, are_together_by_rows(x.k, x.a, x.b));
  } else {
    geometry g = over_groups(x, R, 32 * V);
    shape_few_by_columns<T, B, R>(g, x.k);
    launch("grouped_matmul", grouped_few_by_columns<T, B, R, V>, g, x, are_together_by_columns(x.n, x.k, x.a, x.b));
  }
}
template <class T, class B> void grouped_as(grouped_job<T, B> x, bool rounded) {
  if (has_few_rows_a_group(x.rows, x.groups)) {
    if (x.rows <= x.groups) return few_rows_of_groups<T, B, 2>(x);
    return few_rows_of_groups<T, B, 8>(x);
  }
  if constexpr (sizeof(T) == 4) {
    if (rounded) {
      const geometry g = over_groups(x, product_tile_bf16::rows, product_tile_bf16::columns);
      if (x.tb) return launch("grouped_matmul", grouped_rows_bf16<true, B>, g, x);
      return launch("grouped_matmul", grouped_rows_bf16<false, B>, g, x);
    }
    if (x.rows >= 128 * x.groups) {
      const geometry g = over_groups(x, 128, 128);
      return launch("grouped_matmul", grouped_rows<T, B, 128>, g, x);
    }
  }
  const geometry g = over_groups(x, 64, 64);
  launch("grouped_matmul", grouped_rows<T, B, 64>, g, x);
}
template <class T> geometry over_outer(const grouped_job<T, T>& x, long rows, long columns) {
  return {.blocks = at_most(parts_of(x.n, columns), most_blocks), .blocks_y = at_most(parts_of(x.k, rows), most_blocks_y), .blocks_z = at_most(x.groups, most_blocks_y),
          .threads = 256};
}
template <class T, class B> grouped_job<T, B> job_of(const grouped_args& x, const T* a, const B* b) {
  return {x.c.as<T>(), a, b, x.offsets.as<const std::int64_t>(), x.rows, x.offsets.count() - 1, x.n, x.k, x.tb, x.accumulate};
}
}  // namespace detail

/// See backend.hpp. @error SP001 for a precision nobody knows (products.hpp), SP506 where the device fails.
inline void grouped_matmul(const grouped_args& x) {
  const bool rounded = types_of(products_in_use(), x.b.type, x.c.type).operands == dtype::bf16;
  if (x.c.type == dtype::f64) {
    const converted<double> a(x.a), b(x.b);
    return detail::grouped_as(detail::job_of(x, a.p, b.p), false);
  }
  const converted<float> a(x.a);
  if (x.b.type == dtype::bf16) return detail::grouped_as(detail::job_of(x, a.p, x.b.as<const bf16>()), rounded);
  if (x.b.type == dtype::f16) return detail::grouped_as(detail::job_of(x, a.p, x.b.as<const f16>()), rounded);
  const converted<float> b(x.b);
  detail::grouped_as(detail::job_of(x, a.p, b.p), rounded);
}
inline void grouped_outer(const grouped_args& x) {
  const bool rounded = types_of(products_in_use(), x.b.type, x.c.type).operands == dtype::bf16;
  visit_float(x.c.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> a(x.a), b(x.b);
    const detail::grouped_job<T, T> job = detail::job_of(x, a.p, b.p);
    if constexpr (sizeof(T) == 4) {
      using tile = detail::product_tile_bf16;
      if (rounded) return launch("grouped_outer", detail::outer_of_groups_bf16<T>, detail::over_outer(job, tile::rows, tile::columns), job);
      if (x.rows >= 128 * job.groups) return launch("grouped_outer", detail::outer_of_groups<T, 128>, detail::over_outer(job, 128, 128), job);
    }
    launch("grouped_outer", detail::outer_of_groups<T, 64>, detail::over_outer(job, 64, 64), job);
  });
}

}  // namespace shardproof::cuda

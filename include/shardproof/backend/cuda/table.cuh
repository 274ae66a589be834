#pragma once
/// @file
/// Embedding tables cut by rows: a rank gives and takes only the rows it holds.
///
///     cuda::gather_rows(y, table, ids, first);             // y[r] = table[ids[r] - first], or zero
///     cuda::scatter_rows(dtable, dy, ids, first, -1);      // dtable[ids[r] - first] += dy[r], in the order of r
///
/// Tiling: a matrix tile over packs of 16 bytes of the result, so that narrow rows leave no thread idle. In scatter_rows a row of the
/// table belongs to one thread for each of its columns, which adds what goes there in order (scatter_order.cuh): the same bits as on the CPU.
/// Bytes: gather_rows reads rows that are held and writes y; scatter_rows reads dy once, and reads and writes the rows that are hit.
#include <shardproof/backend/cuda/bad_ids.cuh>
#include <shardproof/backend/cuda/rows.cuh>
#include <shardproof/backend/cuda/scatter_order.cuh>
namespace shardproof::cuda {

namespace detail {
template <class T, class U> __global__ void gather_each_row(T* y, const U* table, const std::int64_t* ids, long rows, long n, matrix_tile t, id_range held) {
  constexpr int N = pack_size<T>();
  const bool wide = are_wide<N>(n, y) && are_wide<N>(n, table);
  for (long j = t.first_column() * N; j < n; j += t.column_stride() * N)
    for (long r = t.first_row(); r < rows; r += t.row_stride()) {
      T v[N] = {};
      if (const long i = held.row_of(ids[r]); i >= 0) load_pack(v, table + i * n + j, n - j, wide);
      store_pack(y + r * n + j, v, n - j, wide);
    }
}

/// The rows order[0 ... count) of dy are added one after the other; eight are on their way from memory at a time.
template <class T> __global__ void scatter_each_row(T* table, const T* dy, long n, matrix_tile t, scatter_lists lists) {
  constexpr int N = pack_size<T>(), deep = 8;
  const bool wide = are_wide<N>(n, table, dy);
  const long hit = lists.found->rows();
  for (long j = t.first_column() * N; j < n; j += t.column_stride() * N)
    for (long k = t.first_row(); k < hit; k += t.row_stride()) {
      const scatter_row to = lists.hit[k];
      const int* const order = lists.order + to.first;
      T sum[N];
      load_pack(sum, static_cast<const T*>(table) + to.row * n + j, n - j, wide);
      int next[deep];
#pragma unroll
      for (int d = 0; d < deep; ++d) next[d] = d < to.count ? order[d] : 0;
      for (int from = 0; from < to.count; from += deep) {
        T v[deep][N];
#pragma unroll
        for (int d = 0; d < deep; ++d)
          if (from + d < to.count) load_pack(v[d], dy + next[d] * n + j, n - j, wide);
#pragma unroll
        for (int d = 0; d < deep; ++d) next[d] = from + deep + d < to.count ? order[from + deep + d] : 0;
#pragma unroll
        for (int d = 0; d < deep; ++d)
#pragma unroll
          for (int i = 0; i < N; ++i)
            if (from + d < to.count) sum[i] += v[d][i];
      }
      store_pack(table + to.row * n + j, sum, n - j, wide);
    }
}
}  // namespace detail

inline void gather_rows(const view& y, const view& table, const view& ids, long first) {
  const long rows = ids.count(), n = table.s[1], packs = parts_of(n, 16 / long(bytes_of(y.type)));
  const detail::id_range held{first, table.s[0], -1};
  const matrix_tile t = tile_for(packs);
  visit_float(y.type, [&](auto to) {
    using T = decltype(to);
    visit_real(table.type, [&](auto from) {
      using U = decltype(from);
      launch("gather_rows", detail::gather_each_row<T, U>, over_tiles(t, rows, packs), y.as<T>(), table.as<const U>(), ids.as<const std::int64_t>(), rows, n, t,
             held);
    });
  });
}

/// Deterministic. At most 2^31 - 1 ids and rows. @error SP001 there are more.
inline void scatter_rows(const view& dtable, const view& dy, const view& ids, long first, long padding) {
  const long rows = ids.count(), n = dtable.s[1], packs = parts_of(n, 16 / long(bytes_of(dtable.type)));
  if (rows == 0 || dtable.count() == 0) return;
  visit_float(dtable.type, [&](auto zero) {
    using T = decltype(zero);
    const converted<T> from(dy);
    const detail::scatter_order order(ids, {first, dtable.s[0], padding});
    const matrix_tile t = tile_for(packs);
    launch("scatter_rows", detail::scatter_each_row<T>, over_tiles(t, order.most_hit, packs), dtable.as<T>(), from.p, n, t, order.lists);
  });
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// Attention backward: the gradient of queries by tiles of query rows, those of keys and values by tiles of keys. Probabilities are
/// computed again from the saved logarithms.  Dao, arXiv 2307.08691 (FlashAttention-2).
///
///     launch("attention's gradient", pull_queries<float, tile, 128>, g, job);      // see attention_backward.cuh
///
/// With P the probabilities and G = dy v^T: dv = P^T dy, dscores = P (G - mean), mean = dy . y of the row, and the cap's slope.
///
/// Tiling: pull_queries has 64 rows and 64 keys, pull_keys 64 keys and 32 rows (f64: 32 and 64, 32 and 32), with `Columns` of dq, or of
/// dk and dv, in registers. All query heads of a KV head are rows of one block, which sums them in their order: no atomics.
/// Bytes: each kernel reads its own rows once and the other side's once for each tile of its own, from the cache.
/// FLOP: 2 (2 dim + value_dim) a row and key in pull_queries, 2 (2 dim + 2 value_dim) in pull_keys.
#include <shardproof/backend/cuda/attention_forward.cuh>
namespace shardproof::cuda::detail {

template <class T> struct gradient_job {
  const T *q, *k, *v, *dy, *mean;                        ///< mean: [batch, heads, seq], as the logarithms
  const std::int32_t* segments;
  T *dq, *dk, *dv;
  saved_sums log_sum;
  attention_mask mask;
  attention_heads heads;
  long batch, dim, value_dim;
  T scale, cap;
  int depth = 0;                                         ///< features that are in shared memory at once: all, or a piece
  bool whole = false;                                    ///< all
  bool wide_keys, wide_values;
  long row_tiles = 0, splits = 1, slices = 1;            ///< row_tiles: of rows, or of keys; splits: 1
};

/// Query rows of one KV head in a tile: where they lie and what the second pass over their scores needs.
template <class T, int rows> struct query_rows {
  long place[rows];                                      ///< in q and dy, counted in rows
  sight see[rows];
  T log_sum[rows], mean[rows];
  /// Rows [first, first + count) of the KV head's; by one thread each.
  __device__ void find(const gradient_job<T>& a, long batch, long kv_head, long first, int count, const std::int32_t* segments) {
    const int r = int(threadIdx.x);
    if (r >= rows) return;
    see[r] = {};
    place[r] = 0;
    if (r >= count) return;
    const long heads = a.heads.count(kv_head), i = (first + r) / heads, h = a.heads.first(kv_head) + (first + r) % heads;
    const long at = (batch * a.heads.heads + h) * a.mask.seq + i;
    place[r] = (batch * a.mask.seq + i) * a.heads.heads + h;
    log_sum[r] = a.log_sum.template get<T>(at);
    mean[r] = a.mean[at];
    if (log_sum[r] != row_state<T>::none) see[r] = sight(a.mask, segments, i);
  }
};

/// The probability of a score, and the gradient of the score before its scale, of which `g` is the product of dy and v.
template <class T> struct chance {
  T p = 0, slope = 0;
  __device__ chance(T score, T g, T log_sum, T mean, T cap) {
    const T part = cap != 0 ? std::tanh(score / cap) : T(0);
    p = std::exp((cap != 0 ? cap * part : score) - log_sum);
    slope = p * (g - mean) * (1 - part * part);
  }
  __device__ chance() {}
};

/// dq of rows [first, first + count) of a KV head, columns of one slice.
template <class T, class Tile, int Columns> __device__ void pull_query_rows(const gradient_job<T>& a, const attention_work& w) {
  constexpr int each = Columns / Tile::across;
  __shared__ query_rows<T, Tile::rows> rows;
  const int stride = tile_stride<T>(lower(a.dim, long(a.depth))), value_stride = tile_stride<T>(lower(a.value_dim, long(a.depth)));
  T* const queries = dynamic_shared<T>();
  T* const out_gradients = queries + Tile::rows * stride;
  T* const slopes = out_gradients + Tile::rows * value_stride;
  T* const keys = slopes + Tile::rows * Tile::stride;    // or values
  const long first_column = w.slice * Columns, kv = w.batch * a.mask.keys * a.heads.kv_heads + w.kv_head;
  const int width = int(lower(a.dim - first_column, long(Columns)));
  const std::int32_t* const segments = a.segments ? a.segments + w.batch * a.mask.keys : nullptr;
  rows.find(a, w.batch, w.kv_head, w.first, w.count, segments);

  const key_range all = w.keys(a.mask);
  const segment_span row_segments = w.segments(a.mask, segments);
  bool loaded = false;
  T o[Tile::rows_each][each] = {};
  for (long first_key = all.from; first_key < all.to; first_key += Tile::columns) {
    const int count = int(lower(all.to - first_key, long(Tile::columns)));
    if (segments && !row_segments.meets(segment_span(segments, first_key, first_key + count))) continue;
    const auto key_row = [&](int r) { return kv + (first_key + r) * a.heads.kv_heads; };
    T s[Tile::rows_each][Tile::columns_each] = {}, g[Tile::rows_each][Tile::columns_each] = {};
    for (long d = 0; d == 0 || d < a.value_dim; d += a.depth) {
      const int depth = int(lower(a.value_dim - d, long(a.depth)));
      __syncthreads();                                   // what the tiles held has been used
      const auto dy_row = [&](int r) { return a.dy + rows.place[r] * a.value_dim + d; };
      if (!loaded) load_tile<Tile>(out_gradients, value_stride, Tile::rows, w.count, depth, a.wide_values, T(1), dy_row);
      load_tile<Tile>(keys, value_stride, Tile::columns, count, depth, a.wide_values, T(1), [&](int r) { return a.v + key_row(r) * a.value_dim + d; });
      __syncthreads();
      add_dots<Tile>(g, out_gradients, value_stride, keys, value_stride, depth);
    }
    for (long d = 0; d == 0 || d < a.dim; d += a.depth) {
      const int depth = int(lower(a.dim - d, long(a.depth)));
      __syncthreads();
      const auto q_row = [&](int r) { return a.q + rows.place[r] * a.dim + d; };
      if (!loaded) load_tile<Tile>(queries, stride, Tile::rows, w.count, depth, a.wide_keys, a.scale, q_row);
      load_tile<Tile>(keys, stride, Tile::columns, count, depth, a.wide_keys, T(1), [&](int r) { return a.k + key_row(r) * a.dim + d; });
      __syncthreads();
      add_dots<Tile>(s, queries, stride, keys, stride, depth);
    }
    loaded = a.whole;
    if (!a.whole) {
      __syncthreads();
      load_tile<Tile>(keys, stride, Tile::columns, count, width, a.wide_keys, T(1), [&](int r) { return a.k + key_row(r) * a.dim + first_column; });
    }
#pragma unroll
    for (int r = 0; r < Tile::rows_each; ++r) {
      const int row = Tile::row(r);
      const sight see = rows.see[row];
      const T log_sum = rows.log_sum[row], mean = rows.mean[row];
#pragma unroll
      for (int n = 0; n < Tile::columns_each; ++n)
        slopes[row * Tile::stride + Tile::column(n)] =
            see.sees(first_key + Tile::column(n), segments) ? chance<T>(s[r][n], g[r][n], log_sum, mean, a.cap).slope : T(0);
    }
    __syncthreads();
    add_rows<Tile, Columns>(o, slopes, Tile::stride, keys, stride, count, width);
  }
#pragma unroll
  for (int r = 0; r < Tile::rows_each; ++r)
    if (Tile::row(r) < w.count)
      write_row<Tile, Columns, true>(a.dq + rows.place[Tile::row(r)] * a.dim + first_column, o[r], a.scale, width, a.wide_keys);
}

template <class T, class Tile, int Columns> __global__ void __launch_bounds__(Tile::threads) pull_queries(gradient_job<T> a) {
  const long works = a.batch * a.heads.kv_heads * a.row_tiles * a.slices;
  for (long at = blockIdx.x; at < works; at += gridDim.x) {
    const attention_work w(a, at, Tile::rows);
    if (w.count > 0) pull_query_rows<T, Tile, Columns>(a, w);
    if (at + gridDim.x < works) __syncthreads();
  }
}

/// dk and dv of keys [first_key, first_key + count), columns of one slice. A tile's rows are keys here, and its columns query rows.
template <class T, class Tile, int Columns>
__device__ void pull_key_rows(const gradient_job<T>& a, long batch, long kv_head, long first_key, int count, long first_column) {
  constexpr int each = Columns / Tile::across;
  __shared__ query_rows<T, Tile::columns> rows;
  const int stride = tile_stride<T>(lower(a.dim, long(a.depth))), value_stride = tile_stride<T>(lower(a.value_dim, long(a.depth)));
  T* const keys = dynamic_shared<T>();
  T* const values = keys + Tile::rows * stride;
  T* const queries = values + Tile::rows * value_stride;
  T* const out_gradients = queries + Tile::columns * stride;
  T* const chances = out_gradients + Tile::columns * value_stride;
  T* const slopes = chances + Tile::rows * Tile::stride;
  const int width = int(lower(a.dim - first_column, long(Columns))), value_width = int(lower(a.value_dim - first_column, long(Columns)));
  const std::int32_t* const segments = a.segments ? a.segments + batch * a.mask.keys : nullptr;
  const auto key_row = [&](int r) { return (batch * a.mask.keys + first_key + r) * a.heads.kv_heads + kv_head; };
  const segment_span key_segments = segments ? segment_span(segments, first_key, first_key + count) : segment_span();
  const long heads = a.heads.count(kv_head), end = a.mask.end_query(first_key + count) * heads;
  bool loaded = false;
  T dk[Tile::rows_each][each] = {}, dv[Tile::rows_each][each] = {};
  for (long first = a.mask.first_query(first_key) * heads; first < end; first += Tile::columns) {
    const int some = int(lower(end - first, long(Tile::columns)));
    if (segments && !key_segments.meets(segment_span(segments, a.mask.at(first / heads), a.mask.at((first + some - 1) / heads) + 1))) continue;
    T s[Tile::rows_each][Tile::columns_each] = {}, g[Tile::rows_each][Tile::columns_each] = {};
    const auto load_queries = [&](long d, int depth, int value_depth) {
      const auto dy_row = [&](int r) { return a.dy + rows.place[r] * a.value_dim + d; };
      load_tile<Tile>(queries, stride, Tile::columns, some, depth, a.wide_keys, a.scale, [&](int r) { return a.q + rows.place[r] * a.dim + d; });
      load_tile<Tile>(out_gradients, value_stride, Tile::columns, some, value_depth, a.wide_values, T(1), dy_row);
    };
    rows.find(a, batch, kv_head, first, some, segments);   // the former ones were last read before the last barrier
    for (long d = 0; d == 0 || d < upper(a.dim, a.value_dim); d += a.depth) {
      const int depth = int(upper(lower(a.dim - d, long(a.depth)), 0l)), value_depth = int(upper(lower(a.value_dim - d, long(a.depth)), 0l));
      __syncthreads();                                   // what the tiles held has been used
      if (!loaded) {
        load_tile<Tile>(keys, stride, Tile::rows, count, depth, a.wide_keys, T(1), [&](int r) { return a.k + key_row(r) * a.dim + d; });
        load_tile<Tile>(values, value_stride, Tile::rows, count, value_depth, a.wide_values, T(1), [&](int r) { return a.v + key_row(r) * a.value_dim + d; });
      }
      load_queries(d, depth, value_depth);
      __syncthreads();
      add_dots<Tile>(s, keys, stride, queries, stride, depth);
      add_dots<Tile>(g, values, value_stride, out_gradients, value_stride, value_depth);
    }
    loaded = a.whole;
    if (!a.whole) {
      __syncthreads();
      load_queries(first_column, upper(width, 0), upper(value_width, 0));
    }
#pragma unroll
    for (int n = 0; n < Tile::columns_each; ++n) {
      const int row = Tile::column(n);
      const sight see = rows.see[row];
      const T log_sum = rows.log_sum[row], mean = rows.mean[row];
#pragma unroll
      for (int r = 0; r < Tile::rows_each; ++r) {
        const bool seen = Tile::row(r) < count && see.sees(first_key + Tile::row(r), segments);
        const chance<T> c = seen ? chance<T>(s[r][n], g[r][n], log_sum, mean, a.cap) : chance<T>();
        chances[Tile::row(r) * Tile::stride + row] = c.p;
        slopes[Tile::row(r) * Tile::stride + row] = c.slope;
      }
    }
    __syncthreads();
    if (a.dv) add_rows<Tile, Columns>(dv, chances, Tile::stride, out_gradients, value_stride, some, value_width);
    if (a.dk) add_rows<Tile, Columns>(dk, slopes, Tile::stride, queries, stride, some, width);
  }
#pragma unroll
  for (int r = 0; r < Tile::rows_each; ++r) {
    if (Tile::row(r) >= count) continue;
    const long at = key_row(Tile::row(r));
    if (a.dv) write_row<Tile, Columns, true>(a.dv + at * a.value_dim + first_column, dv[r], T(1), value_width, a.wide_values);
    if (a.dk) write_row<Tile, Columns, true>(a.dk + at * a.dim + first_column, dk[r], T(1), width, a.wide_keys);
  }
}

template <class T, class Tile, int Columns> __global__ void __launch_bounds__(Tile::threads) pull_keys(gradient_job<T> a) {
  const long pairs = a.batch * a.heads.kv_heads, works = pairs * a.row_tiles * a.slices;
  for (long at = blockIdx.x; at < works; at += gridDim.x) {
    const long pair = at % pairs, first = at / pairs % a.row_tiles * Tile::rows;   // the first keys of a causal mask are seen most
    pull_key_rows<T, Tile, Columns>(a, pair / a.heads.kv_heads, pair % a.heads.kv_heads, first, int(lower(a.mask.keys - first, long(Tile::rows))),
                                    at / pairs / a.row_tiles * Columns);
    if (at + gridDim.x < works) __syncthreads();
  }
}

}  // namespace shardproof::cuda::detail

#pragma once
/// @file
/// Attention forward: a tile of query rows meets its keys tile by tile; scores live in shared memory and are never written.
/// Dao, arXiv 2307.08691 (FlashAttention-2); Milakov & Gimelshein, arXiv 1805.02867 (the running maximum of a softmax).
///
///     launch("attention", attend<float, tile, 128>, g, job);            // see attention.cuh, which makes the job
///
/// Tiling: the rows of a block are queries of one sequence times all query heads of one KV head, so that heads share the keys they read;
/// a block has 64 columns of keys at a time, and `Columns` of the result in registers. Features of keys come whole if they fit.
/// Bytes: q and y once, k and v once for each tile of rows (from the cache for all but the first of them).
/// FLOP: 2 (dim + value_dim) for each row and key of a tile; tiles that mask or segments hide wholly are left out.
#include <cmath>
#include <limits>
#include <shardproof/backend/cuda/attention_tile.cuh>
namespace shardproof::cuda::detail {

template <class T> struct attention_job {
  const T *q, *k, *v, *sinks;
  const std::int32_t* segments;
  T* y;
  saved_sums log_sum;
  T *partial = nullptr, *partial_sums = nullptr;         ///< of each split: rows not yet divided; their maximum and sum. Null: one split
  attention_mask mask;
  attention_heads heads;
  const std::int64_t* length;                            ///< how many keys there are, if fewer than there is room for; or null
  long room;                                             ///< for keys
  long batch, dim, value_dim;
  T scale, cap;
  int depth = 0;                                         ///< features of q and k that are in shared memory at once
  bool wide_keys, wide_values;                           ///< rows may be read 16 bytes at a time
  long row_tiles = 0, splits = 1, slices = 1;            ///< slices: of the result's columns
  __host__ __device__ long rows() const { return batch * mask.seq * heads.heads; }
  /// Once in a kernel: a length is known no sooner.
  __device__ void find_keys() { if (length) mask.keys = upper(lower(long(*length), room), 0l); }
};

struct key_range { long from, to; };
/// What one block does: rows [first, first + count) of a KV head's, keys of one split, columns of one slice.
struct attention_work {
  long batch, kv_head, heads, first, split, slice;
  int count;
  /// The longest rows of a causal mask come first, so that the last blocks are short ones.
  template <class Job> __device__ attention_work(const Job& a, long at, int rows) {
    const long pairs = a.batch * a.heads.kv_heads, pair = at % pairs;
    at /= pairs;
    const long tile = a.row_tiles - 1 - at % a.row_tiles;
    at /= a.row_tiles;
    split = at % a.splits;
    slice = at / a.splits;
    batch = pair / a.heads.kv_heads;
    kv_head = pair % a.heads.kv_heads;
    heads = a.heads.count(kv_head);
    first = tile * rows;
    count = int(upper(lower(a.mask.seq * heads - first, long(rows)), 0l));
  }
  __device__ long query(int row) const { return (first + row) / heads; }
  /// What its rows may see.
  __device__ key_range keys(const attention_mask& m) const { return {m.first_key(query(0)), m.end_key(query(count - 1))}; }
  /// Of its rows; `all` is of all keys, or null.
  __device__ segment_span segments(const attention_mask& m, const std::int32_t* all) const {
    return all ? segment_span(all, m.at(query(0)), m.at(query(count - 1)) + 1) : segment_span();
  }
  /// Of this rank's, not of the KV head's.
  template <class Job> __device__ long head(const Job& a, int row) const { return a.heads.first(kv_head) + (first + row) % heads; }
  template <class Job> __device__ long place(const Job& a, int row) const { return (batch * a.mask.seq + query(row)) * a.heads.heads + head(a, row); }
  template <class Job> __device__ long sum_place(const Job& a, int row) const { return (batch * a.heads.heads + head(a, row)) * a.mask.seq + query(row); }
};

/// The running maximum of a row and its sum. A maximum of -infinity says that nothing was seen.
template <class T> struct row_state {
  static constexpr T none = -std::numeric_limits<T>::infinity(), least = std::numeric_limits<T>::lowest();
  T top = none, sum = 0;
  __device__ row_state() {}
  __device__ row_state(T sink, bool counts) : top(sink > least ? sink : least), sum(counts ? std::exp(sink - top) : T(0)) {}
  __device__ static T log(T top, T sum) { return top == none ? none : sum > 0 ? top + std::log(sum) : std::numeric_limits<T>::quiet_NaN(); }
};

/// One thread's share of a row of scores: they become exp(score - top), and 0 where hidden. Returns what the row's former results are
/// multiplied by. All threads of a row look at all of it for the maximum, which takes no barrier; each makes its own vectors.
template <class Tile, class T>
__device__ T make_chances(row_state<T>& s, T* x, int part, const sight& see, const std::int32_t* segments, long first_key) {
  constexpr int vector = in_vector<T>, parts = Tile::threads / Tile::rows;
  const int from = int(upper(lower(see.from - first_key, long(Tile::columns)), 0l)), to = int(upper(lower(see.to - first_key, long(Tile::columns)), 0l));
  const auto seen = [&](int j) { return j >= from && j < to && (!segments || segments[first_key + j] == see.segment); };
  const T old = s.top;
  for (int j = from / vector * vector; j < to; j += vector) {
    const auto scores = pack_at<vector>(x + j, 0);
    for (int e = 0; e < vector; ++e) {
      if (!seen(j + e)) continue;
      if (!(s.top >= row_state<T>::least)) s.top = row_state<T>::least;
      if (scores.of[e] > s.top) s.top = scores.of[e];      // a NaN is passed over here and shows in the sum
    }
  }
  __syncwarp();                                          // lanes of a row write below what others have read
  T sum = 0;
  for (int j = part * vector; j < Tile::columns; j += parts * vector) {
    auto scores = pack_at<vector>(x + j, 0);
    for (int e = 0; e < vector; ++e) {
      scores.of[e] = seen(j + e) ? std::exp(scores.of[e] - s.top) : T(0);
      sum += scores.of[e];
    }
    pack_at<vector>(x + j, 0) = scores;
  }
  const T kept = old == s.top ? T(1) : std::exp(old - s.top);
  s.sum = s.sum * kept + sum;
  return kept;
}

template <class T, class Tile, int Columns> __device__ void attend_rows(const attention_job<T>& a, const attention_work& w) {
  constexpr int parts = Tile::threads / Tile::rows, each = Columns / Tile::across;
  static_assert(Tile::threads % Tile::rows == 0 && parts <= 32);
  __shared__ long place[Tile::rows];                     // of a row in y and q, counted in rows
  __shared__ T factor[Tile::rows];
  const int stride = tile_stride<T>(a.depth), value_stride = tile_stride<T>(lower(a.value_dim, long(Columns)));
  T* const queries = dynamic_shared<T>();
  T* const scores = queries + Tile::rows * stride;
  T* const keys = scores + Tile::rows * Tile::stride;    // then values
  const long first_column = w.slice * Columns, kv = w.batch * a.room * a.heads.kv_heads + w.kv_head;
  const int width = int(lower(a.value_dim - first_column, long(Columns)));
  const std::int32_t* const segments = a.segments ? a.segments + w.batch * a.room : nullptr;

  // In the softmax, adjacent threads have a row together.
  const int own = int(threadIdx.x) / parts, part = int(threadIdx.x) % parts;
  const bool exists = own < w.count;
  const sight see = exists ? sight(a.mask, segments, w.query(own)) : sight{};
  row_state<T> state;
  if (part == 0) place[own] = exists ? w.place(a, own) : 0;
  if (a.sinks && exists && w.split == 0) state = row_state<T>(a.sinks[w.head(a, own)], part == 0);

  const key_range all = w.keys(a.mask);
  const segment_span row_segments = w.segments(a.mask, segments);
  const long tiles = all.from < all.to ? (all.to - all.from - 1) / Tile::columns + 1 : 0, end = tiles * (w.split + 1) / a.splits;
  bool has_queries = false;
  T o[Tile::rows_each][each] = {};
  for (long t = tiles * w.split / a.splits; t < end; ++t) {
    const long first_key = all.from + t * Tile::columns;
    const int count = int(lower(all.to - first_key, long(Tile::columns)));
    if (segments && !row_segments.meets(segment_span(segments, first_key, first_key + count))) continue;
    T s[Tile::rows_each][Tile::columns_each] = {};
    long d = 0;
    do {
      const int depth = int(lower(a.dim - d, long(a.depth)));
      __syncthreads();                                   // what the tiles held has been used
      if (!has_queries)
        load_tile<Tile>(queries, stride, Tile::rows, w.count, depth, a.wide_keys, a.scale, [&](int r) { return a.q + place[r] * a.dim + d; });
      has_queries = a.depth >= a.dim;
      load_tile<Tile>(keys, stride, Tile::columns, count, depth, a.wide_keys, T(1),
                      [&](int r) { return a.k + (kv + (first_key + r) * a.heads.kv_heads) * a.dim + d; });
      __syncthreads();
      if (Tile::y() < w.count) add_dots<Tile>(s, queries, stride, keys, stride, depth);
    } while ((d += a.depth) < a.dim);
#pragma unroll
    for (int r = 0; r < Tile::rows_each; ++r)
#pragma unroll
      for (int n = 0; n < Tile::columns_each; ++n)
        scores[Tile::row(r) * Tile::stride + Tile::column(n)] = a.cap != 0 ? a.cap * std::tanh(s[r][n] / a.cap) : s[r][n];
    __syncthreads();
    load_tile<Tile>(keys, value_stride, Tile::columns, count, width, a.wide_values, T(1),
                    [&](int r) { return a.v + (kv + (first_key + r) * a.heads.kv_heads) * a.value_dim + first_column; });
    const T kept = make_chances<Tile>(state, scores + own * Tile::stride, part, see, segments, first_key);
    if (part == 0) factor[own] = kept;
    __syncthreads();
    if (Tile::y() >= w.count) continue;
#pragma unroll
    for (int r = 0; r < Tile::rows_each; ++r)
#pragma unroll
      for (int c = 0; c < each; ++c) o[r][c] *= factor[Tile::row(r)];
    add_rows<Tile, Columns>(o, scores, Tile::stride, keys, value_stride, count, width);
  }

  __syncthreads();
  scores[threadIdx.x] = state.sum;
  if (part == 0) factor[own] = state.top;
  __syncthreads();
#pragma unroll
  for (int r = 0; r < Tile::rows_each; ++r) {
    const int row = Tile::row(r);
    if (row >= w.count) continue;
    T sum = 0;
    for (int p = 0; p < parts; ++p) sum += scores[row * parts + p];
    const T top = factor[row];
    const bool any = top != row_state<T>::none;
    if (!any) for (int c = 0; c < each; ++c) o[r][c] = 0;
    const bool first = Tile::x() == 0 && w.slice == 0;
    if (a.partial) {
      const long at = w.split * a.rows() + place[row];
      write_row<Tile, Columns, false>(a.partial + at * a.value_dim + first_column, o[r], T(1), width, a.wide_values);
      if (first) a.partial_sums[2 * at] = top, a.partial_sums[2 * at + 1] = sum;
    } else {
      write_row<Tile, Columns, false>(a.y + place[row] * a.value_dim + first_column, o[r], any ? 1 / sum : T(0), width, a.wide_values);
      if (first) a.log_sum.put(w.sum_place(a, row), row_state<T>::log(top, sum));
    }
  }
}

/// Blocks that a processor shall hold at once: a limit to the registers of a thread.
template <class Tile, int Columns> inline constexpr int blocks_together = Tile::threads > 128 ? 1 : Columns > 64 ? 2 : 3;

template <class T, class Tile, int Columns>
__global__ void __launch_bounds__(Tile::threads, blocks_together<Tile, Columns>) attend(attention_job<T> a) {
  a.find_keys();
  const long works = a.batch * a.heads.kv_heads * a.row_tiles * a.splits * a.slices;
  for (long at = blockIdx.x; at < works; at += gridDim.x) {
    const attention_work w(a, at, Tile::rows);
    if (w.count > 0) attend_rows<T, Tile, Columns>(a, w);
    if (at + gridDim.x < works) __syncthreads();         // the next one's rows are written where these were read
  }
}

}  // namespace shardproof::cuda::detail

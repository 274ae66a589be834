#pragma once
/// @file
/// Attention forward whose products are made of bf16 numbers on tensor cores; operands, sums and results are f32.
///
///     cuda::attention_bf16(args);                          // as cuda::attention, within the rounding of q, k, v and chances to 8 bits
///
/// Heads of up to 128 features (192 for q and k), f32, more than 16 rows a KV head; anything else goes to cuda::attention, which is as
/// fast where keys are read once. Dao, arXiv 2307.08691 (FlashAttention-2); tensor cores by nvcuda::wmma, which runs on any device since Ampere.
///
/// Tiling: 128 rows (queries of all heads of a KV head) and 64 keys, eight warps of 16 rows each; the result stays in fragments.
/// Which rows a lane's numbers belong to is not said, so a fragment is loaded once from a matrix of row numbers.
/// Bytes: q and y once, k and v once for each tile of rows, in f32; rounded on their way to shared memory.
/// FLOP: 2 (dim + value_dim) a row and key, with dim and value_dim rounded up to 64, 128 or 192.
#include <cuda_bf16.h>
#include <mma.h>
#include <shardproof/backend/cuda/attention.cuh>
namespace shardproof::cuda {

namespace detail {
/// The softmax's share of the tile, which is the f32 kernel's.
using wmma_tile = attention_tile<float, 8, 16, 4, 16>;
using wmma_sums = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float>;

/// Where the parts of a block's shared memory begin, in bytes; each at 32 bytes, as fragments want it. Rows of bf16 are 16 bytes longer
/// than they have to be, so that rows below each other lie in different banks.
template <int Dim, int ValueDim> struct wmma_layout {
  static constexpr int stride = Dim + 8, value_stride = ValueDim + 8, chance_stride = 2 * wmma_tile::stride, result_stride = ValueDim + 4;
  static constexpr std::size_t rows = wmma_tile::rows, columns = wmma_tile::columns;
  static constexpr std::size_t keys = rows * stride * 2, values = keys + columns * stride * 2, scores = values + columns * value_stride * 2;
  static constexpr std::size_t bytes = 32 + upper(scores + rows * wmma_tile::stride * 4, rows * result_stride * 4);   // at the end the result lies over all
  static_assert(keys % 32 == 0 && values % 32 == 0 && scores % 32 == 0);
};

/// Rows of `width` f32 numbers, times `by`, as bf16; zero from `width` to Columns and from row `count` on.
template <int Columns, class Row> __device__ void load_rounded(__nv_bfloat16* to, int rows, int count, int width, bool wide, float by, const Row& row) {
  constexpr int vectors = Columns / 4, ahead = 4;
  for (int from = int(threadIdx.x); from < rows * vectors; from += ahead * wmma_tile::threads) {
    pack<float, 4> x[ahead];
#pragma unroll
    for (int u = 0; u < ahead; ++u) {
      const int at = from + u * wmma_tile::threads, r = at / vectors, c = at % vectors * 4;
      x[u] = {};
      if (r >= count || c >= width) continue;
      const float* const p = row(r) + c;
      if (wide) x[u] = pack_at<4>(p, 0);
      else
        for (int e = 0; e < 4; ++e)
          if (c + e < width) x[u].of[e] = p[e];
    }
#pragma unroll
    for (int u = 0; u < ahead; ++u) {
      const int at = from + u * wmma_tile::threads, r = at / vectors, c = at % vectors * 4;
      if (r >= rows) continue;
      auto* const y = reinterpret_cast<__nv_bfloat162*>(to + r * (Columns + 8) + c);
      y[0] = __floats2bfloat162_rn(x[u].of[0] * by, x[u].of[1] * by);
      y[1] = __floats2bfloat162_rn(x[u].of[2] * by, x[u].of[3] * by);
    }
  }
}

/// This thread's vectors of a row of chances, written over it as bf16; the lanes of a row read before any writes.
__device__ inline void round_chances(float* row, int part) {
  constexpr int parts = wmma_tile::threads / wmma_tile::rows, own = wmma_tile::columns / 4 / parts;
  pack<float, 4> x[own];
#pragma unroll
  for (int n = 0; n < own; ++n) x[n] = pack_at<4>(row + (part + n * parts) * 4, 0);
  __syncwarp();
#pragma unroll
  for (int n = 0; n < own; ++n) {
    auto* const y = reinterpret_cast<__nv_bfloat162*>(row) + (part + n * parts) * 2;
    y[0] = __floats2bfloat162_rn(x[n].of[0], x[n].of[1]);
    y[1] = __floats2bfloat162_rn(x[n].of[2], x[n].of[3]);
  }
}

/// Sixteen rows of scores of one warp: to = q k^T, capped.
template <int Dim> __device__ void wmma_scores(float* to, const __nv_bfloat16* q, const __nv_bfloat16* k, float cap) {
  namespace wmma = nvcuda::wmma;
  constexpr int across = wmma_tile::columns / 16, stride = Dim + 8;
  wmma_sums s[across];
#pragma unroll
  for (auto& x : s) wmma::fill_fragment(x, 0.f);
#pragma unroll 2
  for (int d = 0; d < Dim; d += 16) {
    wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> a;
    wmma::load_matrix_sync(a, q + d, stride);
#pragma unroll
    for (int n = 0; n < across; ++n) {
      wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, wmma::col_major> b;
      wmma::load_matrix_sync(b, k + n * 16 * stride + d, stride);
      wmma::mma_sync(s[n], a, b, s[n]);
    }
  }
#pragma unroll
  for (int n = 0; n < across; ++n) {
    if (cap != 0)
      for (int e = 0; e < s[n].num_elements; ++e) s[n].x[e] = cap * std::tanh(s[n].x[e] / cap);
    wmma::store_matrix_sync(to + n * 16, s[n], wmma_tile::stride, wmma::mem_row_major);
  }
}
/// o += chances v, sixteen rows of one warp.
template <int ValueDim> __device__ void wmma_add_values(wmma_sums (&o)[ValueDim / 16], const __nv_bfloat16* chances, const __nv_bfloat16* v) {
  namespace wmma = nvcuda::wmma;
#pragma unroll 1
  for (int j = 0; j < wmma_tile::columns; j += 16) {
    wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> a;
    wmma::load_matrix_sync(a, chances + j, 2 * wmma_tile::stride);
#pragma unroll
    for (int n = 0; n < ValueDim / 16; ++n) {
      wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, wmma::row_major> b;
      wmma::load_matrix_sync(b, v + j * (ValueDim + 8) + n * 16, ValueDim + 8);
      wmma::mma_sync(o[n], a, b, o[n]);
    }
  }
}

template <int Dim, int ValueDim> __device__ void attend_rows_bf16(const attention_job<float>& a, const attention_work& w) {
  namespace wmma = nvcuda::wmma;
  using tile = wmma_tile;
  using layout = wmma_layout<Dim, ValueDim>;
  constexpr int parts = tile::threads / tile::rows;
  __shared__ long place[tile::rows];
  __shared__ float factor[tile::rows], total[tile::rows * parts];
  unsigned char* const shared = dynamic_shared<unsigned char>() + (32 - reinterpret_cast<std::uintptr_t>(dynamic_shared<unsigned char>()) % 32) % 32;
  auto* const queries = reinterpret_cast<__nv_bfloat16*>(shared);
  auto* const keys = reinterpret_cast<__nv_bfloat16*>(shared + layout::keys);
  auto* const values = reinterpret_cast<__nv_bfloat16*>(shared + layout::values);
  float* const scores = reinterpret_cast<float*>(shared + layout::scores);
  float* const result = reinterpret_cast<float*>(shared);
  const long kv = w.batch * a.room * a.heads.kv_heads + w.kv_head;
  const int width = int(a.value_dim), warp_row = int(threadIdx.x) / 32 * 16;
  const std::int32_t* const segments = a.segments ? a.segments + w.batch * a.room : nullptr;

  const int own = int(threadIdx.x) / parts, part = int(threadIdx.x) % parts;
  const bool exists = own < w.count;
  const sight see = exists ? sight(a.mask, segments, w.query(own)) : sight{};
  row_state<float> state;
  if (part == 0) place[own] = exists ? w.place(a, own) : 0;
  if (a.sinks && exists && w.split == 0) state = row_state<float>(a.sinks[w.head(a, own)], part == 0);
  scores[int(threadIdx.x) / 16 * tile::stride + int(threadIdx.x) % 16] = float(threadIdx.x / 16);
  __syncthreads();
  wmma_sums rows;                                        // of the warp's sixteen, that of each number of a fragment
  wmma::load_matrix_sync(rows, scores, tile::stride, wmma::mem_row_major);
  load_rounded<Dim>(queries, tile::rows, w.count, int(a.dim), a.wide_keys, a.scale, [&](int r) { return a.q + place[r] * a.dim; });

  const key_range all = w.keys(a.mask);
  const segment_span row_segments = w.segments(a.mask, segments);
  const long tiles = all.from < all.to ? (all.to - all.from - 1) / tile::columns + 1 : 0, end = tiles * (w.split + 1) / a.splits;
  wmma_sums o[ValueDim / 16];
#pragma unroll
  for (auto& x : o) wmma::fill_fragment(x, 0.f);
  for (long t = tiles * w.split / a.splits; t < end; ++t) {
    const long first_key = all.from + t * tile::columns;
    const int count = int(lower(all.to - first_key, long(tile::columns)));
    if (segments && !row_segments.meets(segment_span(segments, first_key, first_key + count))) continue;
    __syncthreads();                                     // what the tiles held has been used
    const auto key_row = [&](int r) { return kv + (first_key + r) * a.heads.kv_heads; };
    load_rounded<Dim>(keys, tile::columns, count, int(a.dim), a.wide_keys, 1, [&](int r) { return a.k + key_row(r) * a.dim; });
    load_rounded<ValueDim>(values, tile::columns, count, width, a.wide_values, 1, [&](int r) { return a.v + key_row(r) * a.value_dim; });
    __syncthreads();
    // Scores of a row are read by lanes of the warp that made them.
    if (warp_row < w.count) wmma_scores<Dim>(scores + warp_row * tile::stride, queries + warp_row * layout::stride, keys, a.cap);
    __syncwarp();
    const float kept = make_chances<tile>(state, scores + own * tile::stride, part, see, segments, first_key);
    if (part == 0) factor[own] = kept;
    round_chances(scores + own * tile::stride, part);
    __syncwarp();
    if (warp_row >= w.count) continue;
#pragma unroll
    for (int e = 0; e < rows.num_elements; ++e) {
      const float by = factor[warp_row + int(rows.x[e])];
#pragma unroll
      for (auto& x : o) x.x[e] *= by;
    }
    wmma_add_values<ValueDim>(o, reinterpret_cast<const __nv_bfloat16*>(scores) + warp_row * layout::chance_stride, values);
  }

  __syncthreads();                                       // the result lies where queries, keys and values did
#pragma unroll
  for (int n = 0; n < ValueDim / 16; ++n)
    wmma::store_matrix_sync(result + warp_row * layout::result_stride + n * 16, o[n], layout::result_stride, wmma::mem_row_major);
  total[threadIdx.x] = state.sum;
  if (part == 0) factor[own] = state.top;
  __syncthreads();
  for (int r = int(threadIdx.x) / 32; r < w.count; r += tile::threads / 32) {
    float sum = 0;
    for (int p = 0; p < parts; ++p) sum += total[r * parts + p];
    const float top = factor[r];
    const bool any = top != row_state<float>::none, first = threadIdx.x % 32 == 0;
    const long at = w.split * a.rows() + place[r];
    float* const to = a.partial ? a.partial + at * a.value_dim : a.y + place[r] * a.value_dim;
    for (int c = int(threadIdx.x) % 32; c < width; c += 32) to[c] = any ? result[r * layout::result_stride + c] / (a.partial ? 1 : sum) : 0.f;
    if (first && a.partial) a.partial_sums[2 * at] = top, a.partial_sums[2 * at + 1] = sum;
    if (first && !a.partial) a.log_sum.put(w.sum_place(a, r), row_state<float>::log(top, sum));
  }
}

template <int Dim, int ValueDim> __global__ void __launch_bounds__(wmma_tile::threads, Dim > 128 ? 1 : 2) attend_bf16(attention_job<float> a) {
  a.find_keys();
  const long works = a.batch * a.heads.kv_heads * a.row_tiles * a.splits;
  for (long at = blockIdx.x; at < works; at += gridDim.x) {
    const attention_work w(a, at, wmma_tile::rows);
    if (w.count > 0) attend_rows_bf16<Dim, ValueDim>(a, w);
    if (at + gridDim.x < works) __syncthreads();
  }
}

template <int Dim, int ValueDim> void launch_attend_bf16(attention_job<float> a) {
  a.row_tiles = parts_of(a.mask.seq * a.heads.most(), wmma_tile::rows);
  const long blocks = a.batch * a.heads.kv_heads * a.row_tiles;
  a.splits = splits_for(blocks, longest_range(a.mask, a.heads, wmma_tile::rows), wmma_tile::columns);
  const split_rows<float> parts(a);
  launch("attention of bf16", attend_bf16<Dim, ValueDim>,
         {.blocks = at_most(blocks * a.splits, 1u << 30), .threads = wmma_tile::threads, .shared_bytes = wmma_layout<Dim, ValueDim>::bytes}, a);
  parts.combine(a);
}
}  // namespace detail

/// As `attention`, of which it is a faster and coarser one; log_sum is that of the rounded products.
inline void attention_bf16(const attention_args& a) {
  if (!a.y.count()) return;
  const long dim = a.q.s[3], value_dim = a.v.s[3];
  const detail::attention_heads heads(a);
  if (a.y.type != dtype::f32 || a.q.s[1] * heads.most() <= 16 || dim > 192 || value_dim > 128) return attention(a);
  const detail::attention_operands<float> x(a);
  const detail::attention_job<float> job = detail::make_job<float>(a, x, a.y.as<float>(), detail::saved_sums(a.log_sum));
  if (dim <= 64 && value_dim <= 64) detail::launch_attend_bf16<64, 64>(job);
  else if (dim <= 128) detail::launch_attend_bf16<128, 128>(job);
  else detail::launch_attend_bf16<192, 128>(job);
}

}  // namespace shardproof::cuda

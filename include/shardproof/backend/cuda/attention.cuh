#pragma once
/// @file
/// Attention forward: which tiles, how many splits.
///
///     cuda::attention(args);                               // any head size; f32 and f64
///
/// Tiling, f32: tiles of 64 rows (a row is a query of one head) for prefill, of 16 or of 4 where a KV head has no more rows, as in
/// decoding; 64 keys; 64, 128 or 256 columns of values, and slices of 256 beyond. f64: 16 rows, 32 keys, 64 columns, a warp.
/// Bytes and FLOP: see attention_forward.cuh and attention_decode.cuh. The masks are the interface's, none is ever in memory.
#include <shardproof/backend/cuda/attention_decode.cuh>
namespace shardproof::cuda {

namespace detail {
inline bool is_wide(const void* p, long width, long vector) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0 && width % vector == 0; }
inline double scale_of(const attention_args& a) { return a.scale != 0 ? a.scale : a.q.s[3] ? 1 / std::sqrt(double(a.q.s[3])) : 1; }

/// What a block may have of shared memory on an H200, less what its kernels have by name.
inline constexpr std::size_t most_shared_bytes = (227 - 3) * 1024;

template <class T, class Tile, int Columns> void launch_attend(attention_job<T> a) {
  const auto bytes_at = [&](long depth) {
    const int stride = tile_stride<T>(depth), value_stride = tile_stride<T>(lower(a.value_dim, long(Columns)));
    return sizeof(T) * std::size_t(Tile::rows * (stride + Tile::stride) + Tile::columns * upper(stride, value_stride));
  };
  const bool fits = bytes_at(a.dim) <= most_shared_bytes;                   // else features come in pieces
  a.depth = fits ? int(upper(a.dim, 1l)) : 64;
  a.slices = parts_of(a.value_dim, Columns);
  a.row_tiles = parts_of(a.mask.seq * a.heads.most(), Tile::rows);
  const long blocks = a.batch * a.heads.kv_heads * a.row_tiles * a.slices;
  a.splits = splits_for(blocks, longest_range(a.mask, a.heads, Tile::rows), Tile::columns);
  const split_rows<T> parts(a);
  launch("attention", attend<T, Tile, Columns>,
         {.blocks = at_most(blocks * a.splits, 1u << 30), .threads = Tile::threads, .shared_bytes = bytes_at(a.depth)}, a);
  parts.combine(a);
}
/// Wide: the tile for more than 128 columns, whose threads have fewer rows each, for their registers' sake.
template <class Tile, class Wide = Tile> void launch_attend(const attention_job<float>& a) {
  if (a.value_dim <= 64) launch_attend<float, Tile, 64>(a);
  else if (a.value_dim <= 128) launch_attend<float, Tile, 128>(a);
  else launch_attend<float, Wide, 256>(a);
}
inline void choose_tile(const attention_job<float>& a) {
  const long rows = a.mask.seq * a.heads.most();
  if (rows <= 4) launch_attend<attention_tile<float, 1, 4, 2, 32>>(a);
  else if (rows <= 16) launch_attend<attention_tile<float, 4, 4, 2, 32>>(a);
  else launch_attend<attention_tile<float, 8, 8, 4, 16>, attention_tile<float, 4, 16, 4, 16>>(a);
}
inline void choose_tile(const attention_job<double>& a) { launch_attend<double, attention_tile<double, 4, 4, 4, 8>, 64>(a); }

/// The operands that forward and backward have in common.
template <class T> struct attention_operands {
  converted<T> q, k, v, sinks;
  explicit attention_operands(const attention_args& a) : q(a.q), k(a.k), v(a.v), sinks(a.sinks) {}
};
template <class T> attention_job<T> make_job(const attention_args& a, const attention_operands<T>& x, T* y, const saved_sums& log_sum) {
  constexpr long vector = in_vector<T>;
  const long dim = a.q.s[3], value_dim = a.v.s[3];
  return {.q = x.q.p, .k = x.k.p, .v = x.v.p, .sinks = x.sinks.p, .segments = a.segments.as<const std::int32_t>(), .y = y, .log_sum = log_sum,
          .mask = attention_mask(a), .heads = attention_heads(a), .length = a.length.as<const std::int64_t>(), .room = a.k.s[1],
          .batch = a.q.s[0], .dim = dim, .value_dim = value_dim, .scale = T(scale_of(a)), .cap = T(a.softcap),
          .wide_keys = is_wide(x.q.p, dim, vector) && is_wide(x.k.p, dim, vector),
          .wide_values = is_wide(x.v.p, value_dim, vector) && is_wide(y, value_dim, vector)};
}
}  // namespace detail

inline void attention(const attention_args& a) {
  if (!a.y.count()) return;
  visit_float(a.y.type, [&](auto zero) {
    using T = decltype(zero);
    const detail::attention_operands<T> x(a);
    detail::choose_tile(detail::make_job<T>(a, x, a.y.as<T>(), detail::saved_sums(a.log_sum)));
  });
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// Attention backward: what each row's gradient is less its mean, the sinks, and the choice of tiles.
///
///     cuda::attention_backward(args);                      // adds to dq, dk, dv and dsinks, each of which may be null
///
/// y and log_sum are read as forward left them; where either is missing, forward runs again into scratch memory.
///
/// Tiling: a warp for each row's mean; a block for each head's sink, its threads in strides. See attention_gradients.cuh for the rest.
/// Bytes: y and dy once more; 8 a row. FLOP: 2 value_dim a row.
#include <shardproof/backend/cuda/attention.cuh>
#include <shardproof/backend/cuda/attention_gradients.cuh>
#include <shardproof/backend/cuda/block.cuh>
namespace shardproof::cuda {

namespace detail {
/// mean[b, h, i] = dy[b, i, h] . y[b, i, h], which is the sum of each probability times its gradient.
template <class T> __global__ void row_means(T* mean, const T* dy, const T* y, long batch, long seq, long heads, long width) {
  const long rows = batch * seq * heads, warps = blockDim.x / 32, lane = threadIdx.x % 32;
  for (long r = blockIdx.x * warps + threadIdx.x / 32; r < rows; r += gridDim.x * warps) {
    T sum = 0;
    for (long c = lane; c < width; c += 32) sum += dy[r * width + c] * y[r * width + c];
    sum = warp_sum(sum);
    const long position = r / heads;
    if (lane == 0) mean[(position / seq * heads + r % heads) * seq + position % seq] = sum;
  }
}
/// dsinks[h] -= the sum over rows of the sink's probability times the mean.
template <class T> __global__ void pull_sinks(T* dsinks, const T* sinks, const T* mean, saved_sums log_sum, long batch, long seq, long heads) {
  for (long h = blockIdx.x; h < heads; h += gridDim.x) {
    double sum = 0;
    for (long j = threadIdx.x; j < batch * seq; j += blockDim.x) {
      const long at = (j / seq * heads + h) * seq + j % seq;
      const double row = log_sum.get<double>(at);
      if (row != row_state<double>::none) sum += std::exp(double(sinks[h]) - row) * double(mean[at]);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) dsinks[h] -= T(sum);
  }
}

/// The two kernels, by tiles of rows and by tiles of keys, with all features in shared memory if they fit there and into `Columns`.
template <class T, class Rows, int Columns> void launch_pull_queries(gradient_job<T> a) {
  a.slices = a.whole ? 1 : parts_of(a.dim, Columns);
  a.row_tiles = parts_of(a.mask.seq * a.heads.most(), Rows::rows);
  const int stride = tile_stride<T>(lower(a.dim, long(a.depth))), value_stride = tile_stride<T>(lower(a.value_dim, long(a.depth)));
  const std::size_t bytes = sizeof(T) * std::size_t(Rows::rows * (stride + value_stride + Rows::stride) + Rows::columns * upper(stride, value_stride));
  launch("attention's gradient of queries", pull_queries<T, Rows, Columns>,
         {.blocks = at_most(a.batch * a.heads.kv_heads * a.row_tiles * a.slices, 1u << 30), .threads = Rows::threads, .shared_bytes = bytes}, a);
}
template <class T, class Keys, int Columns> void launch_pull_keys(gradient_job<T> a) {
  a.slices = a.whole ? 1 : parts_of(upper(a.dim, a.value_dim), Columns);
  a.row_tiles = parts_of(a.mask.keys, Keys::rows);
  const int strides = tile_stride<T>(lower(a.dim, long(a.depth))) + tile_stride<T>(lower(a.value_dim, long(a.depth)));
  const std::size_t bytes = sizeof(T) * std::size_t((Keys::rows + Keys::columns) * strides + 2 * Keys::rows * Keys::stride);
  launch("attention's gradient of keys", pull_keys<T, Keys, Columns>,
         {.blocks = at_most(a.batch * a.heads.kv_heads * a.row_tiles * a.slices, 1u << 30), .threads = Keys::threads, .shared_bytes = bytes}, a);
}
template <class T, int Columns> void launch_pull(gradient_job<T> a, bool whole) {
  constexpr int down = sizeof(T) == 4 ? 16 : 8, each = 4;
  a.depth = int(whole ? upper(upper(a.dim, a.value_dim), 1l) : 64);
  a.whole = whole;
  if (a.dq) launch_pull_queries<T, attention_tile<T, each, down, each, 16>, Columns>(a);
  if (a.dk || a.dv) launch_pull_keys<T, attention_tile<T, each, down, 2, 16>, Columns>(a);
}
template <class T> void choose_columns(const gradient_job<T>& a) {
  const long width = upper(a.dim, a.value_dim);
  if (width <= 64) launch_pull<T, 64>(a, true);
  else if (width <= 128) launch_pull<T, 128>(a, true);
  else if (sizeof(T) == 4 && width <= 256) launch_pull<T, sizeof(T) == 4 ? 256 : 64>(a, true);
  else launch_pull<T, 64>(a, false);
}

template <class T> void attention_backward_as(const attention_args& a) {
  const long batch = a.q.s[0], seq = a.q.s[1], heads = a.q.s[2], dim = a.q.s[3], value_dim = a.v.s[3], rows = batch * seq * heads;
  const attention_operands<T> x(a);
  const converted<T> dy(a.dy), given_y(a.y);
  const T* y = given_y.p;
  view log_sum = a.log_sum;
  const bool runs_again = !y || !log_sum;
  const scratch<T> again(runs_again ? rows * value_dim : 0), sums(runs_again ? rows : 0), mean(rows);
  if (runs_again) {
    y = again.p;
    log_sum = {sums.p, sizeof(T) == 4 ? dtype::f32 : dtype::f64, {batch, heads, seq}};
    choose_tile(make_job<T>(a, x, again.p, saved_sums(log_sum)));
  }
  const geometry four_rows{.blocks = at_most(parts_of(rows, 4), most_blocks), .threads = 128};
  launch("attention's row means", row_means<T>, four_rows, mean.p, dy.p, y, batch, seq, heads, value_dim);
  if (a.dsinks && x.sinks.p)
    launch("attention's gradient of sinks", pull_sinks<T>, {.blocks = at_most(heads, most_blocks)}, a.dsinks.as<T>(), x.sinks.p, static_cast<const T*>(mean.p),
           saved_sums(log_sum), batch, seq, heads);
  const auto wide = [](const void* p, long width) { return is_wide(p, width, in_vector<T>); };
  choose_columns(gradient_job<T>{
      .q = x.q.p, .k = x.k.p, .v = x.v.p, .dy = dy.p, .mean = mean.p, .segments = a.segments.as<const std::int32_t>(),
      .dq = a.dq.as<T>(), .dk = a.dk.as<T>(), .dv = a.dv.as<T>(), .log_sum = saved_sums(log_sum), .mask = attention_mask(a), .heads = attention_heads(a),
      .batch = batch, .dim = dim, .value_dim = value_dim, .scale = T(scale_of(a)), .cap = T(a.softcap),
      .wide_keys = wide(x.q.p, dim) && wide(x.k.p, dim) && wide(a.dq.p, dim) && wide(a.dk.p, dim),
      .wide_values = wide(x.v.p, value_dim) && wide(dy.p, value_dim) && wide(a.dv.p, value_dim)});
}
}  // namespace detail

inline void attention_backward(const attention_args& a) {
  if (!a.dy.count()) return;
  visit_float(a.dy.type, [&](auto zero) { detail::attention_backward_as<decltype(zero)>(a); });
}

}  // namespace shardproof::cuda

#pragma once
/// @file
/// y[i] = f(x[i]...), and the same with an operand that repeats over the rows: what elementwise kernels have in common.
///
///     struct plus_one { __device__ float operator()(float x) const { return x + 1; } };
///     cuda::map<float>("plus one", y, n, plus_one{}, x);               // float: what f is called with; y and x may be of other types
///     cuda::map_rows<float>("add", y, rows, n, added<float>{}, b, x);  // y[r, j] = f(b[j], x[r, j])
///
/// y may be one of x, since a thread reads its elements of all operands before it writes. Tiling: a thread moves packs of 16 bytes
/// of the widest operand (single elements where an address is not aligned to that, and behind the last pack). In map_rows a thread
/// stays with its columns, so that it reads b once and divides nothing. Each operand is moved once; the FLOP are f's.
#include <cstdint>
#include <shardproof/backend/cuda/matrix_tile.cuh>
#include <shardproof/backend/cuda/number.cuh>
namespace shardproof::cuda {

/// N neighbours that are moved together; aligned to their size, to 16 bytes at most.
template <class T, int N> struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) pack { T of[N]; };
template <class... T> constexpr int pack_size() {
  std::size_t widest = 1;
  ((widest = sizeof(T) > widest ? sizeof(T) : widest), ...);
  return int(16 / widest);
}
template <int N, class... T> bool are_packs(const T*... p) { return ((reinterpret_cast<std::uintptr_t>(p) % alignof(pack<T, N>) == 0) && ...); }
template <int N, class T> __device__ const pack<T, N>& pack_at(const T* p, long i) { return reinterpret_cast<const pack<T, N>*>(p)[i]; }
template <int N, class T> __device__ pack<T, N>& pack_at(T* p, long i) { return reinterpret_cast<pack<T, N>*>(p)[i]; }
/// Elements that are only moved: of so many bytes, whatever they hold.
template <int Bytes> struct alignas(Bytes) unit { unsigned char of[Bytes]; };

namespace detail {
template <class C, int N, class Y, class F, class... X> __device__ void map_pack(Y* y, long i, const F& f, pack<X, N>... x) {
  pack<Y, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k) store(out.of, k, f(load<C>(x.of, k)...));
  pack_at<N>(y, i) = out;
}
template <class C, int N, class Y, class F, class... X> __global__ void map_kernel(Y* y, long n, long packs, F f, const X*... x) {
  for (long i = first_index(); i < packs; i += index_stride()) map_pack<C, N>(y, i, f, pack_at<N>(x, i)...);
#pragma unroll 1
  for (long i = packs * N + first_index(); i < n; i += index_stride()) store(y, i, f(load<C>(x, i)...));
}
/// Of packs of N, `columns` of them in a row.
template <class C, int N, class Y, class F, class B, class... X>
__global__ void map_rows_kernel(Y* y, long rows, long columns, matrix_tile t, F f, const B* b, const X*... x) {
  for (long j = t.first_column(); j < columns; j += t.column_stride()) {
    const pack<B, N> repeated = pack_at<N>(b, j);
#pragma unroll 1
    for (long r = t.first_row(); r < rows; r += t.row_stride()) map_pack<C, N>(y, r * columns + j, f, repeated, pack_at<N>(x, r * columns + j)...);
  }
}
template <class C, int N, class Y, class F, class B, class... X>
void launch_rows(const char* name, Y* y, long rows, long columns, const F& f, const B* b, const X*... x) {
  const matrix_tile t = tile_for(columns / N);
  void (*const kernel)(Y*, long, long, matrix_tile, F, const B*, const X*...) = map_rows_kernel<C, N, Y, F, B, X...>;
  launch(name, kernel, over_tiles(t, rows, columns / N), y, rows, columns / N, t, f, b, x...);
}
/// f with the single element of b in front.
template <class C, class F, class B> struct with_one {
  F f;
  const B* b;
  template <class... X> __device__ C operator()(X... x) const { return f(load<C>(b, 0), x...); }
};
}  // namespace detail

template <class C, class Y, class F, class... X> void map(const char* name, Y* y, long n, const F& f, const X*... x) {
  constexpr int size = pack_size<Y, X...>();
  const long packs = are_packs<size>(y, x...) ? n / size : 0;
  void (*const kernel)(Y*, long, long, F, const X*...) = detail::map_kernel<C, size, Y, F, X...>;
  launch(name, kernel, over(packs ? parts_of(n, size) : n), y, n, packs, f, x...);
}
template <class C, class Y, class F, class B, class... X>
void map_rows(const char* name, Y* y, long rows, long columns, const F& f, const B* b, const X*... x) {
  constexpr int size = pack_size<Y, B, X...>();
  if (rows == 1) map<C>(name, y, columns, f, b, x...);
  else if (columns == 1) map<C>(name, y, rows, detail::with_one<C, F, B>{f, b}, x...);
  else if (columns % size == 0 && are_packs<size>(y, b, x...)) detail::launch_rows<C, size>(name, y, rows, columns, f, b, x...);
  else detail::launch_rows<C, 1>(name, y, rows, columns, f, b, x...);
}

}  // namespace shardproof::cuda

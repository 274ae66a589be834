#pragma once
/// @file
/// Tensor cores of the emulated CUDA: products of 16x16x16 bf16 matrices with f32 sums, as nvcuda::wmma names them.
///
///     wmma::fragment<wmma::accumulator, 16, 16, 16, float> c;  wmma::fill_fragment(c, 0.f);  wmma::mma_sync(c, a, b, c);
///
/// A lane holds eight elements of a sum; which, differs from a real device's, where it is not said either. It holds all of a factor,
/// so that no lane needs another: nothing here waits, and code that leans on a wait of these functions shows.
#include <cuda_bf16.h>
#include <cuda_runtime.h>
namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

template <class Use, int m, int n, int k, class T, class Layout = void> struct fragment;
template <class Use, class Layout> struct fragment<Use, 16, 16, 16, __nv_bfloat16, Layout> { __nv_bfloat16 all[256]; };   // row by row
template <> struct fragment<accumulator, 16, 16, 16, float> {
  static constexpr int num_elements = 8;
  float x[8];
  /// Lanes hold half a column each.
  static int row(int e) { return int(threadIdx.x % 2) * 8 + e; }
  static int column() { return int(threadIdx.x % 32) / 2; }
};
using sums = fragment<accumulator, 16, 16, 16, float>;

inline void fill_fragment(sums& f, float v) { for (float& x : f.x) x = v; }
/// A matrix begins at 32 bytes, and its rows are a multiple of 16 bytes apart.
template <class T> void check_matrix(const T* p, unsigned stride) {
  if (reinterpret_cast<std::uintptr_t>(p) % 32 || stride * sizeof(T) % 16) cuda_emulated::wrong("a matrix of a tensor core is not aligned");
}
template <class Use, class Layout> void load_matrix_sync(fragment<Use, 16, 16, 16, __nv_bfloat16, Layout>& f, const __nv_bfloat16* p, unsigned stride) {
  check_matrix(p, stride);
  for (unsigned r = 0; r < 16; ++r)
    for (unsigned c = 0; c < 16; ++c) f.all[16 * r + c] = std::is_same_v<Layout, row_major> ? p[r * stride + c] : p[c * stride + r];
}
inline void load_matrix_sync(sums& f, const float* p, unsigned stride, layout_t layout) {
  check_matrix(p, stride);
  for (int e = 0; e < 8; ++e) {
    const auto r = unsigned(sums::row(e)), c = unsigned(sums::column());
    f.x[e] = layout == mem_row_major ? p[r * stride + c] : p[c * stride + r];
  }
}
inline void store_matrix_sync(float* p, const sums& f, unsigned stride, layout_t layout) {
  check_matrix(p, stride);
  for (int e = 0; e < 8; ++e) {
    const auto r = unsigned(sums::row(e)), c = unsigned(sums::column());
    p[layout == mem_row_major ? r * stride + c : c * stride + r] = f.x[e];
  }
}
template <class La, class Lb>
void mma_sync(sums& d, const fragment<matrix_a, 16, 16, 16, __nv_bfloat16, La>& a, const fragment<matrix_b, 16, 16, 16, __nv_bfloat16, Lb>& b, const sums& c) {
  for (int e = 0; e < 8; ++e) {
    float s = 0;
    for (int k = 0; k < 16; ++k) s += __bfloat162float(a.all[16 * sums::row(e) + k]) * __bfloat162float(b.all[16 * k + sums::column()]);
    d.x[e] = c.x[e] + s;
  }
}

}  // namespace nvcuda::wmma

#pragma once
/// @file
/// The kernel `matmul`: brings both operands to one type, and chooses who multiplies.
///
///     cuda::matmul({x, w, y, m, n, k, false, true});       // y = x w^T
///     cuda::product_with(cuda::epilogue::bias, bias, {x, w, y, m, n, k, false, true});      // y = x w^T + bias, f32
///
/// A few rows go to few_rows.cuh, which reads 16-bit weights as they are; everything else to cuBLASLt, whose operands have one type:
/// types_of (product_plan.hpp) says which. Weights of another type are converted 64 MiB at a time in scratch, of which the slices are
/// whole stored rows: of columns of c where b is stored [n,k], of terms where it is stored [k,n]. 2 m n k FLOP.
#include <shardproof/backend/cuda/elementwise.cuh>
#include <shardproof/backend/cuda/few_rows.cuh>
#include <shardproof/backend/cuda/lt_product.cuh>
namespace shardproof::cuda {

namespace detail {

/// So many elements of a view as type t: its own memory, or a converted copy for this scope.
class operand_as {
  scratch<std::byte> copy_;

 public:
  const void* p;
  operand_as(const view& x, long n, dtype t) : copy_(x.type == t ? 0 : n * long(bytes_of(t))), p(x.type == t ? x.p : copy_.p) {
    if (x.type != t) cast({copy_.p, t, {n}}, {x.p, x.type, {n}});
  }
};

/// The same product where b, stored as `t`, is converted slice by slice.
inline void product_by_slices(const product& p, const void* a, const void* b, dtype t, void* c, const float* bias, std::size_t limit = scratch_bytes) {
  const long rows = p.tb ? p.n : p.k, width = p.tb ? p.k : p.n, some = rows_of_slice(rows, width, p.operands, limit);
  const scratch<std::byte> wide(some * width * long(bytes_of(p.operands)));
  in_pieces(rows, some, [&](span_of r) {
    cast({wide.p, p.operands, {r.count * width}}, {const_cast<void*>(lt_at(b, r.first * width, t)), t, {r.count * width}});
    const product_part x = p.tb ? part_of(p, {0, p.m}, r, {0, p.k}) : part_of(p, {0, p.m}, {0, p.n}, r);
    lt_product(x.p, lt_at(a, x.a, p.operands), wide.p, lt_at(c, x.c, p.result), has_bias(x.p.after) ? bias + (p.tb ? r.first : 0) : nullptr);
  });
}

}  // namespace detail

/// matmul with something done to each element before it is written. An epilogue wants f32 and k > 0; bias is [n] f32, or null.
inline void product_with(epilogue after, const view& bias, const matmul_args& x) {
  if (x.m <= 0 || x.n <= 0) return;
  if (x.k <= 0) {
    if (!x.accumulate) check(cudaMemsetAsync(x.c.p, 0, std::size_t(x.m * x.n) * bytes_of(x.c.type), own_queue().stream), "a clear");
    return;
  }
  product p = product_of(x);
  const product_types types = types_of(products_in_use(), x.b.type, x.c.type);
  const bool readable = x.b.type == x.c.type || (x.c.type == dtype::f32 && bytes_of(x.b.type) == 2);
  if (after == epilogue::none && readable && x.a.type == x.c.type && has_few_rows(p, x.b.type, types.operands))
    return few_rows(p, x.a.p, x.b.p, x.c.p, x.b.type);
  p.operands = types.operands, p.how = types.how, p.after = after;
  const detail::operand_as a(x.a, p.m * p.k, p.operands);
  if (x.b.type == p.operands) return lt_product(p, a.p, x.b.p, x.c.p, bias.as<const float>());
  detail::product_by_slices(p, a.p, x.b.p, x.b.type, x.c.p, bias.as<const float>());
}

/// See backend.hpp. @error SP001 for a precision nobody knows (products.hpp), SP506 where the device fails.
inline void matmul(const matmul_args& x) { product_with(epilogue::none, {}, x); }

}  // namespace shardproof::cuda

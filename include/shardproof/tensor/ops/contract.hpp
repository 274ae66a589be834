#pragma once
/// @file
/// The matrix product of a linear layer: x over a weight stored [out..., in...], or [in..., out...].
///
///     auto y = sp::contract<Where, sp::dims<hidden>, sp::dims<q_heads, head_dim>>(x, w);   // (batch, seq, q_heads/tp, head_dim)
///     // x (batch, seq, hidden) Replicate, w [out<q_heads>, out<head_dim>, in<hidden>] shard<out<q_heads>> -> shard<q_heads>
///     // x (batch, seq, ffn) shard<ffn>,   w [out<hidden>, in<ffn>] shard<in<ffn>>              -> Partial
#include <shardproof/tensor/ops/arithmetic.hpp>
namespace shardproof {

namespace erased {
struct linear_state { long m, n, k; bool in_out; };
inline void pull_linear(node& y) {
  node &x = *y.in[0], &w = *y.in[1];
  const auto [m, n, k, in_out] = state_of<linear_state>(y);
  const view dy = y.g();
  if (x.tracked) {
    bool more;
    const view dx = x.g(more);
    device().matmul({.a = dy, .b = w.v(), .c = dx, .m = m, .n = k, .k = n, .tb = in_out, .accumulate = more});
  }
  if (w.tracked) {
    bool more;
    const view dw = w.g(more);
    if (in_out) device().matmul({.a = x.v(), .b = dy, .c = dw, .m = k, .n = n, .k = m, .ta = true, .accumulate = more});
    else device().matmul({.a = dy, .b = x.v(), .c = dw, .m = n, .n = k, .k = m, .ta = true, .accumulate = more});
  }
}
/// y[m, n] = x[m, k] w[n, k]^T; the last `summed` extents of x and w are contracted, or those of x and the first of w, if it is stored
/// `in_out`: w[k, n]. w may be bf16 or f16.
inline ref linear(const ref& x0, const ref& w, int summed, const shape& s, bool in_out = false) {
  const ref x = widened(x0);
  const long m = x->s.lead(summed), k = x->s.tail(summed);
  const linear_state z{m, in_out ? w->s.tail(w->s.rank - summed) : w->s.lead(summed), k, in_out};
  ref y = record(x->type, s, {&x, &w}, pull_linear, z);
  if (live(y)) device().matmul({.a = x->v(), .b = w->v(), .c = y->v(), .m = z.m, .n = z.n, .k = z.k, .tb = !in_out});
  return y;
}
}  // namespace erased

namespace operations {
/// The one of the summed dimensions that x is cut along, else the first.
template <class In> constexpr const dim_info* summed_along(placement x) {
  for (int i = 0; i < In::rank; ++i) if (const dim_info* d = sizes_of<In>::infos[std::size_t(i)]; x.d && base_of(d) == base_of(x.d)) return d;
  return &info<first_of<In>>;
}
template <class In> struct contract {
  double summed = 0;                                   ///< elements contracted on this rank
  bool in_out = false;                                 ///< how the weight is stored
  static constexpr outcome rule(placement x, placement w) { return rules::contract(x, w, summed_along<In>(x)); }
  constexpr void charge(bill& b) const {
    b.book->forward.flops += 2 * b.result * summed;
    b.book->backward.flops += 2 * b.result * summed * (double(b.tracked[0]) + double(b.tracked[1]));
  }
  ref run(const shape& s, const auto& x, const auto& w) const { return erased::linear(x.at, w.at, In::rank, s, in_out); }
};
}  // namespace operations

/// x over w. In: the dimensions summed over, the last of x; Out: those of the result.
/// @error SP107 the contracted dimension is sharded on one operand only; SP102 f is missing; SP301 a whole weight meets a shard.
template <class Where, class In, class Out, class X, class W> constexpr auto contract(const X& x, const W& w) {
  if constexpr (any_broken<X, W>) return broken{};
  else if constexpr (std::is_void_v<drop_back<dims_in<X>, In>>) {
    static_assert(verdict<code::dims_differ, Where, fed<dims_in<X>>, needs<In>>::ok);
    return broken{};
  } else {
    using to = concat<drop_back<dims_in<X>, In>, plain<Out>>;
    sizes_of<to> s;
    copy_sizes(s, x.sizes);
    constexpr int n_out = as_dims<Out>::rank;
    constexpr bool in_out = info<first_of<dims_in<W>>>.is == role::in;
    constexpr int outs = in_out ? In::rank : 0, ins = in_out ? 0 : n_out;                // where they start in w
    for (int i = 0; i < n_out; ++i) s.n[std::size_t(to::rank - n_out + i)] = w.sizes.n[std::size_t(outs + i)];
    if (!s.table) s.table = w.sizes.table;
    double k = 1;
    spot here = spot{};
    if constexpr (is_ghost<X>) { if (x.at) here = x.at->where; } else here = self.where;
    for (int i = 0; i < In::rank; ++i)
      k *= double(local_extent(w.sizes.infos[std::size_t(ins + i)], w.sizes.n[std::size_t(ins + i)], w.place(), here, w.sizes.table));
    return apply<Where, to, shard<first_of<plain<Out>>>, packed<first_of<plain<Out>>>>::op(operations::contract<In>{k, in_out}, s, x, w);
  }
}

}  // namespace shardproof

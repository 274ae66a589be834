#pragma once
/// @file
/// Takes a fused last dimension apart: packed -> each part sharded, a product -> each part as it says, whole -> whole.
///
///     auto [gate, up] = sp::split(gate_up_proj(x));        // (batch, seq, [ffn | ffn]/tp) packed -> two (batch, seq, ffn/tp) shard<ffn>
///     auto [q, k, v] = sp::split(qkv_proj(x));             // unequal parts too; of fused<flat<q_heads, head_dim>, ...> come heads
#include <shardproof/tensor/ops/arithmetic.hpp>
namespace shardproof {

namespace erased {
struct part_state { long at, width, row, rows; };
inline void pull_columns(node& y) {
  const auto& z = state_of<part_state>(y);
  if (y.in[0]->tracked)
    device().copy({.dst = y.in[0]->g(), .src = y.g(), .rows = z.rows, .width = z.width, .dst_row = z.row, .dst_at = z.at, .src_row = z.width, .accumulate = true});
}
/// Columns [at, at + width) of rows of `row`.
inline ref columns(const ref& x, long at, long width, const shape& s) {
  const long row = x->s[-1];
  const part_state z{at, width, row, x->s.lead(1)};
  ref y = record(x->type, s, {&x}, pull_columns, z);
  if (live(y)) device().copy({.dst = y->v(), .src = x->v(), .rows = z.rows, .width = width, .dst_row = width, .src_row = row, .src_at = at});
  return y;
}
}  // namespace erased

namespace operations {
struct split;
template <class Whole, int I> struct part {
  using reported_as = split;
  static constexpr outcome rule(placement x) { return rules::part(x, &info<Whole>, I); }
  constexpr void charge(bill&) const {}
  static ref run(const shape& s, const auto& x) {
    const placement p = x.place().on[0];
    const bool cut = p.splits() && p.d == &info<Whole>;
    long at = 0;
    for (int i = 0; i < I; ++i) {
      const dim_info* d = info<Whole>.part[std::size_t(i)];
      const long n = extent_of(d, x.sizes.table);
      at += cut ? block_of(d, n, rank_on(), ranks_on(), x.sizes.table).size() : n;
    }
    return erased::columns(x.at, at, s.tail(s.rank - (x.at->s.rank - 1)), s);
  }
};
/// A flat part falls into its factors, a lane into none.
template <class D> struct factors_of { using type = dims<D>; };
template <class D> requires requires { requires D::dropped; } struct factors_of<D> { using type = dims<>; };
template <class D> requires requires { typename D::factors; } struct factors_of<D> { using type = typename D::factors; };
template <class Whole, class Lead, int I, class X> constexpr auto one_part(const X& x) {
  using part_dim = nth_dim<typename Whole::parts, I>;
  using own = typename factors_of<part_dim>::type;
  using to = concat<Lead, own>;
  sizes_of<to> s;
  copy_sizes(s, x.sizes);
  for (int i = 0; i < own::rank; ++i) s.n[std::size_t(Lead::rank + i)] = extent_of(sizes_of<own>::infos[std::size_t(i)], x.sizes.table);
  if constexpr (own::rank == 0) return apply<free_operation<split>, to>::op(part<Whole, I>{}, s, x);
  else return apply<free_operation<split>, to, shard<first_of<own>>>::op(part<Whole, I>{}, s, x);
}
}  // namespace operations

/// The parts of `split`, for structured bindings.
template <class A, class B> struct two { A first; B second; };
template <class A, class B, class C> struct three { A first; B second; C third; };

/// @error SP106 x is sharded as one block along the fused dimension; SP115 its last dimension is not fused.
template <tensor_like X> constexpr auto split(const X& x) {
  if constexpr (any_broken<X>) return two<broken, broken>{};
  else if constexpr (!requires { typename last_of<dims_in<X>>::parts; }) {
    static_assert(verdict<code::wrong_parts, free_operation<operations::split>, fed<dims_in<X>>>::ok);
    return two<broken, broken>{};
  } else {
    using whole = last_of<dims_in<X>>;
    using lead = chop<dims_in<X>, 1>;
    auto a = operations::one_part<whole, lead, 0>(x);
    if constexpr (any_broken<decltype(a)>) {                                             // all parts break the same rule: one report
      if constexpr (whole::parts::rank == 2) return two<broken, broken>{};
      else return three<broken, broken, broken>{};
    } else {
      auto b = operations::one_part<whole, lead, 1>(x);
      if constexpr (whole::parts::rank == 2) return two<decltype(a), decltype(b)>{a, b};
      else {
        auto c = operations::one_part<whole, lead, 2>(x);
        return three<decltype(a), decltype(b), decltype(c)>{a, b, c};
      }
    }
  }
}

}  // namespace shardproof

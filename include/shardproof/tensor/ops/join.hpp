#pragma once
/// @file
/// Puts two values side by side in one fused last dimension: what `split` takes apart.
///
///     auto q = sp::join(q_nope, q_rope);                   // (batch, seq, heads, nope), (batch, seq, heads, rope) -> (batch, seq, heads, [nope | rope])
///     auto k = sp::join(k_nope, k_rope);                   // k_rope (batch, seq, one_head, rope): one for all heads, of extent 1
///
/// The second may have a dimension of extent 1 where the first has its heads; it is repeated, and its gradient is summed.
#include <shardproof/tensor/ops/arithmetic.hpp>
namespace shardproof {

namespace erased {
struct join_state { long rows, repeats, first, second; };    // rows of the second, and how often each is used
inline void pull_join(node& y) {
  const auto [rows, repeats, first, second] = state_of<join_state>(y);
  const long row = first + second;
  const view dy = y.g();
  if (y.in[0]->tracked)
    device().copy({.dst = y.in[0]->g(), .src = dy, .rows = rows * repeats, .width = first, .dst_row = first, .src_row = row, .accumulate = true});
  if (!y.in[1]->tracked) return;
  for (long r = 0; r < repeats; ++r)
    device().copy({.dst = y.in[1]->g(), .src = dy, .rows = rows, .width = second, .dst_row = second, .src_row = repeats * row, .src_at = r * row + first, .accumulate = true});
}
inline ref join(const ref& a0, const ref& b0, const shape& s) {
  const ref a = widened(a0), b = widened(b0);
  const long first = a->s[-1], second = b->s[-1], all = s.lead(1), rows = b->s.lead(1), repeats = rows ? all / rows : 0, row = first + second;
  ref y = record(a->type, s, {&a, &b}, pull_join, join_state{rows, repeats, first, second});
  if (!live(y)) return y;
  device().copy({.dst = y->v(), .src = a->v(), .rows = all, .width = first, .dst_row = row, .src_row = first});
  for (long r = 0; r < repeats; ++r)
    device().copy({.dst = y->v(), .src = b->v(), .rows = rows, .width = second, .dst_row = repeats * row, .dst_at = r * row + first, .src_row = second});
  return y;
}
}  // namespace erased

namespace operations {
template <class A, class B> struct join {
  static constexpr bool extents_may_differ = true;     ///< one head for many
  static constexpr outcome rule(placement a, placement b) {
    if (a.d == &info<last_of<A>> || b.d == &info<last_of<B>>) return {code::head_cut, a};
    if (b.splits() && !has<A>(b)) return {code::operands_differ, a};                      // the one that is repeated
    return rules::add(a, b, has<A>(b), has<B>(a));
  }
  constexpr void charge(bill&) const {}
  static ref run(const shape& s, const auto& a, const auto& b) { return erased::join(a.at, b.at, s); }
};
struct joined_operands;
}  // namespace operations

namespace detail {
/// Alike but for one dimension, where the second has one of extent 1.
template <class A, class B> inline constexpr bool joinable = false;
template <class... A, class... B> requires (sizeof...(A) == sizeof...(B))
inline constexpr bool joinable<dims<A...>, dims<B...>> = ((std::is_same_v<A, B> || B::static_extent == 1) && ...);
}  // namespace detail

/// @error SP109 the leading dimensions differ; SP110 a feature dimension is cut; SP102, SP104 as for a sum.
template <tensor_like A, tensor_like B> constexpr auto join(const A& a, const B& b) {
  if constexpr (any_broken<A, B>) return broken{};
  else if constexpr (!detail::joinable<chop<dims_in<A>, 1>, chop<dims_in<B>, 1>>) {
    static_assert(verdict<code::dims_differ, free_operation<operations::joined_operands>, fed<dims_in<B>>, needs<dims_in<A>>>::ok);
    return broken{};
  } else {
    using to = concat<chop<dims_in<A>, 1>, dims<fused<last_of<dims_in<A>>, last_of<dims_in<B>>>>>;
    sizes_of<to> s;
    copy_sizes(s, a.sizes);
    s.n[std::size_t(to::rank - 1)] = a.sizes.n[std::size_t(to::rank - 1)] + b.sizes.n[std::size_t(to::rank - 1)];
    if (!s.table) s.table = b.sizes.table;
    return apply<free_operation<operations::join<dims_in<A>, dims_in<B>>>, to>::op(operations::join<dims_in<A>, dims_in<B>>{}, s, a, b);
  }
}

}  // namespace shardproof

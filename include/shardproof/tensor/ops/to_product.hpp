#pragma once
/// @file
/// I -> a placement per part of a fused last dimension: MLA's [latent | rotary] is [Invariant | Replicate].
///
///     auto y = sp::to_product<sp::invariant, sp::replicate>(x);      // then: auto [latent, rotary] = sp::split(y);
///
/// Parts that become Replicate pay f: nothing forward, one all_reduce of that part backward. Only `split` consumes a product.
#include <shardproof/tensor/ops/split.hpp>
namespace shardproof {

namespace erased {
struct product_state { long width[max_parts]; bool sum[max_parts]; };
inline void pull_to_product(node& y) {
  const auto& z = state_of<product_state>(y);
  const long row = y.s[-1], rows = y.s.lead(1);
  const view dy = y.g();
  long at = 0;
  for (int p = 0; p < max_parts; at += z.width[p++]) {
    if (!z.sum[p] || !z.width[p]) continue;
    ref t = leaf(dy.type, {rows, z.width[p]});
    device().copy({.dst = t->v(), .src = dy, .rows = rows, .width = z.width[p], .dst_row = z.width[p], .src_row = row, .src_at = at});
    self.on[0]->all_reduce(t->data.get(), rows * z.width[p], dy.type);
    device().copy({.dst = dy, .src = t->v(), .rows = rows, .width = z.width[p], .dst_row = row, .dst_at = at, .src_row = z.width[p]});
  }
  y.in[0]->add_gradient(std::move(y.gradient), dy);
}
inline ref to_product(const ref& x, const product_state& z) {
  if (ranks_on() == 1 || !self.tape || !x->tracked) return x;
  ref y = record(x->type, x->s, {&x}, pull_to_product, z);
  y->data = x->data;
  return y;
}
}  // namespace erased

namespace operations {
template <class D, class... P> struct to_product {
  using wants = needs<invariant>;
  static constexpr int acts_on = tp::id;
  double share = 0;                                    ///< of the last dimension that pays f
  static constexpr outcome rule(placement x) { return {x.k == kind::invariant ? code::ok : code::conversion, product<D, P...>::value}; }
  constexpr void charge(bill& b) const {
    ((P::value.k == kind::replicate ? b.backward(collective::all_reduce, 0, b.result * share) : void()), ...);
    b.kept = false;
  }
  static ref run(const shape&, const auto& x) {
    erased::product_state z{};
    int i = 0;
    (((z.width[i] = extent_of(info<D>.part[std::size_t(i)], x.sizes.table)), (z.sum[i] = P::value.k == kind::replicate), ++i), ...);
    return erased::to_product(x.at, z);
  }
};
}  // namespace operations

/// @error SP101 x is not Invariant; the number of placements must be the number of parts.
template <class... P, tensor_like X> constexpr auto to_product(const X& x) {
  if constexpr (any_broken<X>) return broken{};
  else {
    using whole = last_of<dims_in<X>>;
    static_assert(whole::parts::rank == int(sizeof...(P)), "shardproof: to_product takes one placement per part of the fused dimension");
    using op = operations::to_product<whole, P...>;
    double all = 0, pays = 0;
    int i = 0;
    (((all += double(extent_of(info<whole>.part[std::size_t(i)], x.sizes.table))),
      (pays += P::value.k == kind::replicate ? double(extent_of(info<whole>.part[std::size_t(i)], x.sizes.table)) : 0), ++i), ...);
    int many = ((P::value.k == kind::replicate) + ... + 0);
    return apply<free_operation<op>, dims_in<X>, product<whole, P...>>::op(op{all > 0 && many ? pays / all / many : 0}, x.sizes, x);
  }
}

}  // namespace shardproof

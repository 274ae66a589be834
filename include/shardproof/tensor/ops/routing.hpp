#pragma once
/// @file
/// A router's choice as a value, and what styles do to it on its way to the experts.
///
///     sp::routing r = gate(x);                             // r.weights (batch, seq, chosen), r.ids (batch, seq, chosen) i64
///     auto own = sp::own_tokens(r);                        // this rank's tokens; of a tensor likewise
///     auto whole = sp::to_replicate(r);                    // f on the weights
#include <shardproof/tensor/ops/convert.hpp>
namespace shardproof {

struct chosen : dim<> {};                              ///< the experts of one token, best first

/// A router's choice. It travels like a value: a style of a region converts its weights, and its ids where tokens are cut.
template <class W, class I> struct routing {
  W weights;
  I ids;
  template <class L> constexpr auto as() const {
    auto w = weights.template as<L>();
    auto i = ids.template as<L>();
    return routing<decltype(w), decltype(i)>{w, i};
  }
};
/// Is T a routing?
template <class T> inline constexpr bool is_routing = false;
template <class W, class I> inline constexpr bool is_routing<routing<W, I>> = true;
template <class W, class I> constexpr routing<W, I> operator+(const routing<W, I>& r, nothing) { return r; }

namespace detail {
/// Ids where they are whole, whatever the placement of the weights: they have no gradient, so f is nothing to them.
template <class I> constexpr auto whole_ids(const I& ids) {
  if constexpr (is_any<place_in<I>>) return ids.place().on[0].splits() ? shardproof::to_replicate(ids) : ids;
  else if constexpr (on_axis<place_in<I>>::value.splits()) return shardproof::to_replicate(ids);
  else return ids;
}
template <class W, class I> constexpr auto routing_of(const W& w, const I& ids) {
  if constexpr (any_broken<W, I>) return broken{};
  else return routing<W, I>{w, ids};
}
}  // namespace detail
/// A style's conversions of both: f on the weights, or the own tokens of both.
template <class W, class I> constexpr auto to_replicate(const routing<W, I>& r) { return detail::routing_of(to_replicate(r.weights), detail::whole_ids(r.ids)); }
template <class W, class I, class D> constexpr auto to_shard(const routing<W, I>& r, along<D> d) { return detail::routing_of(to_shard(r.weights, d), to_shard(r.ids, d)); }
/// This rank's share of the tokens: x (batch, seq, ...) is cut along the dimension before the last.
template <tensor_like X> constexpr auto own_tokens(const X& x) {
  if constexpr (any_broken<X>) return broken{};
  else return to_shard(x, along<nth_dim<dims_in<X>, -2>>{});
}
template <class W, class I> constexpr auto own_tokens(const routing<W, I>& r) { return to_shard(r, along<nth_dim<dims_in<W>, -2>>{}); }
/// A whole value as a pending sum that one rank holds; what is dealt stays so.
template <tensor_like X> constexpr auto kept_by_one(const X& x) {
  if constexpr (any_broken<X>) return broken{};
  else if constexpr (is_any<place_in<X>>) return x.place().on[0].splits() ? x : to_partial(x);
  else if constexpr (on_axis<place_in<X>>::value.splits()) return x;
  else return to_partial(x);
}

}  // namespace shardproof

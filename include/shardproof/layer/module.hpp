#pragma once
/// @file
/// A module as a member of another: callable, and reached by its members' names.
///
///     SP_LAYER(self_attn, sp::block<attention>);           // self_attn(x, cache); path "...self_attn.q_proj"
///     SP_LAYER(query, sp::spliced<low_rank_query>);        // its members stand at the parent's path: "...q_a_proj"
#include <shardproof/layer/layer.hpp>
namespace shardproof {

namespace detail {
/// What a module's forward must do for the arguments it is given. False also after an error inside forward, which is then
/// already printed; the verdict is printed all the same, since silence without an error would be unsound.
template <class M, class X, class... More>
concept yields = requires(const M& m, const X& x, More&... more) { typename std::remove_cvref_t<decltype(m.forward(x, more...))>::placement_type; };
}  // namespace detail

/// Further arguments (a cache, masks, tables) go by reference.
template <class M> struct submodule : M {
  using module = M;
  template <class X, class... More> constexpr auto operator()(const X& x, More&&... more) const {
    if constexpr (any_broken<X>) return broken{};
    else if constexpr (!detail::yields<M, X, More...>) {
      static_assert(verdict<code::no_result, M>::ok);
      return broken{};
    } else return M::forward(x, more...);
  }
};
template <template <class> class M> struct block { template <class At> using in_scope = submodule<M<At>>; };
template <template <class> class M> struct spliced { template <class At> using in_parent = submodule<M<At>>; };

template <class T> inline constexpr bool is_submodule = false;
template <class M> inline constexpr bool is_submodule<submodule<M>> = true;

}  // namespace shardproof

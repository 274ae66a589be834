#pragma once
/// @file
/// A module as a member of another: callable, and reached by its members' names.
///
///     SP_LAYER(self_attn, sp::block<attention>);           // self_attn(x, cache); path "...self_attn.q_proj"
///     SP_LAYER(query, sp::spliced<low_rank_query>);        // its members stand at the parent's path: "...q_a_proj"
#include <shardproof/layer/layer.hpp>
namespace shardproof {

namespace detail {
/// Is there a forward for these arguments? Asked without looking into one, since an error inside would be printed from here: the
/// fallback is worse for the arguments and better for the object, so that beside a forward that fits the call is ambiguous.
struct other_arguments {};
template <class M> struct with_fallback : M {
  using M::forward;
  other_arguments forward(...);
};
template <class T> inline constexpr bool no_forward_for = false;
template <> inline constexpr bool no_forward_for<other_arguments> = true;
template <class M, class X, class... More> constexpr bool forward_takes() {
  if constexpr (requires(with_fallback<M>& m, const X& x, More&... more) { m.forward(x, more...); })
    return !no_forward_for<decltype(std::declval<with_fallback<M>&>().forward(std::declval<const X&>(), std::declval<More&>()...))>;
  else return true;
}

/// What forward yields, as a type: `gives<T>`, or `gives_nothing` where a return is missing. An error inside leaves neither; clang
/// then drops whatever depends on it, so that nothing is said twice. Hence no `if constexpr` on it: assert on it, dispatch by it.
struct gives_nothing {};
template <class T> struct gives {};
template <class T> gives<std::remove_cvref_t<T>> operator,(T&&, gives_nothing);
template <class Y> inline constexpr bool gives_no_tensor = false;
template <> inline constexpr bool gives_no_tensor<gives_nothing> = true;
template <class T> inline constexpr bool gives_no_tensor<gives<T>> = !std::is_class_v<T>;
template <class Y> struct forwarded {
  static constexpr broken call(const auto&, const auto&...) { return {}; }
};
template <class T> requires std::is_class_v<T> struct forwarded<gives<T>> {
  template <class M, class X, class... More> static constexpr T call(const M& m, const X& x, More&... more) { return m.forward(x, more...); }
};
}  // namespace detail

/// Further arguments (a cache, masks, tables) go by reference.
template <class M> struct submodule : M {
  using module = M;
  static constexpr bool is_a_submodule = true;
  template <class X, class... More> constexpr auto operator()(const X& x, More&&... more) const {
    if constexpr (any_broken<X>) return broken{};
    else if constexpr (!detail::forward_takes<M, X, More...>()) {
      static_assert(verdict<code::no_result, M>::ok);
      return broken{};
    } else {
      using Y = decltype((M::forward(x, more...), detail::gives_nothing{}));
      static_assert(verdict<detail::gives_no_tensor<Y> ? code::no_result : code::ok, M>::ok);
      return detail::forwarded<Y>::call(static_cast<const M&>(*this), x, more...);
    }
  }
};
template <template <class> class M> struct block { template <class At> using in_scope = submodule<M<At>>; };
template <template <class> class M> struct spliced { template <class At> using in_parent = submodule<M<At>>; };

/// A module as a member, a region among them.
template <class T> inline constexpr bool is_submodule = requires { requires T::is_a_submodule; };

}  // namespace shardproof

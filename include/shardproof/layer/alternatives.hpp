#pragma once
/// @file
/// Layers that depend on the configuration: absent or present, one kind or another, under one member name.
///
///     SP_LAYER(q_norm, sp::maybe<sp::rms_norm<head_dim>>);                                  // q_norm.present = config.qk_norm
///     SP_LAYER(mlp, sp::one_of<sp::block<gated_mlp>, sp::block<sparse_mlp>>);               // mlp.choose(layer >= config.dense_layers)
///
/// What is absent has no parameter and no name. Branches return one type, so that a stack stays one type.
#include <shardproof/layer/module.hpp>
namespace shardproof {

template <class Where, class L> struct maybe_layer {
  L some;
  bool present = false;
  template <class X, class... More> constexpr auto operator()(const X& x, More&&... more) const {
    using Y = decltype(some(x, more...));
    if constexpr (any_broken<Y>) return broken{};
    else if constexpr (std::is_same_v<X, Y>) { if (present) return some(x, more...); return x; }
    else if constexpr (std::is_same_v<decltype(detail::as_any(x)), Y>) { if (present) return some(x, more...); return detail::as_any(x); }
    else {
      static_assert(verdict<code::absent_must_pass, Where, fed<X>, returns<Y>>::ok);
      return broken{};
    }
  }
};
template <class Kind> struct maybe { template <class At, class Tag> using alternatives = maybe_layer<typename At::template child<Tag>, layer<At, Tag, Kind>>; };

template <class Where, class A, class B> struct one_of_layer {
  A first;
  B second;
  int choice = 0;
  constexpr void choose(int i) { choice = i; }
  template <class X, class... More> constexpr auto operator()(const X& x, More&&... more) const {
    using R = decltype(first(x, more...));
    using S = decltype(second(x, more...));
    if constexpr (any_broken<R, S>) return broken{};
    else if constexpr (!std::is_same_v<R, S>) {
      static_assert(verdict<code::alternatives_differ, Where, returns<R, S>>::ok);
      return broken{};
    } else {
      if (choice) return second(x, more...);
      return first(x, more...);
    }
  }
};
template <class A, class B> struct one_of {
  template <class At, class Tag> using alternatives = one_of_layer<typename At::template child<Tag>, layer<At, Tag, A>, layer<At, Tag, B>>;
};

template <class T> inline constexpr bool is_maybe = false;
template <class W, class L> inline constexpr bool is_maybe<maybe_layer<W, L>> = true;
template <class T> inline constexpr bool is_one_of = false;
template <class W, class A, class B> inline constexpr bool is_one_of<one_of_layer<W, A, B>> = true;

}  // namespace shardproof

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

namespace detail {
/// What a layer that may be absent does with the result of the one that is there.
template <class X, class Y> struct passing {                                             // an error inside: said already
  template <class Where> using verdict_at = verdict<code::ok, Where>;
  static constexpr broken call(const auto&, const auto&...) { return {}; }
};
template <class X> struct passing<X, gives<broken>> : passing<X, void> {};
template <class X, class Y> requires std::is_class_v<Y> struct passing<X, gives<Y>> {
  static constexpr bool same = std::is_same_v<X, Y>, widens = std::is_same_v<Y, decltype(as_any(std::declval<const X&>()))>;
  template <class Where> using verdict_at = verdict<same || widens ? code::ok : code::absent_must_pass, Where, fed<X>, returns<Y>>;
  template <class L, class... More> static constexpr auto call(const L& l, const X& x, More&... more) {
    if constexpr (same) { if (l.present) return l.some(x, more...); return x; }
    else if constexpr (widens) { if (l.present) return l.some(x, more...); return as_any(x); }
    else return broken{};
  }
};
/// What one_of does with the results of its two.
template <class R, class S> struct choosing {
  template <class Where> using verdict_at = verdict<code::ok, Where>;
  static constexpr broken call(const auto&, const auto&...) { return {}; }
};
template <class R, class S> requires (std::is_class_v<R> && std::is_class_v<S> && !any_broken<R, S>) struct choosing<gives<R>, gives<S>> {
  template <class Where> using verdict_at = verdict<std::is_same_v<R, S> ? code::ok : code::alternatives_differ, Where, returns<R, S>>;
  template <class L, class X, class... More> static constexpr auto call(const L& l, const X& x, More&... more) {
    if constexpr (std::is_same_v<R, S>) {
      if (l.choice) return l.second(x, more...);
      return l.first(x, more...);
    } else return broken{};
  }
};
}  // namespace detail

template <class Where, class L> struct maybe_layer {
  L some;
  bool present = false;
  template <class X, class... More> constexpr auto operator()(const X& x, More&&... more) const {
    using Y = decltype((some(x, more...), detail::gives_nothing{}));
    static_assert(detail::passing<X, Y>::template verdict_at<Where>::ok);
    return detail::passing<X, Y>::call(*this, x, more...);
  }
};
template <class Kind> struct maybe { template <class At, class Tag> using alternatives = maybe_layer<typename At::template child<Tag>, layer<At, Tag, Kind>>; };

template <class Where, class A, class B> struct one_of_layer {
  A first;
  B second;
  int choice = 0;
  constexpr void choose(int i) { choice = i; }
  template <class X, class... More> constexpr auto operator()(const X& x, More&&... more) const {
    using R = decltype((first(x, more...), detail::gives_nothing{}));
    using S = decltype((second(x, more...), detail::gives_nothing{}));
    static_assert(detail::choosing<R, S>::template verdict_at<Where>::ok);
    return detail::choosing<R, S>::call(*this, x, more...);
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

#pragma once
/// @file
/// A parallel style is one small struct: the role it shards, what the layer must be fed, and what happens before, at and after it.
///
///     struct latent_and_key : sp::style_defaults {                                 // a style of one's own, for both kinds of plan
///       static constexpr auto name = "latent_and_key";
///       static constexpr auto after(const auto& y, const auto& bias) { return sp::to_product<sp::invariant, sp::replicate>(y + bias); } };
///
/// The output placement is deduced from the rules, so a style cannot lie about it. Hooks find the conversions (to_replicate,
/// all_reduce, ...) by argument-dependent lookup: this storey knows no tensor.
#include <shardproof/core/layout.hpp>
namespace shardproof {

/// The patterns a rule matches. A leading '?' marks a pattern that may match nothing.
struct rule {
  static constexpr int max_patterns = 16;
  const char* where[max_patterns]{};
};

/// "No bias": adding it changes nothing.
struct nothing {
  template <class> constexpr nothing as() const { return {}; }
};
/// Several placements, each of which will do.
template <class... P> struct either_of {};
/// Names a dimension as an argument.
template <class D> struct along {};

/// What a style need not say: whole parameters, any input, nothing before or after. Every hook may take the layer's `site` first;
/// `use(site, w, x)` also sees the input.
struct style_defaults : rule {
  static constexpr role shards = role::none;           ///< every parameter with a dimension of this role is cut on the first such one
  template <class D> using cut = shard<D>;             ///< how: shard, or packed for every part of a fused dimension
  template <class Site> using fed = void;              ///< the input placement on tp; void: whatever the rules allow
  template <class Site> using also = void;             ///< others that are accepted: a placement, or either_of<...>
  static constexpr bool allows_bias = true;
  static constexpr bool layers = true, routers = false, regions = false;                 ///< what it may be given to; a region is a module with a style
  template <class Kind> static constexpr bool applies = true;                            ///< what else a kind of layer must be (SP204)
  static constexpr auto before(const auto& x) { return x; }                              ///< on the input
  static constexpr auto use(const auto& w) { return w; }                                 ///< on every parameter but the bias, at each use
  static constexpr auto after(const auto& y, const auto& bias) { return y + bias; }      ///< on the layer's result
};

/// The boundary of a plan that is read at start-up: Invariant, or P where the plan that is bound says so.
template <class P> struct read_later {};

namespace detail {
template <class B> struct stream { using boundary = B; };
template <class P> struct stream<read_later<P>> {
  using boundary = P;
  static constexpr bool may_be_whole = true;
  bool cut = false;
};
}  // namespace detail
/// What a style may ask about the place where it works: its layer's kind, and how the stream between layers lies.
template <class Kind, class Settings> struct site : Kind, detail::stream<typename Settings::boundary> {};
/// Is the stream whole under the plan of this site?
template <class Site> inline constexpr bool stream_is_whole = std::is_same_v<typename Site::boundary, invariant>;
/// Is that known at start-up only? `site.cut` tells then.
template <class Site> inline constexpr bool stream_may_be_whole = requires { requires Site::may_be_whole; };

/// Closes a region: the pending sum becomes the plan's boundary placement, by all-reduce or by reduce-scatter.
template <class Site> constexpr auto to_boundary(Site site, const auto& y) {
  if constexpr (stream_is_whole<Site>) return all_reduce(y);
  else {
    if constexpr (stream_may_be_whole<Site>) if (!site.cut) return all_reduce(y);
    return reduce_scatter(y, along<typename Site::boundary::dim>{});
  }
}
/// What the stream holds, whole.
template <class Site> constexpr auto whole_stream(Site site, const auto& y) {
  if constexpr (stream_is_whole<Site>) return y;
  else {
    if constexpr (stream_may_be_whole<Site>) if (!site.cut) return y;
    return all_gather(y);
  }
}
/// The reverse: each rank keeps its part of a stream that is cut.
template <class Site> constexpr auto part_of_stream(Site site, const auto& y) {
  if constexpr (stream_is_whole<Site>) return y;
  else {
    if constexpr (stream_may_be_whole<Site>) if (!site.cut) return y;
    return to_shard(y, along<typename Site::boundary::dim>{});
  }
}

/// Several styles, in an order that run-time plans index.
template <class... S> struct style_list { static constexpr int size = int(sizeof...(S)); };
namespace detail {
template <int I, class L> struct nth_style_impl;
template <int I, class... S> struct nth_style_impl<I, style_list<S...>> : nth_type<I, S...> {};
template <class A, class B> struct joined;
template <class... A, class... B> struct joined<style_list<A...>, style_list<B...>> { using type = style_list<A..., B...>; };
}  // namespace detail
template <int I, class L> using nth_style = typename detail::nth_style_impl<I, L>::type;
template <class A, class B> using joined_styles = typename detail::joined<A, B>::type;

/// f(index, static_cast<S*>(nullptr)) for every style.
template <class... S, class F> constexpr void each_style(style_list<S...>, F f) {
  int i = 0;
  (f(i++, static_cast<S*>(nullptr)), ...);
}
/// The number of the style of that name, -1 if there is none.
template <class L> constexpr int style_number(L list, std::string_view name) {
  int found = -1;
  each_style(list, [&]<class S>(int i, S*) { if (std::string_view(S::name) == name) found = i; });
  return found;
}

}  // namespace shardproof

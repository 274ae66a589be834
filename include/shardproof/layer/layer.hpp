#pragma once
/// @file
/// A layer owns parameters and obeys the style that the plan gives its path. A model's forward never sees any of it.
///
///     template <class At> struct gated_mlp {
///       SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);            // one member: the name is written once
///       SP_LAYER(down_proj, sp::linear<ffn, hidden>);
///     };
///
/// A kind of one's own derives from layer_kind: it declares its parameters with roles and says how to call it.
#include <shardproof/layer/suits.hpp>
#include <shardproof/tensor/ops/convert.hpp>
#include <shardproof/tensor/ops/to_product.hpp>
namespace shardproof {

// Options of a kind.
struct with_bias;
struct maybe_bias;
struct bias;                                           ///< the tag of every bias
template <class D> struct maybe_dims {};               ///< the dimensions of a bias that may be absent

namespace detail {
template <class At, class Kind> struct placed_at;
}
/// What every layer kind may rely on.
template <class Kind> struct layer_kind {
  using bias = none;
  static constexpr bool is_router = false, is_region = false;      ///< which styles it takes, see style_defaults
  template <class At> using in_scope = typename detail::placed_at<At, Kind>::type;
  template <class X> static constexpr bool accepts = true;         ///< are the input's dimensions right?
  template <class X> using expected = X;                           ///< what they should be, for SP109
};

namespace detail {

// ---- hooks: with the site where the style asks for it -----------------------------------------------------------------
template <class S, class Site> constexpr auto before(Site site, const auto& x) {
  if constexpr (requires { S::before(site, x); }) return S::before(site, x);
  else return S::before(x);
}
template <class S, class Site> constexpr auto use(Site site, const auto& w, const auto& x) {
  if constexpr (requires { S::use(site, w, x); }) return S::use(site, w, x);
  else return S::use(w);
}
template <class S, class Site> constexpr auto after(Site site, const auto& y, const auto& b) {
  if constexpr (requires { S::after(site, y, b); }) return S::after(site, y, b);
  else return S::after(y, b);
}
/// Does the style take an input that lies as Is?
template <class Is, class Also> inline constexpr bool is_among = std::is_same_v<Is, Also>;
template <class Is, class... A> inline constexpr bool is_among<Is, either_of<A...>> = (std::is_same_v<Is, A> || ...);
template <class S, class Site, class Is> inline constexpr bool may_be_fed =
    std::is_void_v<typename S::template fed<Site>> || std::is_same_v<Is, typename S::template fed<Site>> || is_among<Is, typename S::template also<Site>>;
/// A kind may read its own plain members (an epsilon): call(own, x, w...); or not: call(x, w...).
template <class Kind, class Where> constexpr auto call(const auto& own, const auto& x, const auto&... w) {
  if constexpr (requires { Kind::template call<Where>(own, x, w...); }) return Kind::template call<Where>(own, x, w...);
  else return Kind::template call<Where>(x, w...);
}

// ---- the bias, which the style adds where it is due -------------------------------------------------------------------
template <class S, class Set, class D> struct bias_in { using type = parameter<bias, D, typename Set::template parameter<placed_by<S, D>>>; };
template <class S, class Set> struct bias_in<S, Set, none> { using type = none; };
template <class S, class Set, class D> struct bias_in<S, Set, maybe_dims<D>> { using type = optional_parameter<bias, D, typename Set::template parameter<placed_by<S, D>>>; };
template <class D> struct run_time_bias { using type = parameter<bias, D, any>; };
template <> struct run_time_bias<none> { using type = none; };
template <class D> struct run_time_bias<maybe_dims<D>> { using type = optional_parameter<bias, D, any>; };
template <class P, class X> constexpr auto seen(const P& p, const X& x) {
  if constexpr (std::is_same_v<P, none>) return nothing{};
  else return bare(p.seen_by(x));
}

/// f(the parameters among own's members...): plain data members (an epsilon) are not passed.
template <class Own, class F> constexpr auto with_parameters(const Own& own, F&& f) {
  return members(own, [&](const auto&... m) {
    return [&]<int... I>(std::integer_sequence<int, I...>) { return f(nth_of<I>(m...)...); }(parameter_indices<Own>{});
  });
}

/// The first dimension that a kind sums over; null if it has none.
template <class Kind> constexpr const dim_info* contracted_by() {
  if constexpr (requires { requires Kind::in::rank > 0; }) return &info<first_of<typename Kind::in>>;
  else return nullptr;
}

template <class... T> struct first_refused { using type = broken; };
template <class H, class... T> struct first_refused<H, T...> : first_refused<T...> {};
template <class V, class... T> struct first_refused<refused<V>, T...> { using type = refused<V>; };

/// The one path every layer takes under a constexpr plan: check the input, then before / use / call / after.
template <class Where, class Style, class Kind, class Set, class Own, class X, class B, class... W>
constexpr auto run(const Own& own, const X& x, const B& b, const W&... w) {
  using S = site<Kind, Set>;
  using want = typename Style::template fed<S>;
  using is = on_axis<place_in<X>>;
  if constexpr ((is_refused<W> || ...)) return typename first_refused<W...>::type{};
  else if constexpr (any_broken<X, W...>) return broken{};
  else if constexpr (may_be_fed<Style, S, is>) {
    auto y = call<Kind, Where>(own, before<Style>(S{}, x), use<Style>(S{}, w, x)...);
    if constexpr (is_refused<decltype(y)>) return y;
    else if constexpr (any_broken<decltype(y)>) return broken{};
    else return after<Style>(S{}, y, b);
  } else {
    constexpr code c = rules::fed_instead(want::value, is::value, contracted_by<Kind>());
    return refused<verdict<c, Where, style<Style>, fed<is>, needs<want>>>{};
  }
}

/// A weight of another layer, in this kind's roles: the table of an embedding as the weight of a head.
template <class Kind, class Style, class Set, class Where, class T, class X> constexpr auto adopted(const T& shared, const X& x) {
  if constexpr (!requires { typename Kind::shared; }) return bare(shared.seen_by(x));
  else {
    using want = typename Set::template parameter<placed_by<Style, typename Kind::shared>>;
    using is = typename T::placement_type;
    if constexpr (std::is_same_v<bare_of<is>, bare_of<want>>) return recast<typename Kind::shared, want>(shared.seen_by(x));
    else return refused<verdict<code::tied_apart, Where, style<Style>, fed<is>, needs<want>>>{};
  }
}

struct table_of_another_layer;                         ///< in facts: embed_tokens.weight
template <class Kind, class... Shared> inline constexpr bool lacks_table = false;
template <class Kind> requires requires { typename Kind::shared; } inline constexpr bool lacks_table<Kind> = true;

/// A layer under a constexpr plan.
template <class At, class Kind, class Style> struct placed : Kind::template parameters<owned_by<Style, settings_of<At>>> {
  using where = At;
  using layer_kind = Kind;
  using style_type = Style;
  using set = settings_of<At>;
  using own = typename Kind::template parameters<owned_by<Style, set>>;
  [[no_unique_address]] typename bias_in<Style, set, typename Kind::bias>::type bias;
  static constexpr int chosen = At::style_number();

  /// One error if a rule is broken, and then `broken`.
  template <class X, class... Shared> constexpr auto operator()(const X& x, const Shared&... shared) const {
    auto y = judged(x, shared...);
    if constexpr (is_refused<decltype(y)>) {
      static_assert(decltype(y)::why::ok);
      return broken{};
    } else return y;
  }
  /// The same without the error: `refused<verdict>`, which a probe may look at.
  template <class X, class... Shared> constexpr auto judged(const X& x, const Shared&... shared) const {
    using why = plan_verdict_of<At, Kind, Style, own>;
    if constexpr (any_broken<X, Shared...>) return broken{};
    else if constexpr (!std::is_same_v<why, sound>) return refused<why>{};
    else if constexpr (lacks_table<Kind, Shared...>) return refused<verdict<code::wrong_arguments, At, fed<X>, needs<X, table_of_another_layer>>>{};
    else if constexpr (!Kind::template accepts<X>) return refused<verdict<code::dims_differ, At, fed<dims_in<X>>, needs<typename Kind::template expected<X>>>>{};
    else {
      if constexpr (!is_ghost<X>) self.layer = At::c_path();
      const own& mine = *this;
      return with_parameters(mine, [&](const auto&... p) {
        // Qualified: looking for it by its arguments, clang would look into a refused one, and report it from there.
        return detail::run<At, Style, Kind, set>(mine, x, seen(bias, x), p.seen_by(x)..., adopted<Kind, Style, set, At>(shared, x)...);
      });
    }
  }
};

/// The number of a layer's style; of one under a run-time plan, what bind gave it.
template <class L> constexpr int style_chosen(const L& l) {
  if constexpr (requires { l.bound; }) return l.bound.chosen;
  else return L::chosen;
}

template <class At, class Kind> struct run_time_placed;
template <class At, class Kind> struct placed_at { using type = placed<At, Kind, nth_style<At::style_number(), typename plan_of<At>::styles>>; };
template <class At, class Kind> requires (!plan_of<At>::typed) struct placed_at<At, Kind> { using type = run_time_placed<At, Kind>; };

template <class At, class Tag, class Kind> struct scope_of { using type = typename Kind::template in_scope<typename At::template child<Tag>>; };
template <class At, class Tag, class Kind> requires requires { typename Kind::template in_parent<At>; } struct scope_of<At, Tag, Kind> { using type = typename Kind::template in_parent<At>; };
template <class At, class Tag, class Kind> requires requires { typename Kind::template alternatives<At, Tag>; } struct scope_of<At, Tag, Kind> { using type = typename Kind::template alternatives<At, Tag>; };
}  // namespace detail

/// Would a layer under a constexpr plan take this input? A probe for overloads and tests: never an error.
template <class Layer, class X> concept accepts = requires(const Layer& l, const X& x) { requires !is_refused<decltype(l.judged(x))>; };

/// The member that SP_LAYER declares.
template <class At, class Tag, class Kind> using layer = typename detail::scope_of<At, Tag, Kind>::type;

}  // namespace shardproof

/// Declares member `name` of a module; its scope is the class template's parameter `At`.
#define SP_LAYER(name, ...) ::shardproof::layer<At, struct name, __VA_ARGS__> name

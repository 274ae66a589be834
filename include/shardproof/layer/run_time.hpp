#pragma once
/// @file
/// A layer under a plan that is read at start-up: its style is a number, and picks among the instantiated policies.
///
///     inline constexpr sp::run_time_plan<my_style> from_json;
///     llama<sp::at<from_json>> model;  sp::bind(model, sp::parse_plan<my_style>(text));
///
/// There is no second interpreter: the styles' own hooks run on tensors whose placement is a value, through tables of functions,
/// so that a layer's operation is compiled once per kind, not once per style.
#include <shardproof/layer/layer.hpp>
namespace shardproof {

/// What a style would do to one kind of layer: how it cuts each of its parameters, and the bias.
struct style_fact {
  const char* name = nullptr;
  bool suits = false;
  bool suits_without_bias = false;                     ///< where the kind's optional bias is absent
  layout_value parameter[8]{};
  layout_value bias;
};

namespace detail {

// A style that does not suit a kind is refused when the plan is bound (SP204); its hooks need not even compile there.
template <class S, class Site> inline constexpr bool may_run = false;
template <class S, class Kind, class Set> inline constexpr bool may_run<S, site<Kind, Set>> = suits_without_bias<S, Kind>();
template <class S, class Site, class X> X before_entry(const X& x) {
  if constexpr (may_run<S, Site>) return before<S, Site>(x);
  else return x;
}
template <class S, class Site, class W, class X> W use_entry(const W& w, const X& x) {
  if constexpr (may_run<S, Site>) return use<S, Site>(w, x);
  else return w;
}
template <class S, class Site, class Y, class B> Y after_entry(const Y& y, const B& b) {
  if constexpr (may_run<S, Site>) return after<S, Site>(y, b);
  else return y;
}

/// The placements a style accepts at its input.
struct accepted { bool anything = true; placement fed, also; bool has_also = false; };
template <class S, class Site, bool Suits> constexpr accepted accepted_by() {
  if constexpr (!Suits) return {};
  else {
    using want = typename S::template fed<Site>;
    using also = typename S::template also<Site>;
    if constexpr (std::is_void_v<want>) return {};
    else if constexpr (std::is_void_v<also>) return {false, want::value, {}, false};
    else return {false, want::value, also::value, true};
  }
}
template <class S, bool Suits, class D> constexpr placement cut_by() {
  if constexpr (Suits) return placed_by<S, D>::value;
  else return {};
}
template <class Set> constexpr layout_value parameter_layout(placement on_tp) {
  layout_value v = value_of<typename Set::template parameter<invariant>>;
  v.on[0] = on_tp;
  return v;
}
template <class D> struct dims_of_bias { using type = D; };
template <class D> struct dims_of_bias<maybe_dims<D>> { using type = D; };

/// The tables of one kind of layer under one list of styles.
template <class Plan, class Kind, class Own> struct styles_for {
  using list = typename Plan::styles;
  using S_ = site<Kind, typename Plan::set>;
  template <class... P> static constexpr void fill(style_fact& f, [[maybe_unused]] auto cut_of_dims, type_list<P...>) {
    [[maybe_unused]] std::size_t i = 0;
    ([&] { if constexpr (is_parameter<P>) f.parameter[i++] = cut_of_dims(std::type_identity<typename P::dims_type>{}); }(), ...);
  }
  static constexpr auto facts = [] {
    std::array<style_fact, std::size_t(list::size)> t{};
    each_style(list{}, [&]<class S>(int n, S*) {
      constexpr bool ok = shardproof::suits_without_bias<S, Kind>();
      style_fact& f = t[std::size_t(n)];
      f.name = S::name;
      f.suits = shardproof::suits<S, Kind>();
      f.suits_without_bias = ok;
      fill(f, []<class D>(std::type_identity<D>) { return parameter_layout<typename Plan::set>(cut_by<S, ok, D>()); }, member_types<Own>{});
      if constexpr (!std::is_same_v<typename Kind::bias, none>)
        f.bias = parameter_layout<typename Plan::set>(cut_by<S, ok, typename dims_of_bias<typename Kind::bias>::type>());
    });
    return t;
  }();
  static constexpr auto inputs = []<class... S>(style_list<S...>) {
    return std::array<accepted, sizeof...(S)>{accepted_by<S, S_, shardproof::suits_without_bias<S, Kind>()>()...};
  }(list{});
  template <class X> static constexpr auto befores = []<class... S>(style_list<S...>) { return std::array<X (*)(const X&), sizeof...(S)>{&before_entry<S, S_, X>...}; }(list{});
  template <class W, class X> static constexpr auto uses = []<class... S>(style_list<S...>) { return std::array<W (*)(const W&, const X&), sizeof...(S)>{&use_entry<S, S_, W, X>...}; }(list{});
  template <class Y, class B> static constexpr auto afters = []<class... S>(style_list<S...>) { return std::array<Y (*)(const Y&, const B&), sizeof...(S)>{&after_entry<S, S_, Y, B>...}; }(list{});
};

template <class Tables, class Kind, class Own, class X, class B, class... W>
[[gnu::noinline]] auto run_chosen(int chosen, const Own& own, const X& x, const B& b, const W&... w) {
  const std::size_t i = std::size_t(chosen);
  if (const accepted& a = Tables::inputs[i]; !a.anything) {
    const placement is = x.place().on[0];
    if (!(is == a.fed) && !(a.has_also && is == a.also)) {
      const fact f[] = {{"fed", is, x.made_by}, {"needs", a.fed, ""}};
      text_line where;
      where << self.layer << ", style " << Tables::facts[i].name;
      refuse(rules::fed_instead(a.fed, is, contracted_by<Kind>()), where.view(), f, 2);
    }
  }
  auto y = call<Kind, some_layer>(own, Tables::template befores<X>[i](x), Tables::template uses<W, X>[i](w, x)...);
  if constexpr (any_broken<decltype(y)>) return broken{};
  else return Tables::template afters<decltype(y), B>[i](y, b);
}
template <class At, class Kind> struct run_time_placed : Kind::template parameters<owned_by_run_time_style> {
  using where = At;
  using layer_kind = Kind;
  using own = typename Kind::template parameters<owned_by_run_time_style>;
  using tables = styles_for<plan_of<At>, Kind, own>;
  [[no_unique_address]] typename run_time_bias<typename Kind::bias>::type bias;
  int chosen = style_number(typename plan_of<At>::styles{}, "replicated");
  const char* name = At::c_path();                     ///< with its layer numbers, once bound

  template <class X, class... Shared> auto operator()(const X& x, const Shared&... shared) const {
    if constexpr (any_broken<X, Shared...>) return broken{};
    else if constexpr (!Kind::template accepts<X>) {
      static_assert(verdict<code::dims_differ, At, fed<dims_in<X>>, needs<typename Kind::template expected<X>>>::ok);
      return broken{};
    } else {
      self.layer = name;
      const own& mine = *this;
      const auto y = as_any(x);
      return with_parameters(mine, [&](const auto&... p) {
        return run_chosen<tables, Kind>(chosen, mine, y, as_any(seen(bias, y)), p.seen_by(y)..., adopt(shared, y)...);
      });
    }
  }

 private:
  template <class T, class X> auto adopt(const T& shared, const X& x) const {
    if constexpr (!requires { typename Kind::shared; }) return as_any(bare(shared.seen_by(x)));
    else {
      // The table as this layer's style would place its own weight; the facts hold a shared kind's placement in `bias`-free slot 0.
      constexpr auto wants = []<class... S>(style_list<S...>) {
        return std::array<placement, sizeof...(S)>{cut_by<S, shardproof::suits<S, Kind>(), typename Kind::shared>()...};
      }(typename plan_of<At>::styles{});
      const placement want = wants[std::size_t(chosen)], is = shared.place().on[0];
      if (!(bare(is) == bare(want))) {
        const fact f[] = {{"fed", is, ""}, {"needs", want, ""}};
        refuse(code::tied_apart, name, f, 2);
      }
      auto y = recast<typename Kind::shared, any>(as_any(shared.seen_by(x)));
      y.place_ = interned(parameter_layout<typename plan_of<At>::set>(want));
      return y;
    }
  }
};
}  // namespace detail
}  // namespace shardproof

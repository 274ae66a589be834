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
  placement parameter[8]{};                            ///< on tp
  placement bias;
};

/// What a plan says once for the whole model, as a value.
struct settings_value {
  bool cut = false;                                    ///< is the stream between layers cut?
  layout_value activation, parameter;                  ///< on the other axes; Invariant on tp
};
/// That of settings which are a type.
template <class Set> inline constexpr settings_value settings_as_value{
    !std::is_same_v<typename Set::boundary, invariant>, value_of<typename Set::template activation<invariant>>, value_of<typename Set::template parameter<invariant>>};

/// What bind gives a layer.
struct binding {
  const settings_value* set = &settings_as_value<settings<invariant>>;
  int chosen;                                          ///< the number of its style
  const char* name;                                    ///< with its layer numbers, once bound
  template <class Plan> constexpr binding(Plan, const char* path) : chosen(style_number(typename Plan::styles{}, "replicated")), name(path) {}
  std::size_t style() const { return std::size_t(chosen); }
  bool cut() const { return set->cut; }
  const layout_value* parameter(placement on_tp) const {
    layout_value v = set->parameter;
    v.on[0] = on_tp;
    return interned(v);
  }
};

namespace detail {

// A style that does not suit a kind is refused when the plan is bound (SP204); its hooks need not even compile there.
template <class S, class Site> inline constexpr bool may_run = false;
template <class S, class Kind, class Set> inline constexpr bool may_run<S, site<Kind, Set>> = suits_without_bias<S, Kind>();
template <class Site> Site site_where(bool cut) {
  Site s;
  if constexpr (stream_may_be_whole<Site>) s.cut = cut;
  return s;
}
template <class S, class Site, class X> X before_entry(const X& x, [[maybe_unused]] bool cut) {
  if constexpr (may_run<S, Site>) return before<S>(site_where<Site>(cut), x);
  else return x;
}
template <class S, class Site, class W, class X> W use_entry(const W& w, const X& x, [[maybe_unused]] bool cut) {
  if constexpr (may_run<S, Site>) return use<S>(site_where<Site>(cut), w, x);
  else return w;
}
template <class S, class Site, class Y, class B> Y after_entry(const Y& y, const B& b, [[maybe_unused]] bool cut) {
  if constexpr (may_run<S, Site>) return after<S>(site_where<Site>(cut), y, b);
  else return y;
}

/// The placements a style accepts at its input; none: whatever the rules allow.
struct accepted {
  placement one[4]{};
  int count = 0;
  template <class P> constexpr void add(std::type_identity<P>) { one[count++] = P::value; }
  template <class... P> constexpr void add(std::type_identity<either_of<P...>>) { (add(std::type_identity<P>{}), ...); }
  constexpr void add(std::type_identity<void>) {}
  bool holds(const placement& p) const {
    for (int i = 0; i < count; ++i) if (one[i] == p) return true;
    return count == 0;
  }
};
template <class S, class Kind, class Set, bool Suits> constexpr accepted accepted_by() {
  accepted a;
  if constexpr (Suits) {
    using at = site<Kind, Set>;
    a.add(std::type_identity<typename S::template fed<at>>{});
    if (a.count) a.add(std::type_identity<typename S::template also<at>>{});
  }
  return a;
}
/// The settings under which the stream is cut.
template <class B> struct settings_of_cut { using type = settings<B>; };
template <class P> struct settings_of_cut<read_later<P>> { using type = settings<P>; };
template <class S, bool Suits, class D> constexpr placement cut_by() {
  if constexpr (Suits) return placed_by<S, D>::value;
  else return {};
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
      fill(f, []<class D>(std::type_identity<D>) { return cut_by<S, ok, D>(); }, member_types<Own>{});
      if constexpr (!std::is_same_v<typename Kind::bias, none>) f.bias = cut_by<S, ok, typename dims_of_bias<typename Kind::bias>::type>();
    });
    return t;
  }();
  /// Of a stream that is whole, and of one that is cut.
  template <class Set> static constexpr auto inputs_under = []<class... S>(style_list<S...>) {
    return std::array<accepted, sizeof...(S)>{accepted_by<S, Kind, Set, shardproof::suits_without_bias<S, Kind>()>()...};
  }(list{});
  static constexpr const auto& inputs(bool cut) { return cut ? inputs_under<typename settings_of_cut<typename Plan::set::boundary>::type> : inputs_under<settings<invariant>>; }
  template <class X> static constexpr auto befores = []<class... S>(style_list<S...>) { return std::array<X (*)(const X&, bool), sizeof...(S)>{&before_entry<S, S_, X>...}; }(list{});
  template <class W, class X> static constexpr auto uses = []<class... S>(style_list<S...>) { return std::array<W (*)(const W&, const X&, bool), sizeof...(S)>{&use_entry<S, S_, W, X>...}; }(list{});
  template <class Y, class B> static constexpr auto afters = []<class... S>(style_list<S...>) { return std::array<Y (*)(const Y&, const B&, bool), sizeof...(S)>{&after_entry<S, S_, Y, B>...}; }(list{});

  /// @error SP101, SP102, SP103 the style takes no input that lies so.
  static void require_accepted(const binding& bound, const auto& x, const dim_info* contracted) {
    const accepted& a = inputs(bound.cut())[bound.style()];
    const placement is = x.place().on[0];
    if (a.holds(is)) return;
    const fact f[] = {{"fed", is, x.made_by}, {"needs", a.one[0], ""}};
    text_line where;
    where << bound.name << ", style " << facts[bound.style()].name;
    refuse(rules::fed_instead(a.one[0], is, contracted), where.view(), f, 2);
  }
};

template <class Tables, class Kind, class Own, class X, class B, class... W>
[[gnu::noinline]] auto run_chosen(const binding& bound, const Own& own, const X& x, const B& b, const W&... w) {
  Tables::require_accepted(bound, x, contracted_by<Kind>());
  const std::size_t i = bound.style();
  const bool cut = bound.cut();
  auto y = call<Kind, some_layer>(own, Tables::template befores<X>[i](x, cut), Tables::template uses<W, X>[i](w, x, cut)...);
  if constexpr (any_broken<decltype(y)>) return broken{};
  else return Tables::template afters<decltype(y), B>[i](y, b, cut);
}
template <class At, class Kind> struct run_time_placed : Kind::template parameters<owned_by_run_time_style> {
  using where = At;
  using layer_kind = Kind;
  using own = typename Kind::template parameters<owned_by_run_time_style>;
  using tables = styles_for<plan_of<At>, Kind, own>;
  [[no_unique_address]] typename run_time_bias<typename Kind::bias>::type bias;
  binding bound{plan_of<At>{}, At::c_path()};

  template <class X, class... Shared> auto operator()(const X& x, const Shared&... shared) const {
    if constexpr (any_broken<X, Shared...>) return broken{};
    else if constexpr (lacks_table<Kind, Shared...>) {
      static_assert(verdict<code::wrong_arguments, At, fed<X>, needs<X, table_of_another_layer>>::ok);
      return broken{};
    } else if constexpr (!Kind::template accepts<X>) {
      static_assert(verdict<code::dims_differ, At, fed<dims_in<X>>, needs<typename Kind::template expected<X>>>::ok);
      return broken{};
    } else {
      self.layer = bound.name;
      const own& mine = *this;
      const auto y = as_any(x);
      return with_parameters(mine, [&](const auto&... p) {
        return run_chosen<tables, Kind>(bound, mine, y, as_any(seen(bias, y)), p.seen_by(y)..., adopt(shared, y)...);
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
      const placement want = wants[bound.style()], is = shared.place().on[0];
      if (!(bare(is) == bare(want))) {
        const fact f[] = {{"fed", is, ""}, {"needs", want, ""}};
        refuse(code::tied_apart, bound.name, f, 2);
      }
      auto y = recast<typename Kind::shared, any>(as_any(shared.seen_by(x)));
      y.place_ = bound.parameter(want);
      return y;
    }
  }
};
}  // namespace detail
}  // namespace shardproof

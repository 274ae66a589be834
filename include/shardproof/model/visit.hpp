#pragma once
/// @file
/// Walks a model: its layers as objects, its layers' paths as types, its parameters as views without types.
///
///     sp::each_layer(model, [](auto& layer, const sp::layer_numbers& n) { ... });         // present ones only, depth first
///     sp::each_path<llama<sp::at<plan>>>([](std::string_view path) { ... });              // every alternative; makes no object
#include <string_view>
#include <shardproof/layer/free_parameter.hpp>
#include <shardproof/layer/region.hpp>
#include <shardproof/layer/stack.hpp>
namespace shardproof {

/// Positions in the enclosing stacks, outermost first.
struct layer_numbers { int at[4]{}; int depth = 0; };

namespace detail {
template <class T, class F> constexpr void visit_layers(T& x, F& f, layer_numbers& n) {
  using X = std::remove_const_t<T>;
  if constexpr (is_maybe<X>) { if (x.present) visit_layers(x.some, f, n); }
  else if constexpr (is_one_of<X>) { if (x.choice) visit_layers(x.second, f, n); else visit_layers(x.first, f, n); }
  else if constexpr (is_stack<X>) {
    const int depth = n.depth++;
    n.at[depth] = 0;
    for (auto& s : x) { visit_layers(s, f, n); ++n.at[depth]; }
    n.depth = depth;
  } else if constexpr (is_submodule<X>) {
    if constexpr (requires { typename X::layer_kind; }) f(x, n);                         // a region, before what is in it
    if constexpr (std::is_const_v<T>) each_member(static_cast<const typename X::module&>(x), [&](auto& y) { visit_layers(y, f, n); });
    else each_member(static_cast<typename X::module&>(x), [&](auto& y) { visit_layers(y, f, n); });
  } else if constexpr (requires { typename X::layer_kind; }) f(x, n);
}
template <class T, class F> constexpr void visit_paths(F& f);
template <class F, class... T> constexpr void visit_paths_in(type_list<T...>, F& f) { (visit_paths<std::remove_const_t<T>>(f), ...); }
template <class T, class F> constexpr void visit_paths(F& f) {
  if constexpr (is_maybe<T>) visit_paths<decltype(T::some)>(f);
  else if constexpr (is_one_of<T>) { visit_paths<decltype(T::first)>(f); visit_paths<decltype(T::second)>(f); }
  else if constexpr (is_region<T>) {
    f(std::type_identity<T>{});
    visit_paths_in(member_types<typename T::module>{}, f);
  } else if constexpr (is_stack<T> || is_submodule<T>) visit_paths_in(member_types<typename T::module>{}, f);
  else if constexpr (requires { typename T::layer_kind; }) f(std::type_identity<T>{});
}
}  // namespace detail

/// f(layer, numbers) on every layer and free parameter that is present.
template <class M, class F> constexpr void each_layer(M& m, F f) {
  layer_numbers n;
  each_member(m, [&](auto& x) { detail::visit_layers(x, f, n); });
}
/// f(std::type_identity<Layer>) on every layer type a model may have.
template <class M, class F> constexpr void each_layer_type(F f) { detail::visit_paths_in(member_types<M>{}, f); }
/// f(path) likewise.
template <class M, class F> constexpr void each_path(F f) {
  each_layer_type<M>([&]<class L>(std::type_identity<L>) { f(L::where::path()); });
}
/// f(parameter) on the parameters of one layer: the kind's own, then the bias.
template <class L, class F> constexpr void each_parameter_of(L& l, F f) {
  if constexpr (requires { typename L::own; }) {
    using Own = std::conditional_t<std::is_const_v<L>, const typename L::own, typename L::own>;
    each_member(static_cast<Own&>(l), [&](auto& p) { if constexpr (detail::is_parameter<std::remove_cvref_t<decltype(p)>>) f(p); });
    if constexpr (!std::is_same_v<std::remove_cvref_t<decltype(l.bias)>, none>) f(l.bias);
  } else f(l);
}
/// f(parameter) on every parameter of a model that is present, without its name: usable in constant expressions.
template <class M, class F> constexpr void each_parameter(M& m, F f) {
  each_layer(m, [&](auto& l, const layer_numbers&) {
    each_parameter_of(l, [&](auto& p) {
      if constexpr (std::remove_cvref_t<decltype(p)>::optional) if (!p.present) return;
      f(p);
    });
  });
}

/// Gives every module that has `configure(config)` or `configure(config, layer)` its say, outermost first.
template <class M, class C> constexpr void configure(M& m, const C& c, int layer = -1);
namespace detail {
template <class T, class C> constexpr void configure_member(T& x, const C& c, int layer) {
  if constexpr (is_maybe<T>) configure_member(x.some, c, layer);
  else if constexpr (is_one_of<T>) { configure_member(x.first, c, layer); configure_member(x.second, c, layer); }
  else if constexpr (is_stack<T>) { int k = 0; for (auto& s : x) configure_member(s, c, k++); }
  else if constexpr (is_submodule<T>) configure(static_cast<typename T::module&>(x), c, layer);
}
}  // namespace detail
template <class M, class C> constexpr void configure(M& m, const C& c, int layer) {
  if constexpr (requires { m.configure(c, layer); }) m.configure(c, layer);
  else if constexpr (requires { m.configure(c); }) m.configure(c);
  each_member(m, [&](auto& x) { detail::configure_member(x, c, layer); });
}

/// Fixes the extents of dynamic dimensions; the table must outlive the model (`sp::interned` keeps one for ever).
template <class M> constexpr void set_extents(M& m, const extent_table* t) {
  each_parameter(m, [&](auto& p) { p.sizes = std::remove_cvref_t<decltype(p.sizes)>(t); });
}

}  // namespace shardproof

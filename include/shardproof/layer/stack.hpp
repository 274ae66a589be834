#pragma once
/// @file
/// Alike modules one behind the other, under the path segment "*". The stack owns the loop.
///
///     SP_LAYER(layers, sp::stack<decoder_layer, 2>);       // or sp::stack<decoder_layer>, then layers.resize(n)
///     auto x = layers(embed_tokens(ids), cache);           // layer i gets slot i of the cache; other arguments pass through
#include <array>
#include <shardproof/layer/alternatives.hpp>
namespace shardproof {

/// An argument that has a part for every layer of a stack.
template <class C> concept slotted = requires(C& c) { c.slot("", 0L); };

namespace detail {
template <class C> constexpr decltype(auto) slot_of(C& c, const char* stack, long i) {
  if constexpr (slotted<C>) return (c.slot(stack, i));
  else return (c);
}

/// Would a and b make the same calls at the same cost? Same choices, same styles, same plain values.
template <class T> constexpr bool alike(const T& a, const T& b) {
  if constexpr (is_submodule<T>) {
    bool ok = true;
    if constexpr (requires { typename T::layer_kind; }) ok = style_chosen(a) == style_chosen(b);
    both_members(static_cast<const typename T::module&>(a), static_cast<const typename T::module&>(b), [&](const auto& p, const auto& q) { ok = ok && alike(p, q); });
    return ok;
  } else if constexpr (is_maybe<T>) return a.present == b.present && alike(a.some, b.some);
  else if constexpr (is_one_of<T>) return a.choice == b.choice && (a.choice ? alike(a.second, b.second) : alike(a.first, b.first));
  else if constexpr (requires { typename T::layer_kind; typename T::own; }) {
    bool ok = style_chosen(a) == style_chosen(b);
    if constexpr (requires { a.bias.present; }) ok = ok && a.bias.present == b.bias.present;
    both_members(static_cast<const typename T::own&>(a), static_cast<const typename T::own&>(b), [&](const auto& p, const auto& q) { ok = ok && alike(p, q); });
    return ok;
  } else if constexpr (is_parameter<T>) return a.frozen == b.frozen && a.sizes == b.sizes;
  else if constexpr (requires { { a == b } -> std::convertible_to<bool>; }) return a == b;
  else return true;
}

template <class M, long N> struct stack_storage {
  std::array<submodule<M>, std::size_t(N)> at;
  constexpr auto begin() { return at.begin(); }
  constexpr auto end() { return at.end(); }
  constexpr auto begin() const { return at.begin(); }
  constexpr auto end() const { return at.end(); }
  constexpr long size() const { return N; }
};
template <class M> class stack_storage<M, dynamic> {
  submodule<M>* p_ = nullptr;
  long n_ = 0;

 public:
  constexpr stack_storage() = default;
  constexpr stack_storage(const stack_storage&) = delete;
  constexpr stack_storage(stack_storage&& o) noexcept : p_(std::exchange(o.p_, nullptr)), n_(std::exchange(o.n_, 0)) {}
  constexpr stack_storage& operator=(stack_storage&& o) noexcept { std::swap(p_, o.p_); std::swap(n_, o.n_); return *this; }
  constexpr ~stack_storage() { delete[] p_; }
  constexpr void resize(long n) {
    delete[] p_;
    p_ = new submodule<M>[std::size_t(n_ = n)];
  }
  constexpr auto begin() { return p_; }
  constexpr auto end() { return p_ + n_; }
  constexpr const submodule<M>* begin() const { return p_; }
  constexpr const submodule<M>* end() const { return p_ + n_; }
  constexpr long size() const { return n_; }
};

/// What a stack does with the result of its layers' forward.
template <class X, class Y> struct stacked {                                             // nothing, or an error inside: said already
  template <class Where> using verdict_at = verdict<code::ok, Where>;
  static constexpr broken call(const auto&, const auto&...) { return {}; }
};
template <class X> struct stacked<X, gives<broken>> : stacked<X, void> {};
template <class X, class Y> requires std::is_class_v<Y> struct stacked<X, gives<Y>> {
  static constexpr bool widens = !std::is_same_v<X, Y> && std::is_same_v<Y, decltype(as_any(std::declval<const X&>()))>;    // under a run-time plan
  template <class Where> using verdict_at = verdict<std::is_same_v<X, Y> || widens ? code::ok : code::stack_returns, Where, fed<X>, returns<Y>>;
  template <class S, class... More> static constexpr auto call(const S& layers, const X& x, More&... more) {
    if constexpr (widens) return layers(as_any(x), more...);
    else if constexpr (!std::is_same_v<X, Y>) return broken{};
    else return layers.all(x, more...);
  }
};
}  // namespace detail

/// N alike modules, or a run-time number of them. @error SP111 a layer returns another type than it takes.
template <class Where, class M, long N> struct stack_of : detail::stack_storage<M, N> {
  using module = M;
  using where = Where;
  /// One layer after the other; X is what a layer takes and returns.
  template <class X, class... More> constexpr X all(const X& x, More&... more) const {
    X y = x;
    long i = 0;
    if constexpr (is_ghost<X>) {                                                         // each distinct layer once
      struct visited { const submodule<M>* at; bool tracked; ledger before, after; };
      std::array<visited, 8> seen{};
      std::size_t n = 0;
      for (const auto& l : *this) {
        std::size_t k = 0;
        const bool tracked = y.tracked();                                                // behind frozen layers no gradient is wanted
        while (k < n && !(seen[k].tracked == tracked && detail::alike(*seen[k].at, l))) ++k;
        if (k < n && y.at) y.at->book.again(seen[k].after, seen[k].before);
        else {
          const ledger before = y.at ? y.at->book : ledger{};
          y = l.forward(y, detail::slot_of(more, Where::c_path(), i)...);
          if (n < seen.size()) seen[n++] = {&l, tracked, before, y.at ? y.at->book : ledger{}};
        }
        ++i;
      }
    } else {
      for (const auto& l : *this) y = l.forward(y, detail::slot_of(more, Where::c_path(), i++)...);
    }
    return y;
  }
  /// Calls the layers' forward without their operator(): one line less in every error of theirs.
  template <class X, class... More> constexpr auto operator()(const X& x, More&&... more) const {
    if constexpr (any_broken<X>) return broken{};
    else if constexpr (!detail::forward_takes<M, X, std::remove_reference_t<decltype(detail::slot_of(more, "", 0))>...>()) {
      static_assert(verdict<code::no_result, M>::ok);
      return broken{};
    } else {
      using Y = decltype((std::declval<const M&>().forward(x, detail::slot_of(more, "", 0)...), detail::gives_nothing{}));
      static_assert(verdict<detail::gives_no_tensor<Y> ? code::no_result : code::ok, M>::ok);
      static_assert(detail::stacked<X, Y>::template verdict_at<Where>::ok);
      return detail::stacked<X, Y>::call(*this, x, more...);
    }
  }
};
template <template <class> class M, long N = dynamic> struct stack {
  template <class At> using in_scope = stack_of<At, M<typename At::template child<each>>, N>;
};
template <class T> inline constexpr bool is_stack = false;
template <class W, class M, long N> inline constexpr bool is_stack<stack_of<W, M, N>> = true;

}  // namespace shardproof

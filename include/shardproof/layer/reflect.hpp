#pragma once
/// @file
/// The members of an aggregate, in order of declaration.
///
///     sp::each_member(module, [](auto& m) { ... });
///     using types = sp::member_types<module_type>;         // sp::type_list<...>, without an object
#include <type_traits>
#include <utility>
#include <shardproof/core/verdict.hpp>
namespace shardproof {

template <class... T> struct type_list {};
inline constexpr int max_members = 20;

namespace detail {
struct anything { template <class T> constexpr operator T() const; };
template <class M, int... I> concept takes = requires { M{(void(I), anything{})...}; };
template <class M, class S> inline constexpr bool takes_all = false;
template <class M, int... I> inline constexpr bool takes_all<M, std::integer_sequence<int, I...>> = takes<M, I...>;
template <class M, int N = 0> constexpr int count_fields() {
  if constexpr (takes_all<M, std::make_integer_sequence<int, N + 1>>) return count_fields<M, N + 1>();
  else return N;
}
template <class M> inline constexpr int field_count = count_fields<M>();
}  // namespace detail

/// f(every member...).
template <class M, class F> constexpr decltype(auto) members(M& m, F&& f) {
  using module = std::remove_const_t<M>;
  static_assert(std::is_aggregate_v<module>, "shardproof: a module is an aggregate, so that its members can be listed. Fix: take away its constructors, its private members and its virtual functions; set members up in configure().");
  constexpr int n = std::is_aggregate_v<module> ? detail::field_count<module> : 0;
  static_assert(n <= max_members, "shardproof: a module has at most 20 members; group some into a submodule");
  // clang-format off
  if constexpr (n == 0) return f();
  else if constexpr (n == 1) { auto& [a] = m; return f(a); }
  else if constexpr (n == 2) { auto& [a, b] = m; return f(a, b); }
  else if constexpr (n == 3) { auto& [a, b, c] = m; return f(a, b, c); }
  else if constexpr (n == 4) { auto& [a, b, c, d] = m; return f(a, b, c, d); }
  else if constexpr (n == 5) { auto& [a, b, c, d, e] = m; return f(a, b, c, d, e); }
  else if constexpr (n == 6) { auto& [a, b, c, d, e, g] = m; return f(a, b, c, d, e, g); }
  else if constexpr (n == 7) { auto& [a, b, c, d, e, g, h] = m; return f(a, b, c, d, e, g, h); }
  else if constexpr (n == 8) { auto& [a, b, c, d, e, g, h, i] = m; return f(a, b, c, d, e, g, h, i); }
  else if constexpr (n == 9) { auto& [a, b, c, d, e, g, h, i, j] = m; return f(a, b, c, d, e, g, h, i, j); }
  else if constexpr (n == 10) { auto& [a, b, c, d, e, g, h, i, j, k] = m; return f(a, b, c, d, e, g, h, i, j, k); }
  else if constexpr (n == 11) { auto& [a, b, c, d, e, g, h, i, j, k, l] = m; return f(a, b, c, d, e, g, h, i, j, k, l); }
  else if constexpr (n == 12) { auto& [a, b, c, d, e, g, h, i, j, k, l, o] = m; return f(a, b, c, d, e, g, h, i, j, k, l, o); }
  else if constexpr (n == 13) { auto& [a, b, c, d, e, g, h, i, j, k, l, o, p] = m; return f(a, b, c, d, e, g, h, i, j, k, l, o, p); }
  else if constexpr (n == 14) { auto& [a, b, c, d, e, g, h, i, j, k, l, o, p, q] = m; return f(a, b, c, d, e, g, h, i, j, k, l, o, p, q); }
  else if constexpr (n == 15) { auto& [a, b, c, d, e, g, h, i, j, k, l, o, p, q, r] = m; return f(a, b, c, d, e, g, h, i, j, k, l, o, p, q, r); }
  else if constexpr (n == 16) { auto& [a, b, c, d, e, g, h, i, j, k, l, o, p, q, r, s] = m; return f(a, b, c, d, e, g, h, i, j, k, l, o, p, q, r, s); }
  else if constexpr (n == 17) { auto& [a, b, c, d, e, g, h, i, j, k, l, o, p, q, r, s, t] = m; return f(a, b, c, d, e, g, h, i, j, k, l, o, p, q, r, s, t); }
  else if constexpr (n == 18) { auto& [a, b, c, d, e, g, h, i, j, k, l, o, p, q, r, s, t, u] = m; return f(a, b, c, d, e, g, h, i, j, k, l, o, p, q, r, s, t, u); }
  else if constexpr (n == 19) { auto& [a, b, c, d, e, g, h, i, j, k, l, o, p, q, r, s, t, u, v] = m; return f(a, b, c, d, e, g, h, i, j, k, l, o, p, q, r, s, t, u, v); }
  else if constexpr (n == 20) { auto& [a, b, c, d, e, g, h, i, j, k, l, o, p, q, r, s, t, u, v, w] = m; return f(a, b, c, d, e, g, h, i, j, k, l, o, p, q, r, s, t, u, v, w); }
  // clang-format on
}
template <class M, class F> constexpr void each_member(M& m, F&& f) {
  members(m, [&](auto&... x) { (f(x), ...); });
}
/// f(a's member, b's member) for each.
template <class M, class F> constexpr void both_members(const M& a, const M& b, F&& f) {
  members(a, [&](auto&... x) { members(b, [&](auto&... y) { (f(x, y), ...); }); });
}

namespace detail {
template <class M> auto types_of(M& m) { return members(m, [](auto&... x) { return type_list<std::remove_reference_t<decltype(x)>...>{}; }); }
}  // namespace detail
template <class M> using member_types = decltype(detail::types_of(std::declval<M&>()));

}  // namespace shardproof

#pragma once
/// @file
/// The typed shell: dimensions and placement are the tensor's type; values live in an erased node, or nowhere (a ghost).
///
///     sp::tensor<sp::data, sp::dims<batch, seq, hidden>> x;                        // (batch, seq, hidden), Invariant
///     sp::tensor<sp::data, sp::dims<batch, seq, ffn>, sp::shard<ffn>> h;           // 4 ranks: (batch, seq, ffn / 4) each
///     sp::tensor<sp::ghost, sp::dims<batch, seq, hidden>, sp::any> g;              // shape and cost only, placement a value
#include <shardproof/core/partition.hpp>
#include <shardproof/core/rules.hpp>
#include <shardproof/plan/style.hpp>
#include <shardproof/runtime/node.hpp>
namespace shardproof {

struct data;                                           ///< element kind: a node of the tape holds the values
struct ghost;                                          ///< element kind: no values; usable in constant expressions

/// Where ghosts live: the ranks they imagine and the book they charge.
struct imagined {
  spot where{};                                        ///< rank 0 of each axis: by the ceil rule it holds the largest part
  ledger book{};
  bool tape = true;
  double element_bytes = 4;
  int serial = 0;
  struct known_view { int id = 0; const void* source = nullptr; const void* target = nullptr; };
  std::array<known_view, 32> views{};                  ///< values that already have their shared conversion
  int next_view = 0;
  constexpr bool first_view(int id, const void* source, const void* target) {
    for (const auto& v : views) if (v.target == target && (source ? v.source == source : v.id == id)) return false;
    views[std::size_t(next_view++ % 32)] = {id, source, target};
    return true;
  }
};

/// Layouts known at run time are few: a tensor points to its one instead of carrying it through every call. Never freed.
[[gnu::noinline]] inline const layout_value* interned(const layout_value& v) {
  struct link { layout_value value; link* next; };
  static constinit link* head = nullptr;
  link* seen = __atomic_load_n(&head, __ATOMIC_ACQUIRE);
  for (link* l = seen; l; l = l->next) if (l->value == v) return &l->value;
  link* made = new link{v, seen};
  while (!__atomic_compare_exchange_n(&head, &made->next, made, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) {}
  return &made->value;
}
/// A layout held as a type (no storage) or as a value.
template <class L> struct holds_layout {
  constexpr holds_layout() = default;
  constexpr holds_layout(const layout_value&) {}
  static constexpr const layout_value& place() { return value_of<L>; }
};
template <> struct holds_layout<any> {
  const layout_value* place_ = &invariant_everywhere;
  constexpr holds_layout() = default;
  holds_layout(const layout_value& v) : place_(interned(v)) {}
  constexpr const layout_value& place() const { return *place_; }
};

namespace operations { struct item; }
namespace detail {
constexpr bool pending_sum(const layout_value& p) {
  for (const placement& on : p.on) if (on.k == kind::partial) return true;
  return false;
}
}  // namespace detail
/// A tensor with values. `made_by` is the path of the layer that made it, for run-time messages.
template <class E, class D, class L = invariant> struct tensor : holds_layout<L> {
  using element = E;
  using dims_type = D;
  using placement_type = L;
  sizes_of<D> sizes;                                   ///< global extents
  ref at;
  const char* made_by = "input";
  constexpr tensor() = default;
  constexpr tensor(const sizes_of<D>& s, ref n, const layout_value& p = invariant_everywhere, const char* by = "input")
      : holds_layout<L>(p), sizes(s), at(std::move(n)), made_by(by) {}
  /// The same tensor with its layout under another type; the caller has compared them.
  template <class M> constexpr tensor<E, D, M> as() const { return {sizes, at, this->place(), made_by}; }
  bool tracked() const { return at && at->tracked; }
  /// A scalar's value. @error SP103 it is pending: one rank's part of a sum (a loss on dp), see sp::reduced.
  double item() const {
    static_assert(D::rank == 0, "shardproof: item() reads a scalar; sp::values(x) reads a tensor");
    if constexpr (!is_any<L>) static_assert(verdict<detail::pending_sum(value_of<L>) ? code::nonlinear_partial : code::ok, operations::item, fed<L>>::ok);
    else if (detail::pending_sum(this->place())) throw error(code::nonlinear_partial, "item() of one rank's part of a sum");
    return device().read(at->v(), 0);
  }
};
template <class D, class L> struct tensor<ghost, D, L> : holds_layout<L> {
  using element = ghost;
  using dims_type = D;
  using placement_type = L;
  sizes_of<D> sizes;
  imagined* at = nullptr;
  const char* made_by = "input";
  int id = 0;
  bool wants_gradient = false;
  const void* source = nullptr;                        ///< the parameter that this is, if it is one
  constexpr tensor() = default;
  constexpr tensor(const sizes_of<D>& s, imagined* world, const layout_value& p = invariant_everywhere, const char* by = "input", bool tracked = false, int number = 0,
                   const void* parameter = nullptr)
      : holds_layout<L>(p), sizes(s), at(world), made_by(by), id(number ? number : world ? ++world->serial : 0), wants_gradient(tracked), source(parameter) {}
  template <class M> constexpr tensor<ghost, D, M> as() const { return {sizes, at, this->place(), made_by, wants_gradient, id, source}; }
  constexpr bool tracked() const { return wants_gradient; }
};

/// What a broken rule yields once it is reported: every operation on it is silent and yields it again.
struct broken {
  using element = ghost;
  using dims_type = dims<>;
  using placement_type = invariant;
  sizes_of<dims<>> sizes;
  imagined* at = nullptr;
  const char* made_by = "";
  int id = 0;
  template <class> constexpr broken as() const { return {}; }
  static constexpr const layout_value& place() { return invariant_everywhere; }
  constexpr broken seen_by(const auto&) const { return {}; }
  constexpr bool tracked() const { return false; }
  constexpr double item() const { return 0; }
};
/// A rule broken inside a layer and not reported yet: the layer reports it, one line from the author's own, and yields `broken`.
/// Whoever else meets it reports it on the spot, since asking whether it is broken instantiates the verdict.
template <class Verdict> struct refused : broken { using why = Verdict; };
template <class X> inline constexpr bool is_refused = false;
template <class V> inline constexpr bool is_refused<refused<V>> = true;
namespace detail {
template <class X> inline constexpr bool is_broken = false;
template <> inline constexpr bool is_broken<broken> = true;
template <class V> inline constexpr bool is_broken<refused<V>> = V::ok;
}  // namespace detail
template <class... X> inline constexpr bool any_broken = (detail::is_broken<std::remove_cvref_t<X>> || ...);

template <class X> concept tensor_like = requires { typename std::remove_cvref_t<X>::placement_type; typename std::remove_cvref_t<X>::dims_type; };
template <class X> using place_in = typename std::remove_cvref_t<X>::placement_type;
template <class X> using dims_in = typename std::remove_cvref_t<X>::dims_type;
template <class X> using element_in = typename std::remove_cvref_t<X>::element;
template <class X> inline constexpr bool is_ghost = std::is_same_v<element_in<X>, ghost>;

template <tensor_like X> constexpr auto operator+(const X& x, nothing) { return x; }

namespace detail {
/// With its layout as a value, for a run-time plan.
template <class X> constexpr auto as_any(const X& x) {
  if constexpr (std::is_same_v<X, nothing> || std::is_same_v<X, broken>) return x;
  else return x.template as<any>();
}
}  // namespace detail

/// A bias that may be absent (maybe_bias): adding it does not change the type.
template <class X> struct optional_tensor {
  X x;
  bool present;
  template <class M> constexpr auto as() const { auto y = x.template as<M>(); return optional_tensor<decltype(y)>{y, present}; }
};

namespace detail {
template <class D> inline constexpr bool has_ragged = false;
template <class... D> inline constexpr bool has_ragged<dims<D...>> = (info<D>.ragged || ...);
}  // namespace detail
/// This rank's shape of a whole tensor; of a ragged dimension it is a guess, which the operands correct.
[[gnu::noinline]] inline shape local_shape(const extents& s, const layout_value& p) {
  shape out;
  for (int i = 0; i < s.rank; ++i) out.push(local_extent(s.d[i], s.n[i], p, self.where, s.table));
  return out;
}
namespace detail {
/// How many of a ragged dimension there are here, x knows.
template <class X> void correct_ragged(shape& local, const extents& of, const X& x) {
  if constexpr (has_ragged<dims_in<X>>) {
    if (!x.at) return;
    for (int i = 0; i < of.rank; ++i)
      for (int k = 0; k < x.sizes.rank; ++k)
        if (of.d[i]->ragged && base_of(of.d[i]) == base_of(x.sizes.infos[std::size_t(k)])) local = local.with(i, x.at->s.n[k]);
  }
}
}  // namespace detail

}  // namespace shardproof

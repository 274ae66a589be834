#pragma once
/// @file
/// The laws of a primitive, primitives of one's own, and composition.
///
///     struct my_sum : sp::primitive::declare<my_sum, sp::partial, sp::replicate, my_sum> {};      // its own adjoint
///     static_assert(sp::primitive::obeys_laws<my_sum>);
///     using whole = sp::primitive::then<sp::primitive::reduce_scatter<sp::partial, sp::shard<ffn>>,
///                                       sp::primitive::all_gather<sp::shard<ffn>, sp::invariant>>;
///
/// A primitive is any type with members src, dst and adjoint; `then` and adjoint_of also read its id and keeps_value.
#include <shardproof/core/primitive_table.hpp>
namespace shardproof::primitive {

template <class Op> concept primitive_like = requires { typename Op::src; typename Op::dst; typename Op::adjoint; };

namespace detail {
template <class A> concept placed = requires { typename A::src; typename A::dst; };
template <class A, class Src, class Dst> constexpr bool maps() {
  if constexpr (placed<A>) return std::is_same_v<typename A::src, Src> && std::is_same_v<typename A::dst, Dst>;
  else return false;
}
template <class A, class Op> constexpr bool names() {
  if constexpr (requires { typename A::adjoint; }) return std::is_same_v<typename A::adjoint, Op>;
  else return false;
}
/// Of Op: Src -> Dst with that adjoint. An operation that is its own adjoint is still incomplete where this is asked.
template <class Op, class Src, class Dst, class Adjoint> constexpr code adjoint_broken() {
  if constexpr (std::is_same_v<Op, Adjoint>) return std::is_same_v<dual_of<Dst>, Src> ? code::ok : code::ill_typed_adjoint;
  else if constexpr (!maps<Adjoint, dual_of<Dst>, dual_of<Src>>()) return code::ill_typed_adjoint;
  else return names<Adjoint, Op>() ? code::ok : code::adjoint_not_mutual;
}
template <class P> inline constexpr bool involutive = std::is_same_v<dual_of<dual_of<P>>, P>;
template <class Op> constexpr bool obeys() {
  if constexpr (!primitive_like<Op>) return false;
  else return involutive<typename Op::src> && involutive<typename Op::dst> &&
              adjoint_broken<Op, typename Op::src, typename Op::dst, typename Op::adjoint>() == code::ok;
}
template <class A> struct found { using type = fed<A>; };
template <placed A> struct found<A> { using type = fed<typename A::src, typename A::dst>; };
template <class Op, class Src, class Dst, class Adjoint> using adjoint_verdict =
    verdict<adjoint_broken<Op, Src, Dst, Adjoint>(), Op, typename found<Adjoint>::type, needs<dual_of<Dst>, dual_of<Src>>>;
}  // namespace detail

/// L1: dual is an involution. L2: the adjoint maps dual<dst> to dual<src>. L3: the adjoint of the adjoint is Op. For a composite
/// the same is L4. A probe: false, and no error, for an Op that breaks one.
template <class Op>
inline constexpr bool obeys_laws = sizeof(Op) > 0 && detail::obeys<Op>();  // sizeof: a refusal is reported here

/// The same as a diagnostic: static_assert(lawful<Op>::ok). @error SP310 L2 is broken; SP311 L3 is broken.
template <class Op> using lawful = detail::adjoint_verdict<Op, typename Op::src, typename Op::dst, typename Op::adjoint>;

/// The adjoint of an operation that gives it no name of its own.
template <class Op> struct adjoint_of {
  using src = dual_of<typename Op::dst>;
  using dst = dual_of<typename Op::src>;
  using adjoint = Op;
  static constexpr int id = Op::id < 0 ? -1 : table[Op::id < 0 ? 0 : Op::id].adjoint;
  static constexpr bool keeps_value = Op::keeps_value;
};

namespace detail {
// Asked once per Op, at its definition, so that the answer "still incomplete" never contradicts a later one.
template <class Op, class Adjoint> inline constexpr bool known_at_definition =
    std::is_same_v<Op, Adjoint> || requires { sizeof(Adjoint); };
template <class Op> inline constexpr bool known_at_definition<Op, adjoint_of<Op>> = false;       // lawful by construction
template <class Op, class Src, class Dst, class Adjoint, bool = known_at_definition<Op, Adjoint>> struct definition {
  using type = verdict<code::ok, Op>;
};
template <class Op, class Src, class Dst, class Adjoint> struct definition<Op, Src, Dst, Adjoint, true> {
  using type = adjoint_verdict<Op, Src, Dst, Adjoint>;
};
template <class Op, class Src, class Dst, class Adjoint> using checked_where_defined =
    typename definition<Op, Src, Dst, Adjoint>::type;
}  // namespace detail

/// Base of a primitive of one's own: Op maps Src to Dst. It is checked where it is defined if Adjoint is complete there, else
/// where the adjoint is defined, in `then` and in `lawful`. Op may define keeps_value anew.
/// @error SP310 Adjoint does not map dual<Dst> to dual<Src>; SP311 Adjoint does not name Op as its adjoint.
template <class Op, class Src, class Dst, class Adjoint> struct declare {
  using src = Src;
  using dst = Dst;
  using adjoint = Adjoint;
  static constexpr int id = -1;                        ///< not in the table
  static constexpr bool keeps_value = false;
  static_assert(detail::checked_where_defined<Op, Src, Dst, Adjoint>::ok);
};

// Facts of SP303.
template <class Op, class Yields> struct first;
template <class Op, class Takes> struct second;

template <class A, class B> concept composable = std::is_same_v<typename A::dst, typename B::src>;

/// B after A; composites compose again. Its adjoint is then<B::adjoint, A::adjoint>.
/// @error SP303 A::dst is not B::src.
template <class A, class B> struct then {
  using src = typename A::src;
  using dst = typename B::dst;
  using adjoint = std::conditional_t<composable<A, B>, then<typename B::adjoint, typename A::adjoint>, adjoint_of<then>>;
  static constexpr int id = -1;
  static constexpr bool keeps_value = A::keeps_value && B::keeps_value;
  static_assert(lawful<A>::ok && lawful<B>::ok);
  static constexpr code broken = composable<A, B> ? code::ok : code::steps_do_not_compose;
  static_assert(verdict<broken, then, first<A, typename A::dst>, second<B, typename B::src>>::ok);
};

}  // namespace shardproof::primitive

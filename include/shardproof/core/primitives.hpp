#pragma once
/// @file
/// The communication primitives as types, derived from the table: what is in the table exists, and nothing else.
///
///     using f = sp::primitive::convert<sp::invariant, sp::replicate>;             // Megatron's f: identity, all-reduce backward
///     using g = sp::primitive::all_reduce<sp::partial, sp::invariant>;            // Megatron's g
///     static_assert(std::is_same_v<f::adjoint, g> && f::keeps_value && f::id == sp::primitive::convert_i_r);
///
/// Members: src, dst, adjoint, id (row of the table), keeps_value. shard<D> and packed<D> may both stand for the table's shard.
/// @error SP108 all_reduce or reduce_scatter of what is no pending sum; SP102 an Invariant value used as a rank-dependent one;
/// SP101 no such conversion.
#include <shardproof/core/primitive_laws.hpp>
namespace shardproof::primitive {

struct some_dimension;                                 ///< in facts: any dimension
template <class... Dst> struct yields;                 ///< in facts: what this form can produce

namespace detail {
template <form F, class Src, class Dst> struct spelled;              // the class that spells a row
template <int Id, class Op, class Src, class Dst> struct adjoint_in    // src and dst are dual<Dst> and dual<Src>
    : spelled<table[table[Id].adjoint].how, dual_of<Dst>, dual_of<Src>> {};
/// One that is refused already gets a lawful adjoint: no second report.
constexpr bool adjoint_has_no_name(int id) { return id < 0 || table[table[id].adjoint].how == form::adjoint_only; }
template <int Id, class Op, class Src, class Dst> requires (adjoint_has_no_name(Id)) struct adjoint_in<Id, Op, Src, Dst> {
  using type = adjoint_of<Op>;
};

// What would have been accepted, for the refusal.
constexpr bool gives(form f, kind src, kind dst) {
  for (const auto& r : table) if (r.how == f && r.src == src && r.dst == dst) return true;
  return false;
}
constexpr bool gives_any(form f, kind dst) {
  for (const auto& r : table) if (r.how == f && r.dst == dst) return true;
  return false;
}
constexpr kind in_table(placement p) { return p.k == kind::packed ? kind::shard : p.k; }
template <class List, class... More> struct appended;
template <template <class...> class L, class... A, class... B> struct appended<L<A...>, B...> { using type = L<A..., B...>; };
template <class List, class P, bool Wanted> using append_if =
    typename std::conditional_t<Wanted, appended<List, P>, appended<List>>::type;
template <class List, bool I, bool R, bool V, bool P, bool S> using list_of =
    append_if<append_if<append_if<append_if<append_if<List, invariant, I>, replicate, R>, varying, V>, partial, P>,
              shard<some_dimension>, S>;
template <form F, kind Dst> using sources =
    list_of<needs<>, gives(F, kind::invariant, Dst), gives(F, kind::replicate, Dst), gives(F, kind::varying, Dst),
            gives(F, kind::partial, Dst), gives(F, kind::shard, Dst)>;
template <form F> using results = list_of<yields<>, gives_any(F, kind::invariant), gives_any(F, kind::replicate),
                                          gives_any(F, kind::varying), gives_any(F, kind::partial), gives_any(F, kind::shard)>;
template <form F, code C, class Dst> struct wanted {
  using type = std::conditional_t<gives_any(F, in_table(Dst::value)), sources<F, in_table(Dst::value)>, results<F>>;
};
template <form F, class Dst> struct wanted<F, code::ok, Dst> { using type = needs<>; };
template <form F, class Dst> struct wanted<F, code::reduced_twice, Dst> { using type = needs<partial>; };
template <form F, class Dst> struct wanted<F, code::needs_f, Dst> { using type = needs<replicate>; };
template <form F, class Op, class Src, class Dst> struct of_table {
  using src = Src;
  using dst = Dst;
  static constexpr int id = find(F, Src::value, Dst::value);
  static constexpr bool keeps_value = id >= 0 && table[id < 0 ? 0 : id].keeps_value;
  using adjoint = typename adjoint_in<id, Op, Src, Dst>::type;
  static_assert(verdict<refusal(F, Src::value, Dst::value), Op, fed<Src>,
                        typename wanted<F, refusal(F, Src::value, Dst::value), Dst>::type>::ok);
};
}  // namespace detail

template <class Src, class Dst> struct convert : detail::of_table<form::convert, convert<Src, Dst>, Src, Dst> {};
template <class Src, class Dst> struct all_reduce : detail::of_table<form::all_reduce, all_reduce<Src, Dst>, Src, Dst> {};
template <class Src, class Dst> struct all_gather : detail::of_table<form::all_gather, all_gather<Src, Dst>, Src, Dst> {};
template <class Src, class Dst> struct reduce_scatter
    : detail::of_table<form::reduce_scatter, reduce_scatter<Src, Dst>, Src, Dst> {};
template <class Src, class Dst> struct all_to_all : detail::of_table<form::all_to_all, all_to_all<Src, Dst>, Src, Dst> {};
/// From the root: of a Varying value, or of an Invariant one whose replicas shall be made bit-equal again.
template <class Src, class Dst> struct broadcast : detail::of_table<form::broadcast, broadcast<Src, Dst>, Src, Dst> {};
/// Makes replicas equal again by averaging them.
template <class Src, class Dst> struct mean : detail::of_table<form::mean, mean<Src, Dst>, Src, Dst> {};
template <class Src, class Dst> struct scatter_root : detail::of_table<form::scatter_root, scatter_root<Src, Dst>, Src, Dst> {};
namespace unsafe {
/// The buffers stay, the meaning changes; the gradient is right, the value is the caller's affair.
template <class Src, class Dst> struct reinterpret : detail::of_table<form::reinterpret, reinterpret<Src, Dst>, Src, Dst> {};
}  // namespace unsafe

namespace detail {
template <class S, class D> struct spelled<form::convert, S, D> { using type = convert<S, D>; };
template <class S, class D> struct spelled<form::all_reduce, S, D> { using type = all_reduce<S, D>; };
template <class S, class D> struct spelled<form::all_gather, S, D> { using type = all_gather<S, D>; };
template <class S, class D> struct spelled<form::reduce_scatter, S, D> { using type = reduce_scatter<S, D>; };
template <class S, class D> struct spelled<form::all_to_all, S, D> { using type = all_to_all<S, D>; };
template <class S, class D> struct spelled<form::reinterpret, S, D> { using type = unsafe::reinterpret<S, D>; };
}  // namespace detail

}  // namespace shardproof::primitive

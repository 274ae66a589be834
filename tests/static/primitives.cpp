// The laws of every primitive, at compile time: L1 to L4 and L6 on the table's rows and on the types, L5 by simulating all ranks.
#include <shardproof/core/partition.hpp>
#include <shardproof/core/primitives.hpp>
namespace pr = shardproof::primitive;
using namespace shardproof;
using pr::physical;

namespace {

struct rows_a : dim<> {};
struct rows_b : dim<> {};
using a_and_b = fused<rows_a, rows_b>;
using I = invariant;
using R = replicate;
using V = varying;
using P = partial;
using S = shard<rows_a>;
using T = shard<rows_b>;
using F = packed<a_and_b>;

// ---- L1 -------------------------------------------------------------------------------------------------------------------
template <class... X> constexpr bool involutive = (std::is_same_v<dual_of<dual_of<X>>, X> && ...) &&
                                                  ((dual(dual(X::value)) == X::value) && ...);
static_assert(involutive<I, R, V, P, S, T, F>);
template <class... X> constexpr bool type_and_value_agree = ((dual_of<X>::value == dual(X::value)) && ...);
static_assert(type_and_value_agree<I, R, V, P, S, T, F>);
static_assert(std::is_same_v<dual_of<R>, P> && std::is_same_v<dual_of<P>, R>);
static_assert(std::is_same_v<dual_of<I>, I> && std::is_same_v<dual_of<V>, V> && std::is_same_v<dual_of<S>, S> &&
              std::is_same_v<dual_of<F>, F>);
static_assert(!std::is_same_v<dual_of<R>, R>);

// ---- the table ------------------------------------------------------------------------------------------------------------
constexpr kind dual_kind(kind k) { return dual(placement(k)).k; }
template <class Rows> constexpr int rows_breaking_l2(const Rows& t) {
  int broken = 0;
  for (const auto& r : t) broken += t[r.adjoint].src != dual_kind(r.dst) || t[r.adjoint].dst != dual_kind(r.src);
  return broken;
}
template <class Rows> constexpr int rows_breaking_l3(const Rows& t) {
  int broken = 0;
  for (int i = 0; i < pr::row_count; ++i) broken += t[t[i].adjoint].adjoint != i;
  return broken;
}
static_assert(pr::row_count == 26 && rows_breaking_l2(pr::table) == 0 && rows_breaking_l3(pr::table) == 0);

struct copied_table {
  pr::row r[pr::row_count];
  constexpr copied_table() : r{} { for (int i = 0; i < pr::row_count; ++i) r[i] = pr::table[i]; }
};
constexpr int broken_after(int row, int adjoint, bool mutual) {
  copied_table t;
  t.r[row].adjoint = adjoint;
  return mutual ? rows_breaking_l3(t.r) : rows_breaking_l2(t.r);
}
static_assert(broken_after(pr::all_gather_s_r, pr::convert_i_s, false) == 1);           // mutant 4: the split as adjoint
static_assert(broken_after(pr::mean_i_i, pr::adjoint_of_broadcast_i_i, false) == 0);    // well typed,
static_assert(broken_after(pr::mean_i_i, pr::adjoint_of_broadcast_i_i, true) == 2);     // but not mutual

constexpr bool every_number_occurs() {
  for (int n = 1; n <= 18; ++n) {
    bool found = false;
    for (const auto& r : pr::table) found = found || r.number == n;
    if (!found) return false;
  }
  return true;
}
static_assert(every_number_occurs());
constexpr bool value_is_kept_by_both_or_neither() {
  for (const auto& r : pr::table) if (r.keeps_value != pr::table[r.adjoint].keeps_value) return false;
  return true;
}
static_assert(value_is_kept_by_both_or_neither());

using com = pr::communication;
constexpr bool talks(int id, com forward, com backward) {
  return pr::communication_of(pr::forward(id)) == forward && pr::communication_of(pr::backward(id)) == backward;
}
static_assert(talks(pr::convert_i_r, com::none, com::all_reduce));
static_assert(talks(pr::all_reduce_p_i, com::all_reduce, com::none));
static_assert(talks(pr::all_reduce_p_r, com::all_reduce, com::all_reduce));
static_assert(talks(pr::all_gather_s_i, com::all_gather, com::none));
static_assert(talks(pr::convert_i_s, com::none, com::all_gather));
static_assert(talks(pr::all_gather_s_r, com::all_gather, com::reduce_scatter));
static_assert(talks(pr::reduce_scatter_p_s, com::reduce_scatter, com::all_gather));
static_assert(talks(pr::convert_r_s, com::none, com::none));
static_assert(talks(pr::convert_s_p, com::none, com::none));
static_assert(talks(pr::convert_r_p, com::none, com::none));
static_assert(talks(pr::convert_i_p, com::none, com::none));
static_assert(talks(pr::convert_r_i, com::none, com::none));
static_assert(talks(pr::all_to_all_s_s, com::all_to_all, com::all_to_all));
static_assert(talks(pr::reinterpret_v_p, com::none, com::none));
static_assert(talks(pr::reinterpret_r_v, com::none, com::none));
static_assert(talks(pr::reinterpret_r_p, com::none, com::none));
static_assert(talks(pr::broadcast_v_r, com::broadcast, com::reduce));
static_assert(talks(pr::reduce_root_p_v, com::reduce, com::broadcast));
static_assert(talks(pr::broadcast_i_i, com::broadcast, com::none));
static_assert(talks(pr::mean_i_i, com::all_reduce, com::none));
static_assert(talks(pr::scatter_root_i_s, com::scatter, com::all_gather));
static_assert(talks(pr::scatter_root_r_s, com::scatter, com::gather));

// ---- the types ------------------------------------------------------------------------------------------------------------
template <class Op, class Src, class Dst, class Adjoint, int Id> constexpr bool is =
    std::is_same_v<typename Op::src, Src> && std::is_same_v<typename Op::dst, Dst> && Op::id == Id &&
    std::is_same_v<typename Op::adjoint, Adjoint> && std::is_same_v<typename Adjoint::adjoint, Op> &&
    Adjoint::id == pr::table[Id].adjoint && (Op::keeps_value == pr::table[Id].keeps_value) && pr::obeys_laws<Op> &&
    pr::obeys_laws<Adjoint> && pr::lawful<Op>::ok && pr::lawful<Adjoint>::ok;

static_assert(is<pr::convert<I, R>, I, R, pr::all_reduce<P, I>, pr::convert_i_r>);
static_assert(is<pr::all_reduce<P, I>, P, I, pr::convert<I, R>, pr::all_reduce_p_i>);
static_assert(is<pr::all_reduce<P, R>, P, R, pr::all_reduce<P, R>, pr::all_reduce_p_r>);
static_assert(is<pr::all_gather<S, I>, S, I, pr::convert<I, S>, pr::all_gather_s_i>);
static_assert(is<pr::convert<I, S>, I, S, pr::all_gather<S, I>, pr::convert_i_s>);
static_assert(is<pr::all_gather<S, R>, S, R, pr::reduce_scatter<P, S>, pr::all_gather_s_r>);
static_assert(is<pr::reduce_scatter<P, S>, P, S, pr::all_gather<S, R>, pr::reduce_scatter_p_s>);
static_assert(is<pr::convert<R, S>, R, S, pr::convert<S, P>, pr::convert_r_s>);
static_assert(is<pr::convert<S, P>, S, P, pr::convert<R, S>, pr::convert_s_p>);
static_assert(is<pr::convert<R, P>, R, P, pr::convert<R, P>, pr::convert_r_p>);
static_assert(is<pr::convert<I, P>, I, P, pr::convert<R, I>, pr::convert_i_p>);
static_assert(is<pr::convert<R, I>, R, I, pr::convert<I, P>, pr::convert_r_i>);
static_assert(is<pr::all_to_all<S, T>, S, T, pr::all_to_all<T, S>, pr::all_to_all_s_s>);
static_assert(is<pr::unsafe::reinterpret<V, P>, V, P, pr::unsafe::reinterpret<R, V>, pr::reinterpret_v_p>);
static_assert(is<pr::unsafe::reinterpret<R, V>, R, V, pr::unsafe::reinterpret<V, P>, pr::reinterpret_r_v>);
static_assert(is<pr::unsafe::reinterpret<R, P>, R, P, pr::unsafe::reinterpret<R, P>, pr::reinterpret_r_p>);
static_assert(is<pr::broadcast<V, R>, V, R, pr::adjoint_of<pr::broadcast<V, R>>, pr::broadcast_v_r>);
static_assert(is<pr::broadcast<I, I>, I, I, pr::adjoint_of<pr::broadcast<I, I>>, pr::broadcast_i_i>);
static_assert(is<pr::mean<I, I>, I, I, pr::adjoint_of<pr::mean<I, I>>, pr::mean_i_i>);
static_assert(is<pr::scatter_root<I, S>, I, S, pr::adjoint_of<pr::scatter_root<I, S>>, pr::scatter_root_i_s>);
static_assert(is<pr::scatter_root<R, S>, R, S, pr::adjoint_of<pr::scatter_root<R, S>>, pr::scatter_root_r_s>);
// Packed stands wherever shard stands.
static_assert(is<pr::all_gather<F, I>, F, I, pr::convert<I, F>, pr::all_gather_s_i>);
static_assert(is<pr::all_gather<F, R>, F, R, pr::reduce_scatter<P, F>, pr::all_gather_s_r>);
static_assert(is<pr::convert<R, F>, R, F, pr::convert<F, P>, pr::convert_r_s>);
static_assert(is<pr::all_to_all<F, T>, F, T, pr::all_to_all<T, F>, pr::all_to_all_s_s>);
static_assert(is<pr::scatter_root<I, F>, I, F, pr::adjoint_of<pr::scatter_root<I, F>>, pr::scatter_root_i_s>);
// Rows that share placements and a buffer operation are different pairs.
static_assert(!std::is_same_v<pr::scatter_root<I, S>::adjoint, pr::all_gather<S, I>>);
static_assert(!std::is_same_v<pr::mean<I, I>::adjoint, pr::broadcast<I, I>::adjoint>);

// ---- what is not in the table does not exist ------------------------------------------------------------------------------
constexpr int combinations(pr::form how) {
  constexpr kind kinds[] = {kind::invariant, kind::replicate, kind::varying, kind::partial,
                            kind::shard,     kind::packed,    kind::product};
  int n = 0;
  for (kind s : kinds) for (kind d : kinds) n += pr::find(how, {s, &info<rows_a>}, {d, &info<rows_b>}) >= 0;
  return n;
}
static_assert(combinations(pr::form::convert) == 10);          // 7 rows, of which 3 also with packed
static_assert(combinations(pr::form::all_reduce) == 2);
static_assert(combinations(pr::form::all_gather) == 4);
static_assert(combinations(pr::form::reduce_scatter) == 2);
static_assert(combinations(pr::form::all_to_all) == 4);
static_assert(combinations(pr::form::reinterpret) == 3);
static_assert(combinations(pr::form::broadcast) == 2);
static_assert(combinations(pr::form::mean) == 1);
static_assert(combinations(pr::form::scatter_root) == 4);
static_assert(combinations(pr::form::adjoint_only) == 0);

template <class From, class To> constexpr code why(pr::form how) { return pr::refusal(how, From::value, To::value); }
static_assert(why<I, R>(pr::form::convert) == code::ok && why<V, R>(pr::form::convert) == code::conversion);
static_assert(why<P, I>(pr::form::convert) == code::conversion && why<P, I>(pr::form::all_reduce) == code::ok);
static_assert(why<V, I>(pr::form::all_gather) == code::conversion && why<S, I>(pr::form::all_gather) == code::ok);
static_assert(why<S, R>(pr::form::convert) == code::conversion && why<S, R>(pr::form::all_gather) == code::ok);
static_assert(why<S, I>(pr::form::all_reduce) == code::reduced_twice && why<F, R>(pr::form::all_reduce) == code::reduced_twice);
static_assert(why<I, R>(pr::form::all_reduce) == code::reduced_twice && why<R, I>(pr::form::all_reduce) == code::reduced_twice);
static_assert(why<V, I>(pr::form::all_reduce) == code::reduced_twice && why<P, S>(pr::form::all_reduce) == code::conversion);
static_assert(why<I, S>(pr::form::reduce_scatter) == code::reduced_twice && why<P, S>(pr::form::reduce_scatter) == code::ok);
static_assert(why<I, R>(pr::form::reinterpret) == code::needs_f && why<I, V>(pr::form::convert) == code::needs_f);
static_assert(why<R, V>(pr::form::reinterpret) == code::ok && why<R, V>(pr::form::convert) == code::conversion);
static_assert(why<S, S>(pr::form::all_to_all) == code::conversion && why<S, T>(pr::form::all_to_all) == code::ok);
static_assert(why<shard<out<rows_a>>, S>(pr::form::all_to_all) == code::conversion);    // one dimension under two roles
// Nothing leaves P without a reduction, and nothing that differs per rank becomes equal without communication.
constexpr bool no_silent_reduction() {
  for (const auto& r : pr::table) {
    const bool silent = pr::communication_of(r.forward) == com::none;
    if (silent && r.src == kind::partial && r.dst != kind::partial) return false;
    if (silent && placement(r.src).rank_dependent() && placement(r.dst).whole()) return false;
  }
  return true;
}
static_assert(no_silent_reduction());

// ---- L5 by simulation -----------------------------------------------------------------------------------------------------
// All ranks at once: v[r] is rank r's buffer, parts by the partition rule. An all_to_all is of an N x N matrix, row r on rank r.
constexpr int most = 3;
struct all_ranks { long v[most][most]{}; };
struct world { int ranks, whole; };

constexpr long held(kind k, world w, int r, bool matrix) {
  return k == kind::shard && !matrix ? chunk(w.whole, r, w.ranks).size() : w.whole;
}
constexpr all_ranks act(physical p, const all_ranks& x, world w) {
  all_ranks y;
  for (int r = 0; r < w.ranks; ++r) {
    const slice mine = chunk(w.whole, r, w.ranks);
    for (int j = 0; j < w.whole; ++j) {
      const bool own = j >= mine.begin && j < mine.end;
      long sum = 0, gathered = 0;
      for (int q = 0; q < w.ranks; ++q) {
        const slice theirs = chunk(w.whole, q, w.ranks);
        sum += x.v[q][j];
        if (j >= theirs.begin && j < theirs.end) gathered += x.v[q][j - theirs.begin];
      }
      switch (p) {
        case physical::identity: y.v[r][j] = x.v[r][j]; break;
        case physical::all_reduce: y.v[r][j] = sum; break;
        case physical::split: if (own) y.v[r][j - mine.begin] = x.v[r][j]; break;
        case physical::all_gather: y.v[r][j] = gathered; break;
        case physical::reduce_scatter: if (own) y.v[r][j - mine.begin] = sum; break;
        case physical::zero_pad: if (own) y.v[r][j] = x.v[r][j - mine.begin]; break;
        case physical::partition_of_unity: y.v[r][j] = r == 0 ? x.v[r][j] : 0; break;
        case physical::all_to_all: if (j < w.ranks) y.v[r][j] = x.v[j][r]; break;
        case physical::broadcast: y.v[r][j] = x.v[0][j]; break;
        case physical::reduce_to_root: y.v[r][j] = r == 0 ? sum : 0; break;
        case physical::mean: y.v[r][j] = sum / w.ranks; break;
        case physical::scatter_from_root: if (own) y.v[r][j - mine.begin] = x.v[0][j]; break;
        case physical::gather_to_root: y.v[r][j] = r == 0 ? gathered : 0; break;
      }
    }
  }
  return y;
}
/// Basis vector i of a placement's space; false behind the last one.
constexpr bool basis(kind k, world w, bool matrix, int i, all_ranks& x) {
  x = {};
  if (placement(k).whole()) {
    for (int r = 0; r < w.ranks; ++r) if (i < w.whole) x.v[r][i] = 1;
    return i < w.whole;
  }
  for (int r = 0; r < w.ranks; ++r) {
    if (const long n = held(k, w, r, matrix); i < n) { x.v[r][i] = 1; return true; }
    else i -= int(n);
  }
  return false;
}
constexpr long pair(kind k, world w, const all_ranks& c, const all_ranks& x) {
  long s = 0;
  for (int r = 0; r < (k == kind::invariant ? 1 : w.ranks); ++r) for (int j = 0; j < w.whole; ++j) s += c.v[r][j] * x.v[r][j];
  return s;
}
constexpr bool equal_on_all(const all_ranks& y, world w) {
  for (int r = 1; r < w.ranks; ++r) for (int j = 0; j < w.whole; ++j) if (y.v[r][j] != y.v[0][j]) return false;
  return true;
}
constexpr bool zero_as(kind k, const all_ranks& y, world w) {
  for (int j = 0; j < w.whole; ++j) {
    long sum = 0;
    for (int r = 0; r < w.ranks; ++r) {
      if (k != kind::partial && y.v[r][j]) return false;
      sum += y.v[r][j];
    }
    if (sum) return false;
  }
  return true;
}
/// Does `p` map src to dst: equal outputs where dst is equal on all ranks, and sum-zero inputs of a Partial src to zero?
constexpr bool maps(physical p, kind src, kind dst, world w, bool matrix) {
  all_ranks x;
  for (int i = 0; basis(src, w, matrix, i, x); ++i) {
    if (placement(dst).whole() && !equal_on_all(act(p, x, w), w)) return false;
    if (src != kind::partial) continue;
    for (int r = 1; r < w.ranks; ++r)
      if (x.v[r][i % w.whole]) {
        x.v[0][i % w.whole] -= 1;
        if (!zero_as(dst, act(p, x, w), w)) return false;
      }
  }
  return true;
}
constexpr bool transposed(physical forward, physical backward, kind src, kind dst, world w) {
  const bool matrix = forward == physical::all_to_all;
  if (!maps(forward, src, dst, w, matrix) || !maps(backward, dual_kind(dst), dual_kind(src), w, matrix)) return false;
  all_ranks x[most * most], c[most * most], y[most * most], back[most * most];
  int n = 0, m = 0;
  for (; n < most * most && basis(src, w, matrix, n, x[n]); ++n) y[n] = act(forward, x[n], w);
  for (; m < most * most && basis(dual_kind(dst), w, matrix, m, c[m]); ++m) back[m] = act(backward, c[m], w);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < m; ++j)
      if (pair(dst, w, c[j], y[i]) != pair(src, w, back[j], x[i])) return false;
  return n > 0 && m > 0;
}
/// Three even ranks, two uneven ones, and three of which the last holds nothing.
constexpr world worlds[] = {{3, 3}, {2, 3}, {3, 2}};
constexpr bool l5(physical forward, physical backward, kind src, kind dst) {
  for (const world& w : worlds)
    if ((forward != physical::all_to_all || w.ranks == w.whole) && !transposed(forward, backward, src, dst, w)) return false;
  return true;
}
template <int Id> constexpr bool row_obeys_l5 = l5(pr::forward(Id), pr::backward(Id), pr::table[Id].src, pr::table[Id].dst);
template <class> struct every_row;
template <int... Id> struct every_row<std::integer_sequence<int, Id...>> {
  static constexpr bool obeys_l5 = (row_obeys_l5<Id> && ...);
};
static_assert(every_row<std::make_integer_sequence<int, pr::row_count>>::obeys_l5);

// The global value: what all ranks together mean.
constexpr bool same_value(physical p, kind src, kind dst, world w) {
  const bool matrix = p == physical::all_to_all;
  all_ranks x;
  for (int i = 0; basis(src, w, matrix, i, x); ++i) {
    const all_ranks y = act(p, x, w);
    for (int j = 0; j < w.whole; ++j) {
      long was = 0, is = 0;
      const auto add = [&](kind k, const all_ranks& z, long& to) {
        if (placement(k).whole()) to = z.v[0][j];
        for (int r = 0; r < w.ranks; ++r) {
          const slice s = chunk(w.whole, r, w.ranks);
          if (k == kind::partial) to += z.v[r][j];
          if (k == kind::shard && j >= s.begin && j < s.end) to += z.v[r][j - s.begin];
        }
      };
      add(src, x, was);
      add(dst, y, is);
      if (!matrix && was != is) return false;
    }
  }
  return true;
}
template <class> struct values;
template <int... Id> struct values<std::integer_sequence<int, Id...>> {
  static constexpr bool kept(const pr::row& r) {
    if (r.src == kind::varying || r.dst == kind::varying) return !r.keeps_value;
    return (same_value(r.forward, r.src, r.dst, worlds[0]) && same_value(r.forward, r.src, r.dst, worlds[1])) == r.keeps_value;
  }
  static constexpr bool as_stated = (kept(pr::table[Id]) && ...);
};
static_assert(values<std::make_integer_sequence<int, pr::row_count>>::as_stated);

// L6: alone, a rank's buffers stay as they are.
constexpr bool alone_is_identity() {
  const world one{1, 3};
  for (const auto& r : pr::table) {
    if (r.forward == physical::all_to_all) continue;                       // of one rank: a matrix with one column
    all_ranks x;
    for (int j = 0; j < 3; ++j) x.v[0][j] = 2 + j;
    const all_ranks y = act(r.forward, x, one);
    for (int j = 0; j < 3; ++j) if (y.v[0][j] != x.v[0][j]) return false;
  }
  return true;
}
static_assert(alone_is_identity());

// The mutants found in the field, each beside the pair it was mistaken for.
constexpr kind inv = kind::invariant, rep = kind::replicate, sum = kind::partial, cut = kind::shard;
// 1. f forgotten
static_assert(!l5(physical::identity, physical::identity, inv, rep) && l5(physical::identity, physical::all_reduce, inv, rep));
// 2. g with an all-reduce backward
static_assert(!l5(physical::all_reduce, physical::all_reduce, sum, inv) &&
              l5(physical::all_reduce, physical::identity, sum, inv));
// 3. g claimed as Replicate
static_assert(!l5(physical::all_reduce, physical::identity, sum, rep) &&
              l5(physical::all_reduce, physical::all_reduce, sum, rep));
// 4. gathered for rank-dependent use, split backward
static_assert(!l5(physical::all_gather, physical::split, cut, rep) &&
              l5(physical::all_gather, physical::reduce_scatter, cut, rep));
// 5. gathered Invariant, reduce-scatter backward
static_assert(!l5(physical::all_gather, physical::reduce_scatter, cut, inv) &&
              l5(physical::all_gather, physical::split, cut, inv));
// 6. split of a Replicate, all-gather backward
static_assert(!l5(physical::split, physical::all_gather, rep, cut) && l5(physical::split, physical::zero_pad, rep, cut));
// 7. split of an Invariant, zero-pad backward
static_assert(!l5(physical::split, physical::zero_pad, inv, cut) && l5(physical::split, physical::all_gather, inv, cut));
// 8. reduce-scatter fed Invariant
static_assert(!l5(physical::reduce_scatter, physical::all_gather, inv, cut) &&
              l5(physical::reduce_scatter, physical::all_gather, sum, cut));
static_assert(!same_value(physical::reduce_scatter, rep, cut, worlds[0]) &&
              same_value(physical::reduce_scatter, sum, cut, worlds[0]));
// 9. all-reduce fed Shard: the gradient is right, the value is not
static_assert(!same_value(physical::all_reduce, cut, inv, worlds[0]) && same_value(physical::all_reduce, sum, inv, worlds[0]));
// 10. f applied to Shard
static_assert(!l5(physical::identity, physical::all_reduce, cut, rep));
// 11. a partition of unity on an Invariant with its own transpose
static_assert(!l5(physical::partition_of_unity, physical::partition_of_unity, inv, sum) &&
              l5(physical::partition_of_unity, physical::identity, inv, sum));
//     the control: on a Replicate that is right
static_assert(l5(physical::partition_of_unity, physical::partition_of_unity, rep, sum));

// ---- L4 -------------------------------------------------------------------------------------------------------------------
template <class... Op> struct list {};
using all_types =
    list<pr::convert<I, R>, pr::all_reduce<P, I>, pr::all_reduce<P, R>, pr::all_gather<S, I>, pr::convert<I, S>,
         pr::all_gather<S, R>, pr::reduce_scatter<P, S>, pr::convert<R, S>, pr::convert<S, P>, pr::convert<R, P>,
         pr::convert<I, P>, pr::convert<R, I>, pr::all_to_all<S, T>, pr::all_to_all<T, S>, pr::unsafe::reinterpret<V, P>,
         pr::unsafe::reinterpret<R, V>, pr::unsafe::reinterpret<R, P>, pr::broadcast<V, R>, pr::broadcast<V, R>::adjoint,
         pr::broadcast<I, I>, pr::broadcast<I, I>::adjoint, pr::mean<I, I>, pr::mean<I, I>::adjoint, pr::scatter_root<I, S>,
         pr::scatter_root<I, S>::adjoint, pr::scatter_root<R, S>, pr::scatter_root<R, S>::adjoint>;
template <class A, class B> constexpr int composed() {
  if constexpr (!pr::composable<A, B>) return 0;
  else {
    using ab = pr::then<A, B>;
    static_assert(pr::obeys_laws<ab> && std::is_same_v<typename ab::adjoint, pr::then<typename B::adjoint, typename A::adjoint>>);
    static_assert(ab::keeps_value == (A::keeps_value && B::keeps_value));
    return 1;
  }
}
template <class A, class... B> constexpr int after(list<B...>) { return (composed<A, B>() + ... + 0); }
template <class... A> constexpr int pairs(list<A...> l) { return (after<A>(l) + ... + 0); }
template <class... A> constexpr int expected(list<A...>) {
  int n = 0;
  const placement from[] = {A::src::value...}, to[] = {A::dst::value...};
  for (const placement& t : to) for (const placement& f : from) n += t == f;
  return n;
}
static_assert(pairs(all_types{}) == expected(all_types{}) && pairs(all_types{}) > 100);
static_assert(pr::composable<pr::all_gather<S, R>, pr::convert<R, P>> &&
              !pr::composable<pr::all_gather<S, I>, pr::reduce_scatter<P, S>>);
// Composites compose again, in any grouping of the same steps, and obey L5 step by step.
using first_two = pr::then<pr::all_reduce<P, R>, pr::convert<R, S>>;
using three = pr::then<first_two, pr::all_gather<S, I>>;
using other_three = pr::then<pr::all_reduce<P, R>, pr::then<pr::convert<R, S>, pr::all_gather<S, I>>>;
static_assert(pr::obeys_laws<three> && pr::obeys_laws<other_three> && pr::obeys_laws<three::adjoint>);
static_assert(std::is_same_v<three::src, P> && std::is_same_v<three::dst, I> && three::keeps_value);
static_assert(std::is_same_v<three::adjoint, pr::then<pr::convert<I, S>, pr::then<pr::convert<S, P>, pr::all_reduce<P, R>>>>);

// ---- primitives of one's own ----------------------------------------------------------------------------------------------
struct ring_gather;
struct ring_scatter;
struct ring_gather : pr::declare<ring_gather, S, R, ring_scatter> {};                   // the adjoint comes later
struct ring_scatter : pr::declare<ring_scatter, P, S, ring_gather> {};
static_assert(pr::obeys_laws<ring_gather> && pr::obeys_laws<ring_scatter> && pr::lawful<ring_gather>::ok);
struct own_sum : pr::declare<own_sum, P, R, own_sum> { static constexpr bool keeps_value = true; };
static_assert(pr::obeys_laws<own_sum> && own_sum::keeps_value && !ring_gather::keeps_value && own_sum::id == -1);
struct nameless : pr::declare<nameless, I, S, pr::adjoint_of<nameless>> {};
static_assert(pr::obeys_laws<nameless> && pr::obeys_laws<pr::adjoint_of<nameless>> && pr::adjoint_of<nameless>::id == -1);
static_assert(pr::obeys_laws<pr::then<ring_scatter, ring_gather>>);

// The probe says no without an error.
struct wrong_split { using src = R; using dst = S; using adjoint = pr::all_gather<S, I>; };              // mutant 6
struct wrong_gather { using src = S; using dst = R; using adjoint = pr::convert<I, S>; };                // mutant 4
struct not_mutual { using src = P; using dst = I; using adjoint = pr::convert<I, R>; };
struct of_another_dim { using src = S; using dst = I; using adjoint = pr::convert<I, T>; };
struct no_adjoint { using src = P; using dst = I; };
static_assert(!pr::obeys_laws<wrong_split> && !pr::obeys_laws<wrong_gather> && !pr::obeys_laws<not_mutual>);
static_assert(!pr::obeys_laws<of_another_dim> && !pr::obeys_laws<no_adjoint> && !pr::obeys_laws<int>);

}  // namespace

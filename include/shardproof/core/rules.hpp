#pragma once
/// @file
/// The one table of rules: which placements an operation accepts on one axis, and what comes out. Constexpr functions of values.
///
///     constexpr sp::outcome r = sp::rules::nonlinear(sp::partial::value);          // r.broken == code::nonlinear_partial
///     static_assert(sp::rules::add(sp::partial::value, sp::partial::value).to == sp::partial::value);
///
/// A constexpr plan evaluates them on types in a static_assert, a run-time plan on values when called: same codes, same words.
/// Source: the typing of spmd_types (Meta) and JAX's shard_map (varying, reduced, unreduced), with named dimensions added.
#include <shardproof/core/placement.hpp>
namespace shardproof {

/// What a rule says: the result's placement, or the code that is broken.
struct outcome {
  code broken = code::ok;
  placement to;
  constexpr bool ok() const { return broken == code::ok; }
};

namespace rules {

/// f(a + b) == f(a) + f(b): scaling, transposing, slicing a dimension that is not cut.
constexpr outcome linear_map(placement x) { return {code::ok, x}; }
constexpr outcome nonlinear(placement x) { return {x.k == kind::partial ? code::nonlinear_partial : code::ok, x}; }
/// Adding a constant: a pending sum would count it once per rank.
constexpr outcome shift(placement x) { return {x.k == kind::partial ? code::partial_with_whole : code::ok, x}; }

namespace detail {
/// Two operands elementwise, neither Partial. A whole operand meets a cut one only if it lacks the dimension that is cut;
/// `a_has`: a carries the dimension that b is cut on, and the reverse.
constexpr outcome meet(placement a, placement b, bool a_has, bool b_has) {
  if (a == b) return {code::ok, a};
  if (a.k == kind::product || b.k == kind::product) return {code::operands_differ, a};
  if (a.k == kind::invariant) return {b.splits() && a_has ? code::needs_shard : code::needs_f, a};
  if (b.k == kind::invariant) return {a.splits() && b_has ? code::needs_shard : code::needs_f, a};
  if (a.k == kind::replicate) return {b.splits() && a_has ? code::operands_differ : code::ok, b};
  if (b.k == kind::replicate) return {a.splits() && b_has ? code::operands_differ : code::ok, a};
  return {code::operands_differ, a};
}
}  // namespace detail

constexpr outcome add(placement a, placement b, bool a_has = true, bool b_has = true) {
  if ((a.k == kind::partial) != (b.k == kind::partial)) return {code::partial_with_whole, a};
  return detail::meet(a, b, a_has, b_has);
}
constexpr outcome multiply(placement a, placement b, bool a_has = true, bool b_has = true) {
  if (a.k == kind::partial && b.k == kind::partial) return {code::nonlinear_partial, a};
  if (a.k == kind::partial || b.k == kind::partial)
    return {a.k == kind::replicate || b.k == kind::replicate ? code::ok : code::partial_with_whole, partial::value};
  return detail::meet(a, b, a_has, b_has);
}

/// x . w over `contracted`: of the dimensions that are summed the one that x is cut along, else any; w carries roles.
constexpr outcome contract(placement x, placement w, const dim_info* contracted) {
  if (x.k == kind::product || w.k == kind::product) return {code::operands_differ, x};
  if (w.splits() && w.d->is == role::in) {                                               // a row-sharded weight
    if (x.splits() && x == bare(w)) return {code::ok, partial::value};
    if (x.k == kind::partial) return {code::nonlinear_partial, x};
    return {code::contraction, x};
  }
  if (w.splits()) {                                                                      // sharded along an output
    if (x.k == kind::replicate) return {code::ok, bare(w)};
    if (x.k == kind::invariant) return {code::needs_f, bare(w)};
    if (x.k == kind::partial) return {code::nonlinear_partial, x};
    if (x.splits() && base_of(x.d) == base_of(contracted)) return {code::contraction, x};
    return {code::operands_differ, x};
  }
  if (w.k == kind::invariant) {
    if (x.k == kind::invariant) return {code::ok, x};
    if (x.splits() && base_of(x.d) == base_of(contracted)) return {code::shard_into_replicated, x};
    if (x.k == kind::partial) return {code::partial_with_whole, x};
    return {code::drifting_parameter, x};                                                // Replicate too: its cotangent is pending
  }
  if (w.k == kind::replicate) {
    if (x.k == kind::invariant) return {code::needs_f, x};
    if (x.splits() && base_of(x.d) == base_of(contracted)) return {code::contraction, x};
    return {code::ok, x};                                                                // R, V, S(not contracted), P: linear in x
  }
  return {w.k == kind::partial && x.k == kind::replicate ? code::ok : code::nonlinear_partial, partial::value};
}

/// A norm (or a softmax) over dimension `over`, with a weight of that dimension.
constexpr outcome norm(placement x, placement w, const dim_info* over) {
  if (x.k == kind::partial) return {code::nonlinear_partial, x};
  if (x.splits() && x.d == over) return {code::reduced_over_shard, x};
  if (x.k == kind::product || w.splits()) return {code::operands_differ, x};
  if (w.k == kind::invariant) return {x.k == kind::invariant ? code::ok : code::drifting_parameter, x};
  if (w.k == kind::replicate) return {x.k == kind::invariant ? code::needs_f : code::ok, x};
  return {code::operands_differ, x};
}
constexpr outcome over(placement x, const dim_info* d) {
  if (x.k == kind::partial) return {code::nonlinear_partial, x};
  return {x.d == d ? code::reduced_over_shard : code::ok, x};                            // cut, or its parts placed apart
}

/// Rows of a table; ids are integers, so they carry no gradient and may meet any table.
constexpr outcome lookup(placement ids, placement table) {
  if (ids.k == kind::partial) return {code::nonlinear_partial, ids};
  if (ids.whole()) {
    if (table.splits()) return {code::ok, table.d->is == role::rows ? placement(kind::partial) : bare(table)};
    return {ids.k == kind::invariant && table.k == kind::replicate ? code::operands_differ : code::ok, table};
  }
  if (table.k == kind::replicate) return {code::ok, ids};
  return {table.k == kind::invariant ? code::drifting_parameter : code::operands_differ, ids};
}

/// A linear map that mixes the features of a head: a cut, or parts placed apart, inside a head would part what it needs together.
constexpr outcome rotation(placement x, const dim_info* features) { return {x.d == features ? code::head_cut : code::ok, x}; }

/// Grouped-query attention: heads cut alike, or batch rows cut alike, or whole alike. `features`: of a head.
constexpr outcome attention(placement q, placement k, placement v, const dim_info* heads, const dim_info* kv_heads, const dim_info* keys, const dim_info* features) {
  if (q.k == kind::partial || k.k == kind::partial || v.k == kind::partial) return {code::nonlinear_partial, q};
  if (!(k == v)) return {code::heads_differ, q};
  if (q.splits() && q.d == heads) {
    if (!k.splits() || k.d != kv_heads) return {code::heads_differ, q};
    return {heads == kv_heads || heads->group == kv_heads ? code::ok : code::heads_not_grouped, q};
  }
  if (k.splits() && k.d == keys) return {code::reduced_over_shard, q};
  if (q.k == kind::product || k.k == kind::product) return {code::operands_differ, q};
  if (q.splits() && q.d == features) return {code::head_cut, q};
  if (q == k) return {code::ok, q};
  return {q.whole() && k.whole() ? code::needs_f : code::heads_differ, q};
}

/// Part i of a fused dimension; a flat part falls into its factors.
constexpr outcome part(placement x, const dim_info* whole, int i) {
  if (x.d != whole) return {code::ok, x};
  if (x.k == kind::packed) return {code::ok, {kind::shard, lead_of(whole->part[std::size_t(i)])}};
  if (x.k == kind::product) return {code::ok, {x.part[std::size_t(i)]}};
  return {code::split_needs_packed, x};
}

/// Tokens x with the weights of their experts, on their way to experts whose parameters lie as w (with roles). `features` is the last
/// dimension of x, `routed` that of the rows that come: where experts lie apart a rank gets the rows of its own, from the tokens that every
/// rank has, or from the ranks that have them.
constexpr outcome dispatch(placement x, placement weights, placement w, const dim_info* features, const dim_info* routed) {
  const bool apart = w.splits() && w.d->is == role::experts;
  if (x.k == kind::partial || weights.k == kind::partial) return {code::nonlinear_partial, x};
  if (x.k == kind::product || x.k == kind::packed || (apart && x.k == kind::varying)) return {code::operands_differ, x};
  if (x.splits() && x.d == features) return {apart || weights.k != kind::replicate ? code::operands_differ : code::ok, x};
  if (!(x == weights)) return {x.whole() && weights.whole() ? code::needs_f : code::operands_differ, x};
  if (x.splits()) return {code::ok, {kind::shard, routed}};
  if (apart && x.k == kind::invariant) return {code::needs_f, x};
  return {code::ok, apart ? placement(kind::shard, routed) : x};
}
namespace detail {
/// Rows of some experts meet a parameter of all of them, or the reverse. `dealt`: rows lie with the experts they were dispatched to.
constexpr bool of_other_experts(placement x, placement w, const dim_info* routed, bool dealt) {
  if (!(x.k == kind::shard && x.d == routed)) return false;
  return w.splits() && w.d->is == role::experts ? !dealt : dealt && w.k != kind::invariant;
}
}  // namespace detail
/// Rows times the matrix of their expert.
constexpr outcome grouped(placement x, placement w, const dim_info* contracted, const dim_info* routed, bool dealt) {
  if (detail::of_other_experts(x, w, routed, dealt)) return {code::operands_differ, x};
  if (!(w.splits() && w.d->is == role::experts)) return contract(x, w, contracted);
  if (x.k == kind::partial) return {code::nonlinear_partial, x};
  if (x.k == kind::invariant) return {code::needs_f, x};
  return {x.k == kind::shard && x.d == routed ? code::ok : code::operands_differ, x};
}
/// Rows plus the bias of their expert.
constexpr outcome grouped_bias(placement x, placement b, const dim_info* routed, bool dealt) {
  if (detail::of_other_experts(x, b, routed, dealt)) return {code::operands_differ, x};
  if (b.splits() && b.d->is == role::experts) return {x.k == kind::shard && x.d == routed ? code::ok : x.k == kind::partial ? code::partial_with_whole : code::operands_differ, x};
  if (x.rank_dependent() && b.k == kind::invariant) return {code::drifting_parameter, x};
  return add(x, bare(b), true, !(x.splits() && x.d == routed));
}
/// The weighted sum of a token's rows, where its weights are.
constexpr outcome combine(placement x, placement weights, const dim_info* routed) {
  if (!(x.splits() && x.d == routed)) return multiply(x, weights, false, false);
  if (weights.k == kind::partial) return {code::nonlinear_partial, x};
  if (weights.k == kind::invariant) return {code::needs_f, x};
  if (weights.k == kind::replicate) return {code::ok, partial::value};
  return {weights.splits() ? code::ok : code::operands_differ, weights};
}

/// Mean token loss: whole logits, or logits cut over the vocabulary; over cut rows it is a pending sum.
constexpr outcome cross_entropy(placement logits, placement labels, const dim_info* vocab) {
  if (logits.k == kind::partial) return {code::nonlinear_partial, logits};
  if (logits.k == kind::shard && logits.d != vocab) return {logits == labels ? code::ok : code::operands_differ, partial::value};
  if (!labels.whole()) return {code::operands_differ, labels};
  if (logits.k == kind::invariant || logits.k == kind::shard) return {code::ok, invariant::value};
  return {logits.k == kind::replicate ? code::ok : code::operands_differ, logits};
}

/// What a loss must be for backward: whole on tp, whole or pending elsewhere.
constexpr bool loss_like(placement p, int axis) { return p.k == kind::invariant || (axis != 0 && p.k == kind::partial); }

/// A layer's style wants `want` and is fed `x`: the sentence for that case. `contracted`: the layer's input dimension.
constexpr code fed_instead(placement want, placement x, const dim_info* contracted) {
  if (x == want) return code::ok;
  if (x.k == kind::partial) return code::partial_into_layer;
  if (want.splits() && x.whole()) return contracted && base_of(want.d) == base_of(contracted) ? code::whole_into_rowwise : code::input_placement;
  if (want.splits() && x.d && base_of(x.d)->parts) return code::fused_into_rowwise;
  if (!want.splits() && x.splits() && x.d == contracted) return code::shard_into_colwise;
  return code::input_placement;
}

}  // namespace rules
}  // namespace shardproof

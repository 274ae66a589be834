// The one table of rules: what every operation accepts on one axis, what comes out, and which code refuses the rest.
#include <shardproof/core/rules.hpp>
namespace sp = shardproof;
using sp::code;
using sp::placement;

struct batch : sp::dim<> {};
struct seq : sp::dim<> {};
struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
struct latent : sp::dim<8> {};
struct kv_heads : sp::dim<4, sp::groups> {};
struct q_heads : sp::dim<8, sp::grouped_by<kv_heads>> {};
struct head_dim : sp::dim<4> {};
struct vocab : sp::dim<37> {};
using gate_up = sp::fused<ffn, ffn>;
using kv_a = sp::fused<latent, head_dim>;

constexpr placement I = sp::invariant::value, R = sp::replicate::value, V = sp::varying::value, P = sp::partial::value;
constexpr placement S = sp::shard<ffn>::value, T = sp::shard<seq>::value, K = sp::packed<gate_up>::value;
constexpr placement M = sp::product<kv_a, sp::invariant, sp::replicate>::value;
template <class D> constexpr placement shard = sp::shard<D>::value;
template <class D> constexpr placement packed = sp::packed<D>::value;

constexpr bool gives(sp::outcome o, placement p) { return o.ok() && o.to == p; }
constexpr bool refused(sp::outcome o, code c) { return o.broken == c; }

// unary linear maps, scaling included: everything passes
static_assert(gives(sp::rules::linear_map(I), I));
static_assert(gives(sp::rules::linear_map(R), R));
static_assert(gives(sp::rules::linear_map(V), V));
static_assert(gives(sp::rules::linear_map(P), P));
static_assert(gives(sp::rules::linear_map(S), S));
static_assert(gives(sp::rules::linear_map(T), T));
static_assert(gives(sp::rules::linear_map(K), K));
static_assert(gives(sp::rules::linear_map(M), M));
// unary nonlinear maps: everything but a Partial
static_assert(gives(sp::rules::nonlinear(I), I));
static_assert(gives(sp::rules::nonlinear(R), R));
static_assert(gives(sp::rules::nonlinear(V), V));
static_assert(refused(sp::rules::nonlinear(P), code::nonlinear_partial));
static_assert(gives(sp::rules::nonlinear(S), S));
static_assert(gives(sp::rules::nonlinear(T), T));
static_assert(gives(sp::rules::nonlinear(K), K));
static_assert(gives(sp::rules::nonlinear(M), M));
// adding a constant: everything but a Partial, which would count it once per rank
static_assert(gives(sp::rules::shift(I), I));
static_assert(gives(sp::rules::shift(R), R));
static_assert(gives(sp::rules::shift(V), V));
static_assert(refused(sp::rules::shift(P), code::partial_with_whole));
static_assert(gives(sp::rules::shift(S), S));
static_assert(gives(sp::rules::shift(T), T));
static_assert(gives(sp::rules::shift(K), K));
static_assert(gives(sp::rules::shift(M), M));
// sums: Invariant with each, both operands carrying all dimensions
static_assert(gives(sp::rules::add(I, I), I));
static_assert(refused(sp::rules::add(I, R), code::needs_f));
static_assert(refused(sp::rules::add(I, V), code::needs_f));
static_assert(refused(sp::rules::add(I, P), code::partial_with_whole));
static_assert(refused(sp::rules::add(I, S), code::needs_shard));
static_assert(refused(sp::rules::add(I, T), code::needs_shard));
static_assert(refused(sp::rules::add(I, K), code::needs_shard));
static_assert(refused(sp::rules::add(I, M), code::operands_differ));
// sums: Replicate with each, both operands carrying all dimensions
static_assert(refused(sp::rules::add(R, I), code::needs_f));
static_assert(gives(sp::rules::add(R, R), R));
static_assert(gives(sp::rules::add(R, V), V));
static_assert(refused(sp::rules::add(R, P), code::partial_with_whole));
static_assert(refused(sp::rules::add(R, S), code::operands_differ));
static_assert(refused(sp::rules::add(R, T), code::operands_differ));
static_assert(refused(sp::rules::add(R, K), code::operands_differ));
static_assert(refused(sp::rules::add(R, M), code::operands_differ));
// sums: Varying with each, both operands carrying all dimensions
static_assert(refused(sp::rules::add(V, I), code::needs_f));
static_assert(gives(sp::rules::add(V, R), V));
static_assert(gives(sp::rules::add(V, V), V));
static_assert(refused(sp::rules::add(V, P), code::partial_with_whole));
static_assert(refused(sp::rules::add(V, S), code::operands_differ));
static_assert(refused(sp::rules::add(V, T), code::operands_differ));
static_assert(refused(sp::rules::add(V, K), code::operands_differ));
static_assert(refused(sp::rules::add(V, M), code::operands_differ));
// sums: Partial with each, both operands carrying all dimensions
static_assert(refused(sp::rules::add(P, I), code::partial_with_whole));
static_assert(refused(sp::rules::add(P, R), code::partial_with_whole));
static_assert(refused(sp::rules::add(P, V), code::partial_with_whole));
static_assert(gives(sp::rules::add(P, P), P));
static_assert(refused(sp::rules::add(P, S), code::partial_with_whole));
static_assert(refused(sp::rules::add(P, T), code::partial_with_whole));
static_assert(refused(sp::rules::add(P, K), code::partial_with_whole));
static_assert(refused(sp::rules::add(P, M), code::partial_with_whole));
// sums: Shard with each, both operands carrying all dimensions
static_assert(refused(sp::rules::add(S, I), code::needs_shard));
static_assert(refused(sp::rules::add(S, R), code::operands_differ));
static_assert(refused(sp::rules::add(S, V), code::operands_differ));
static_assert(refused(sp::rules::add(S, P), code::partial_with_whole));
static_assert(gives(sp::rules::add(S, S), S));
static_assert(refused(sp::rules::add(S, T), code::operands_differ));
static_assert(refused(sp::rules::add(S, K), code::operands_differ));
static_assert(refused(sp::rules::add(S, M), code::operands_differ));
// sums: Shard of another dimension with each, both operands carrying all dimensions
static_assert(refused(sp::rules::add(T, I), code::needs_shard));
static_assert(refused(sp::rules::add(T, R), code::operands_differ));
static_assert(refused(sp::rules::add(T, V), code::operands_differ));
static_assert(refused(sp::rules::add(T, P), code::partial_with_whole));
static_assert(refused(sp::rules::add(T, S), code::operands_differ));
static_assert(gives(sp::rules::add(T, T), T));
static_assert(refused(sp::rules::add(T, K), code::operands_differ));
static_assert(refused(sp::rules::add(T, M), code::operands_differ));
// sums: PackedShard with each, both operands carrying all dimensions
static_assert(refused(sp::rules::add(K, I), code::needs_shard));
static_assert(refused(sp::rules::add(K, R), code::operands_differ));
static_assert(refused(sp::rules::add(K, V), code::operands_differ));
static_assert(refused(sp::rules::add(K, P), code::partial_with_whole));
static_assert(refused(sp::rules::add(K, S), code::operands_differ));
static_assert(refused(sp::rules::add(K, T), code::operands_differ));
static_assert(gives(sp::rules::add(K, K), K));
static_assert(refused(sp::rules::add(K, M), code::operands_differ));
// sums: a product with each, both operands carrying all dimensions
static_assert(refused(sp::rules::add(M, I), code::operands_differ));
static_assert(refused(sp::rules::add(M, R), code::operands_differ));
static_assert(refused(sp::rules::add(M, V), code::operands_differ));
static_assert(refused(sp::rules::add(M, P), code::partial_with_whole));
static_assert(refused(sp::rules::add(M, S), code::operands_differ));
static_assert(refused(sp::rules::add(M, T), code::operands_differ));
static_assert(refused(sp::rules::add(M, K), code::operands_differ));
static_assert(gives(sp::rules::add(M, M), M));
// sums with an operand that lacks the dimension the other is cut on: a Replicate one may meet it, an Invariant one lacks f
static_assert(gives(sp::rules::add(R, S, false, true), S));
static_assert(gives(sp::rules::add(S, R, true, false), S));
static_assert(gives(sp::rules::add(R, T, false, true), T));
static_assert(gives(sp::rules::add(T, R, true, false), T));
static_assert(gives(sp::rules::add(R, K, false, true), K));
static_assert(gives(sp::rules::add(K, R, true, false), K));
static_assert(refused(sp::rules::add(I, S, false, true), code::needs_f));
static_assert(refused(sp::rules::add(S, I, true, false), code::needs_f));
static_assert(refused(sp::rules::add(I, T, false, true), code::needs_f));
static_assert(refused(sp::rules::add(T, I, true, false), code::needs_f));
static_assert(refused(sp::rules::add(I, K, false, true), code::needs_f));
static_assert(refused(sp::rules::add(K, I, true, false), code::needs_f));
// products: Invariant with each, both operands carrying all dimensions
static_assert(gives(sp::rules::multiply(I, I), I));
static_assert(refused(sp::rules::multiply(I, R), code::needs_f));
static_assert(refused(sp::rules::multiply(I, V), code::needs_f));
static_assert(refused(sp::rules::multiply(I, P), code::partial_with_whole));
static_assert(refused(sp::rules::multiply(I, S), code::needs_shard));
static_assert(refused(sp::rules::multiply(I, T), code::needs_shard));
static_assert(refused(sp::rules::multiply(I, K), code::needs_shard));
static_assert(refused(sp::rules::multiply(I, M), code::operands_differ));
// products: Replicate with each, both operands carrying all dimensions
static_assert(refused(sp::rules::multiply(R, I), code::needs_f));
static_assert(gives(sp::rules::multiply(R, R), R));
static_assert(gives(sp::rules::multiply(R, V), V));
static_assert(gives(sp::rules::multiply(R, P), P));
static_assert(refused(sp::rules::multiply(R, S), code::operands_differ));
static_assert(refused(sp::rules::multiply(R, T), code::operands_differ));
static_assert(refused(sp::rules::multiply(R, K), code::operands_differ));
static_assert(refused(sp::rules::multiply(R, M), code::operands_differ));
// products: Varying with each, both operands carrying all dimensions
static_assert(refused(sp::rules::multiply(V, I), code::needs_f));
static_assert(gives(sp::rules::multiply(V, R), V));
static_assert(gives(sp::rules::multiply(V, V), V));
static_assert(refused(sp::rules::multiply(V, P), code::partial_with_whole));
static_assert(refused(sp::rules::multiply(V, S), code::operands_differ));
static_assert(refused(sp::rules::multiply(V, T), code::operands_differ));
static_assert(refused(sp::rules::multiply(V, K), code::operands_differ));
static_assert(refused(sp::rules::multiply(V, M), code::operands_differ));
// products: Partial with each, both operands carrying all dimensions
static_assert(refused(sp::rules::multiply(P, I), code::partial_with_whole));
static_assert(gives(sp::rules::multiply(P, R), P));
static_assert(refused(sp::rules::multiply(P, V), code::partial_with_whole));
static_assert(refused(sp::rules::multiply(P, P), code::nonlinear_partial));
static_assert(refused(sp::rules::multiply(P, S), code::partial_with_whole));
static_assert(refused(sp::rules::multiply(P, T), code::partial_with_whole));
static_assert(refused(sp::rules::multiply(P, K), code::partial_with_whole));
static_assert(refused(sp::rules::multiply(P, M), code::partial_with_whole));
// products: Shard with each, both operands carrying all dimensions
static_assert(refused(sp::rules::multiply(S, I), code::needs_shard));
static_assert(refused(sp::rules::multiply(S, R), code::operands_differ));
static_assert(refused(sp::rules::multiply(S, V), code::operands_differ));
static_assert(refused(sp::rules::multiply(S, P), code::partial_with_whole));
static_assert(gives(sp::rules::multiply(S, S), S));
static_assert(refused(sp::rules::multiply(S, T), code::operands_differ));
static_assert(refused(sp::rules::multiply(S, K), code::operands_differ));
static_assert(refused(sp::rules::multiply(S, M), code::operands_differ));
// products: Shard of another dimension with each, both operands carrying all dimensions
static_assert(refused(sp::rules::multiply(T, I), code::needs_shard));
static_assert(refused(sp::rules::multiply(T, R), code::operands_differ));
static_assert(refused(sp::rules::multiply(T, V), code::operands_differ));
static_assert(refused(sp::rules::multiply(T, P), code::partial_with_whole));
static_assert(refused(sp::rules::multiply(T, S), code::operands_differ));
static_assert(gives(sp::rules::multiply(T, T), T));
static_assert(refused(sp::rules::multiply(T, K), code::operands_differ));
static_assert(refused(sp::rules::multiply(T, M), code::operands_differ));
// products: PackedShard with each, both operands carrying all dimensions
static_assert(refused(sp::rules::multiply(K, I), code::needs_shard));
static_assert(refused(sp::rules::multiply(K, R), code::operands_differ));
static_assert(refused(sp::rules::multiply(K, V), code::operands_differ));
static_assert(refused(sp::rules::multiply(K, P), code::partial_with_whole));
static_assert(refused(sp::rules::multiply(K, S), code::operands_differ));
static_assert(refused(sp::rules::multiply(K, T), code::operands_differ));
static_assert(gives(sp::rules::multiply(K, K), K));
static_assert(refused(sp::rules::multiply(K, M), code::operands_differ));
// products: a product with each, both operands carrying all dimensions
static_assert(refused(sp::rules::multiply(M, I), code::operands_differ));
static_assert(refused(sp::rules::multiply(M, R), code::operands_differ));
static_assert(refused(sp::rules::multiply(M, V), code::operands_differ));
static_assert(refused(sp::rules::multiply(M, P), code::partial_with_whole));
static_assert(refused(sp::rules::multiply(M, S), code::operands_differ));
static_assert(refused(sp::rules::multiply(M, T), code::operands_differ));
static_assert(refused(sp::rules::multiply(M, K), code::operands_differ));
static_assert(gives(sp::rules::multiply(M, M), M));
// products with an operand that lacks the dimension the other is cut on: a Replicate one may meet it, an Invariant one lacks f
static_assert(gives(sp::rules::multiply(R, S, false, true), S));
static_assert(gives(sp::rules::multiply(S, R, true, false), S));
static_assert(gives(sp::rules::multiply(R, T, false, true), T));
static_assert(gives(sp::rules::multiply(T, R, true, false), T));
static_assert(gives(sp::rules::multiply(R, K, false, true), K));
static_assert(gives(sp::rules::multiply(K, R, true, false), K));
static_assert(refused(sp::rules::multiply(I, S, false, true), code::needs_f));
static_assert(refused(sp::rules::multiply(S, I, true, false), code::needs_f));
static_assert(refused(sp::rules::multiply(I, T, false, true), code::needs_f));
static_assert(refused(sp::rules::multiply(T, I, true, false), code::needs_f));
static_assert(refused(sp::rules::multiply(I, K, false, true), code::needs_f));
static_assert(refused(sp::rules::multiply(K, I, true, false), code::needs_f));
// sums and products do not care about the order of their operands
constexpr placement every_placement[] = {I, R, V, P, S, T, K, M};
constexpr bool symmetric() {
  for (auto a : every_placement) for (auto b : every_placement) for (bool x : {false, true}) for (bool y : {false, true}) {
    const auto s = sp::rules::add(a, b, x, y), t = sp::rules::add(b, a, y, x), p = sp::rules::multiply(a, b, x, y), q = sp::rules::multiply(b, a, y, x);
    if (s.broken != t.broken || (s.ok() && !(s.to == t.to)) || p.broken != q.broken || (p.ok() && !(p.to == q.to))) return false;
  }
  return true;
}
static_assert(symmetric());
// a Partial never passes a nonlinear operation, nor meets what is not Partial in a sum
constexpr bool partials_stay_apart() {
  for (auto a : every_placement) if (!(a == P) && (sp::rules::add(a, P).ok() || sp::rules::add(P, a).ok())) return false;
  return !sp::rules::nonlinear(P).ok() && !sp::rules::multiply(P, P).ok();
}
static_assert(partials_stay_apart());
// an Invariant meets only its like
constexpr bool invariants_stay_apart() {
  for (auto a : every_placement) if (!(a == I) && (sp::rules::add(a, I).ok() || sp::rules::multiply(I, a).ok())) return false;
  return true;
}
static_assert(invariants_stay_apart());

// ---- contraction of x over hidden with a weight stored [out, in] ------------------------------------------------------------
constexpr sp::outcome contract(placement x, placement weight) { return sp::rules::contract(x, weight, &sp::info<hidden>); }
constexpr placement H = shard<hidden>, Q = packed<kv_a>;                  // x cut along what is summed; x cut along parts of something else
constexpr placement O = shard<sp::out<ffn>>, N = shard<sp::in<hidden>>, G = packed<sp::out<gate_up>>, E = packed<sp::in<gate_up>>;
// a weight sharded along its outputs (colwise): only a Replicate input
static_assert(refused(contract(I, O), code::needs_f));
static_assert(gives(contract(R, O), shard<ffn>));
static_assert(refused(contract(V, O), code::operands_differ));
static_assert(refused(contract(P, O), code::nonlinear_partial));
static_assert(refused(contract(H, O), code::contraction));
static_assert(refused(contract(T, O), code::operands_differ));
static_assert(refused(contract(Q, O), code::operands_differ));
static_assert(refused(contract(M, O), code::operands_differ));
// a packed one likewise
static_assert(refused(contract(I, G), code::needs_f));
static_assert(gives(contract(R, G), packed<gate_up>));
static_assert(refused(contract(V, G), code::operands_differ));
static_assert(refused(contract(P, G), code::nonlinear_partial));
static_assert(refused(contract(H, G), code::contraction));
static_assert(refused(contract(T, G), code::operands_differ));
static_assert(refused(contract(Q, G), code::operands_differ));
static_assert(refused(contract(M, G), code::operands_differ));
// a weight sharded along its inputs (rowwise): only the matching shard, and the result is pending
static_assert(refused(contract(I, N), code::contraction));
static_assert(refused(contract(R, N), code::contraction));
static_assert(refused(contract(V, N), code::contraction));
static_assert(refused(contract(P, N), code::nonlinear_partial));
static_assert(gives(contract(H, N), P));
static_assert(refused(contract(T, N), code::contraction));
static_assert(refused(contract(Q, N), code::contraction));
static_assert(refused(contract(M, N), code::operands_differ));
// a whole weight: only a whole input
static_assert(gives(contract(I, I), I));
static_assert(refused(contract(R, I), code::drifting_parameter));
static_assert(refused(contract(V, I), code::drifting_parameter));
static_assert(refused(contract(P, I), code::partial_with_whole));
static_assert(refused(contract(H, I), code::shard_into_replicated));
static_assert(refused(contract(T, I), code::drifting_parameter));
static_assert(refused(contract(Q, I), code::drifting_parameter));
static_assert(refused(contract(M, I), code::operands_differ));
// a weight behind f: linear in x wherever x is not summed over its cut
static_assert(refused(contract(I, R), code::needs_f));
static_assert(gives(contract(R, R), R));
static_assert(gives(contract(V, R), V));
static_assert(gives(contract(P, R), P));
static_assert(refused(contract(H, R), code::contraction));
static_assert(gives(contract(T, R), T));
static_assert(gives(contract(Q, R), Q));
static_assert(refused(contract(M, R), code::operands_differ));
// a pending weight
static_assert(refused(contract(I, P), code::nonlinear_partial));
static_assert(gives(contract(R, P), P));
static_assert(refused(contract(V, P), code::nonlinear_partial));
static_assert(refused(contract(P, P), code::nonlinear_partial));
static_assert(refused(contract(H, P), code::nonlinear_partial));
static_assert(refused(contract(T, P), code::nonlinear_partial));
static_assert(refused(contract(Q, P), code::nonlinear_partial));
static_assert(refused(contract(M, P), code::operands_differ));
// a product is for split alone
static_assert(refused(contract(R, M), code::operands_differ));
// a packed input meets the weight that is packed along the same inputs
static_assert(gives(sp::rules::contract(packed<gate_up>, E, &sp::info<gate_up>), P));
static_assert(refused(sp::rules::contract(shard<gate_up>, E, &sp::info<gate_up>), code::contraction));
// a square layer: the role tells the two dimensions of one name apart
static_assert(gives(sp::rules::contract(R, shard<sp::out<hidden>>, &sp::info<hidden>), shard<hidden>));
static_assert(gives(sp::rules::contract(shard<hidden>, shard<sp::in<hidden>>, &sp::info<hidden>), P));
static_assert(refused(sp::rules::contract(shard<hidden>, shard<sp::out<hidden>>, &sp::info<hidden>), code::contraction));
static_assert(refused(sp::rules::contract(R, shard<sp::in<hidden>>, &sp::info<hidden>), code::contraction));

// ---- norm over head_dim -------------------------------------------------------------------------------------------------------
constexpr sp::outcome norm(placement x, placement weight) { return sp::rules::norm(x, weight, &sp::info<head_dim>); }
constexpr placement D = shard<head_dim>;
// a whole weight
static_assert(gives(norm(I, I), I));
static_assert(refused(norm(R, I), code::drifting_parameter));
static_assert(refused(norm(V, I), code::drifting_parameter));
static_assert(refused(norm(P, I), code::nonlinear_partial));
static_assert(refused(norm(D, I), code::reduced_over_shard));
static_assert(refused(norm(T, I), code::drifting_parameter));
static_assert(refused(norm(K, I), code::drifting_parameter));
static_assert(refused(norm(M, I), code::operands_differ));
// a weight behind f
static_assert(refused(norm(I, R), code::needs_f));
static_assert(gives(norm(R, R), R));
static_assert(gives(norm(V, R), V));
static_assert(refused(norm(P, R), code::nonlinear_partial));
static_assert(refused(norm(D, R), code::reduced_over_shard));
static_assert(gives(norm(T, R), T));
static_assert(gives(norm(K, R), K));
static_assert(refused(norm(M, R), code::operands_differ));
// a sharded weight
static_assert(refused(norm(I, D), code::operands_differ));
static_assert(refused(norm(R, D), code::operands_differ));
static_assert(refused(norm(V, D), code::operands_differ));
static_assert(refused(norm(P, D), code::nonlinear_partial));
static_assert(refused(norm(D, D), code::reduced_over_shard));
static_assert(refused(norm(T, D), code::operands_differ));
static_assert(refused(norm(K, D), code::operands_differ));
static_assert(refused(norm(M, D), code::operands_differ));
// softmax and the like over seq: not where seq is cut, nor on a pending sum
static_assert(gives(sp::rules::over(I, &sp::info<seq>), I));
static_assert(gives(sp::rules::over(R, &sp::info<seq>), R));
static_assert(gives(sp::rules::over(V, &sp::info<seq>), V));
static_assert(refused(sp::rules::over(P, &sp::info<seq>), code::nonlinear_partial));
static_assert(gives(sp::rules::over(S, &sp::info<seq>), S));
static_assert(refused(sp::rules::over(T, &sp::info<seq>), code::reduced_over_shard));
static_assert(gives(sp::rules::over(K, &sp::info<seq>), K));
static_assert(gives(sp::rules::over(M, &sp::info<seq>), M));
static_assert(refused(sp::rules::over(M, &sp::info<kv_a>), code::reduced_over_shard));              // its parts are placed apart
// rotation: linear, but not along a cut head
static_assert(gives(sp::rules::rotation(I, &sp::info<head_dim>), I));
static_assert(gives(sp::rules::rotation(R, &sp::info<head_dim>), R));
static_assert(gives(sp::rules::rotation(V, &sp::info<head_dim>), V));
static_assert(gives(sp::rules::rotation(P, &sp::info<head_dim>), P));
static_assert(gives(sp::rules::rotation(S, &sp::info<head_dim>), S));
static_assert(gives(sp::rules::rotation(T, &sp::info<head_dim>), T));
static_assert(gives(sp::rules::rotation(K, &sp::info<head_dim>), K));
static_assert(gives(sp::rules::rotation(M, &sp::info<head_dim>), M));
static_assert(refused(sp::rules::rotation(shard<head_dim>, &sp::info<head_dim>), code::head_cut));
static_assert(gives(sp::rules::rotation(shard<q_heads>, &sp::info<head_dim>), shard<q_heads>));

// ---- lookup of ids in a table [rows, width] --------------------------------------------------------------------------------
constexpr placement rows = shard<sp::rows<vocab>>, columns = shard<sp::width<hidden>>;
static_assert(gives(sp::rules::lookup(I, I), I));
static_assert(gives(sp::rules::lookup(I, rows), P));
static_assert(gives(sp::rules::lookup(I, columns), shard<hidden>));
static_assert(gives(sp::rules::lookup(R, R), R));
static_assert(gives(sp::rules::lookup(R, rows), P));
static_assert(gives(sp::rules::lookup(shard<batch>, R), shard<batch>));
static_assert(gives(sp::rules::lookup(V, R), V));
static_assert(refused(sp::rules::lookup(I, R), code::operands_differ));
static_assert(refused(sp::rules::lookup(shard<batch>, I), code::drifting_parameter));
static_assert(refused(sp::rules::lookup(shard<batch>, rows), code::operands_differ));
static_assert(refused(sp::rules::lookup(P, I), code::nonlinear_partial));

// ---- attention ----------------------------------------------------------------------------------------------------------------
constexpr sp::outcome attention(placement q, placement k, placement v) {
  return sp::rules::attention(q, k, v, &sp::info<q_heads>, &sp::info<kv_heads>, &sp::info<seq>, &sp::info<head_dim>);
}
constexpr placement q = shard<q_heads>, kv = shard<kv_heads>, b = shard<batch>;
// heads cut alike, rows cut alike, or whole alike
static_assert(gives(attention(q, kv, kv), q));
static_assert(gives(attention(b, b, b), b));
static_assert(gives(attention(I, I, I), I));
static_assert(gives(attention(R, R, R), R));
static_assert(gives(attention(V, V, V), V));
// query heads that follow no group, or another one, do not find their keys
struct loose_heads : sp::dim<4> {};
constexpr placement loose = shard<loose_heads>;
static_assert(refused(sp::rules::attention(loose, kv, kv, &sp::info<loose_heads>, &sp::info<kv_heads>, &sp::info<seq>, &sp::info<head_dim>), code::heads_not_grouped));
static_assert(refused(sp::rules::attention(q, loose, loose, &sp::info<q_heads>, &sp::info<loose_heads>, &sp::info<seq>, &sp::info<head_dim>), code::heads_not_grouped));
static_assert(gives(sp::rules::attention(loose, loose, loose, &sp::info<loose_heads>, &sp::info<loose_heads>, &sp::info<seq>, &sp::info<head_dim>), loose));
// keys and values must agree
constexpr placement parts_apart = sp::product<gate_up, sp::invariant, sp::replicate>::value;
static_assert(refused(attention(parts_apart, I, I), code::operands_differ));     // on either side
static_assert(refused(attention(I, parts_apart, parts_apart), code::operands_differ));
static_assert(refused(attention(parts_apart, parts_apart, parts_apart), code::operands_differ));
static_assert(refused(attention(q, kv, I), code::heads_differ));
static_assert(refused(attention(q, I, kv), code::heads_differ));
static_assert(refused(attention(I, I, R), code::heads_differ));
// queries cut, keys whole; and the reverse
static_assert(refused(attention(q, I, I), code::heads_differ));
static_assert(refused(attention(q, R, R), code::heads_differ));
static_assert(refused(attention(I, kv, kv), code::heads_differ));
static_assert(refused(attention(R, kv, kv), code::heads_differ));
static_assert(refused(attention(b, I, I), code::heads_differ));
// swapped
static_assert(refused(attention(kv, q, q), code::heads_differ));
// one whole operand lacks f
static_assert(refused(attention(I, R, R), code::needs_f));
static_assert(refused(attention(R, I, I), code::needs_f));
// keys cut along the sequence; a cut inside a head; pending sums; products
static_assert(refused(attention(I, T, T), code::reduced_over_shard));
static_assert(refused(attention(T, T, T), code::reduced_over_shard));
static_assert(refused(attention(shard<head_dim>, shard<head_dim>, shard<head_dim>), code::head_cut));
static_assert(refused(attention(P, kv, kv), code::nonlinear_partial));
static_assert(refused(attention(q, P, P), code::nonlinear_partial));
static_assert(refused(attention(q, kv, P), code::nonlinear_partial));
static_assert(refused(attention(M, M, M), code::operands_differ));

// ---- split --------------------------------------------------------------------------------------------------------------------
static_assert(gives(sp::rules::part(packed<gate_up>, &sp::info<gate_up>, 0), S));
static_assert(gives(sp::rules::part(packed<gate_up>, &sp::info<gate_up>, 1), S));
static_assert(gives(sp::rules::part(packed<kv_a>, &sp::info<kv_a>, 0), shard<latent>));
static_assert(gives(sp::rules::part(packed<kv_a>, &sp::info<kv_a>, 1), shard<head_dim>));
static_assert(gives(sp::rules::part(M, &sp::info<kv_a>, 0), I));
static_assert(gives(sp::rules::part(M, &sp::info<kv_a>, 1), R));
static_assert(gives(sp::rules::part(I, &sp::info<gate_up>, 1), I));
static_assert(gives(sp::rules::part(R, &sp::info<gate_up>, 1), R));
static_assert(gives(sp::rules::part(P, &sp::info<gate_up>, 0), P));
static_assert(gives(sp::rules::part(shard<batch>, &sp::info<gate_up>, 0), shard<batch>));
static_assert(refused(sp::rules::part(shard<gate_up>, &sp::info<gate_up>, 0), code::split_needs_packed));
static_assert(refused(sp::rules::part(shard<gate_up>, &sp::info<gate_up>, 1), code::split_needs_packed));

// ---- loss ---------------------------------------------------------------------------------------------------------------------
constexpr sp::outcome loss(placement logits, placement labels) { return sp::rules::cross_entropy(logits, labels, &sp::info<vocab>); }
static_assert(gives(loss(I, I), I));
static_assert(gives(loss(shard<vocab>, I), I));
static_assert(gives(loss(shard<vocab>, R), I));
static_assert(gives(loss(R, I), R));
static_assert(gives(loss(b, b), P));
static_assert(refused(loss(P, I), code::nonlinear_partial));
static_assert(refused(loss(V, I), code::operands_differ));
static_assert(refused(loss(b, I), code::operands_differ));
static_assert(refused(loss(I, b), code::operands_differ));
static_assert(refused(loss(b, T), code::operands_differ));
// backward starts from a whole loss on tp, and from a whole or pending one on the other axes
static_assert( sp::rules::loss_like(I, 0));
static_assert(!sp::rules::loss_like(P, 0));
static_assert(!sp::rules::loss_like(R, 0));
static_assert(!sp::rules::loss_like(V, 0));
static_assert(!sp::rules::loss_like(S, 0));
static_assert( sp::rules::loss_like(I, 1));
static_assert( sp::rules::loss_like(P, 1));
static_assert(!sp::rules::loss_like(R, 1));
static_assert(!sp::rules::loss_like(V, 1));
static_assert(!sp::rules::loss_like(b, 1));

// ---- the input of a layer: one sentence per case ----------------------------------------------------------------------------------
constexpr code fed(placement want, placement is) { return sp::rules::fed_instead(want, is, &sp::info<ffn>); }
static_assert(fed(S, S) == code::ok);
static_assert(fed(I, I) == code::ok);
static_assert(fed(S, I) == code::whole_into_rowwise);
static_assert(fed(S, R) == code::whole_into_rowwise);
static_assert(fed(I, S) == code::shard_into_colwise);
static_assert(fed(I, T) == code::input_placement);
static_assert(fed(I, R) == code::input_placement);
static_assert(fed(S, T) == code::input_placement);
static_assert(fed(S, V) == code::input_placement);
static_assert(fed(I, V) == code::input_placement);
static_assert(fed(shard<gate_up>, packed<gate_up>) == code::fused_into_rowwise);
static_assert(fed(I, P) == code::partial_into_layer);
static_assert(fed(S, P) == code::partial_into_layer);
static_assert(fed(I, M) == code::input_placement);

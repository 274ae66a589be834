#pragma once
/// @file
/// Causal grouped-query attention, sharded by heads without communication.
///
///     auto y = sp::attention(q, cache.extend(k, v));                           // q (batch, seq, q_heads/tp, head_dim)
///     auto y = sp::attention(q, cache.extend(k, v), {.window = 4096});         // k, v (batch, keys, kv_heads/tp, head_dim)
///     auto y = sp::attention(q, cache.extend(k, v), {.softcap = 50}, sinks);   // sinks [q_heads/tp]: a learned logit per head
///
/// KV heads that outnumbering ranks hold in copies are read where they lie; query head h reads KV head h / group, globally.
#include <shardproof/tensor/ops/arithmetic.hpp>
namespace shardproof {

/// Keys and values, this step's and the cached ones.
template <class K, class V> struct key_value {
  K k;
  V v;
  const node* counted = nullptr;                       ///< of a cache with room: i64, its second element says how many of the keys are there
};
template <class T> inline constexpr bool is_key_value = false;
template <class K, class V> inline constexpr bool is_key_value<key_value<K, V>> = true;

/// Which keys a query sees, and how scores are scaled; plain data, so that layers may differ.
struct mask {
  long window = 0;                                     ///< keys visible, the query's own included; 0: all earlier ones
  long chunk = 0;                                      ///< only keys of the same position / chunk; 0: all
  double scale = 0;                                    ///< of the scores; 0: head_dim^-1/2
  double softcap = 0;                                  ///< c tanh(score / c) before the softmax; 0: none
  bool causal = true;
  constexpr bool operator==(const mask&) const = default;
};

namespace erased {
struct attention_state { mask m; long kv_first, group; bool sinks; std::int64_t* length; };
inline attention_args arguments(const attention_state& z, const view& q, const view& k, const view& v) {
  attention_args a;
  a.q = q; a.k = k; a.v = v;
  a.scale = z.m.scale; a.softcap = z.m.softcap; a.window = z.m.window; a.chunk = z.m.chunk; a.causal = z.m.causal;
  a.kv_first = z.kv_first; a.group = z.group;
  if (z.length) a.length = {z.length, dtype::i64, {1}};
  return a;
}
inline void pull_attention(node& y) {
  const auto& z = state_of<attention_state>(y);
  node &q = *y.in[0], &k = *y.in[1], &v = *y.in[2];
  attention_args a = arguments(z, q.v(), k.v(), v.v());
  a.y = y.v();
  a.log_sum = y.saved[0]->v();
  a.dy = y.g();
  if (q.tracked) a.dq = q.g();
  if (k.tracked) a.dk = k.g();
  if (v.tracked) a.dv = v.g();
  if (z.sinks) { a.sinks = y.in[3]->v(); if (y.in[3]->tracked) a.dsinks = y.in[3]->g(); }
  device().attention_backward(a);
}
inline ref attention(const ref& q0, const ref& k0, const ref& v0, const ref& sinks0, const shape& s, const mask& m, long kv_first, long group, const node* counted) {
  const ref q = widened(q0), k = widened(k0), v = widened(v0), sinks = sinks0 ? widened(sinks0) : ref{};
  const attention_state z{m, kv_first, group, bool(sinks), counted && !self.dry ? static_cast<std::int64_t*>(counted->data.get()) + 1 : nullptr};
  ref y = record(q->type, s, {&q, &k, &v, &sinks}, pull_attention, z);
  if (y->tracked) y->saved[0] = leaf(q->type, {q->s[0], q->s[2], q->s[1]});
  if (live(y)) {
    attention_args a = arguments(z, q->v(), k->v(), v->v());
    a.y = y->v();
    if (y->tracked) a.log_sum = y->saved[0]->v();
    if (sinks) a.sinks = sinks->v();
    device().attention(a);
  }
  return y;
}
}  // namespace erased

namespace operations {
[[gnu::cold, noreturn]] inline void refuse_heads(long heads, long kv_heads) {
  text_line t;
  t << "attention is given " << heads << " query heads and " << kv_heads << " key/value heads.";
  throw error(code::usage, t.view(), "give as many query heads as key/value heads, or a multiple of them.");
}
template <class Heads, class KvHeads, class Keys, class Features> struct attention {
  using reported_as = attention;
  static constexpr bool extents_may_differ = true;     ///< there are more keys than queries behind a cache
  double keys = 0, head_dim = 0;
  mask m;
  long heads = 0, kv_heads = 0;                        ///< global
  const extent_table* table = nullptr;
  const node* counted = nullptr;
  static constexpr outcome rule(placement q, placement k, placement v) { return rules::attention(q, k, v, &info<Heads>, &info<KvHeads>, &info<Keys>, &info<Features>); }
  static constexpr outcome rule(placement q, placement k, placement v, placement sinks) {
    const outcome o = rule(q, k, v);
    const bool heads_are_cut = q.splits() && q.d == &info<Heads>;
    if (!o.ok() || sinks == q || (sinks.k == kind::replicate && !heads_are_cut && q.k != kind::invariant)) return o;
    return {q.rank_dependent() && sinks.k == kind::invariant ? code::drifting_parameter : code::heads_differ, q};
  }
  constexpr void charge(bill& b) const { b.flops(4 * (m.window && double(m.window) < keys ? double(m.window) : keys), 10 * keys); }
  ref run(const shape& s, const auto& q, const auto& k, const auto& v, const auto&... sinks) const {
    if (kv_heads > 0 && heads % kv_heads) refuse_heads(heads, kv_heads);
    const long group = kv_heads > 0 ? heads / kv_heads : 1;
    long first = 0;
    const placement p = q.place().on[0];
    if (p.splits() && p.d == &info<Heads>) first = block_of(p.d, heads, rank_on(), ranks_on(), table).begin;
    ref sink;
    ((sink = sinks.at), ...);
    return erased::attention(q.at, k.at, v.at, sink, s, m, first, group, counted);
  }
};
// Facts of SP114.
struct attention_call;
struct queries;
struct keys;
struct values;
}  // namespace operations

/// softmax(q k^T * scale) v with the mask. @error SP101 heads placed differently; SP103 Partial; SP301 whole sinks on sharded heads.
template <tensor_like Q, class KV, class... Sinks> requires is_key_value<KV>
constexpr auto attention(const Q& q, const KV& kv, const mask& m = {}, const Sinks&... sinks) {
  if constexpr (any_broken<Q, decltype(kv.k), decltype(kv.v)>) return broken{};
  else {
    using k_dims = dims_in<decltype(kv.k)>;
    using heads = nth_dim<dims_in<Q>, -2>;
    using kv_heads = nth_dim<k_dims, -2>;
    using op = operations::attention<heads, kv_heads, nth_dim<k_dims, -3>, last_of<dims_in<Q>>>;
    constexpr std::size_t n = std::size_t(dims_in<Q>::rank);
    using to = concat<chop<dims_in<Q>, 1>, dims<last_of<dims_in<decltype(kv.v)>>>>;
    sizes_of<to> s;
    copy_sizes(s, q.sizes);
    s.n[n - 1] = kv.v.sizes.n[n - 1];
    if (!s.table) s.table = kv.k.sizes.table;
    return apply<free_operation<op>, to>::op(
        op{double(kv.k.sizes.n[n - 3]), double(q.sizes.n[n - 1]), m, q.sizes.n[n - 2], kv.k.sizes.n[n - 2], s.table, kv.counted}, s, q, kv.k, kv.v, sinks.seen_by(q)...);
  }
}
template <class Q, class KV, class... More> requires (!(tensor_like<Q> && is_key_value<KV>))
constexpr auto attention(const Q&, const KV&, const More&...) {             // auto: nvcc then says from where it is called
  if constexpr (!any_broken<Q, KV>)
    static_assert(verdict<code::wrong_arguments, operations::attention_call, fed<Q, KV>, needs<operations::queries, key_value<operations::keys, operations::values>>>::ok);
  return broken{};
}

}  // namespace shardproof

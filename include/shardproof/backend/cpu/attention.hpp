#pragma once
/// @file
/// Attention forward: scores of a block of rows, softmax, product with the values. No more than a block's scores exist at once.
///
///     cpu::attention(args);
#include <shardproof/backend/cpu/attention_decode.hpp>
#include <shardproof/backend/cpu/attention_finish.hpp>
namespace shardproof::cpu {

namespace detail {
template <class T> void attention_as(const attention_args& a) {
  const attention_shape s(a);
  if (few_queries(s)) return attention_of_few<T>(a, s);
  const operand<T> q(a.q), k(a.k), v(a.v), sinks(a.sinks);
  for_each_block(a, s, [&](const query_block& b) {
    const long n = b.keys.to - b.keys.from, rows = b.rows();
    scratch<T> queries(rows * s.dim), scores(rows * n), result(rows * s.value_dim), share(rows);
    gather_block<T>(b, s, q.p, s.dim, T(s.scale), queries.get());
    block_scores<T>(b, s, a, queries.get(), k.p, scores.get());
    make_chances<T>(b, s, a, sinks.p, scores.get(), share.get());
    product<T>(rows, s.value_dim, n, {scores.get(), n, 1}, kv_of(b, s, v.p, s.value_dim), {result.get(), s.value_dim, 1}, false);
    write_block<T>(b, s, result.get(), share.get(), a.y.as<T>());
  });
}
/// Of a cache with room: each sequence by itself, over the keys that are there.
inline void attention_of_length(attention_args a) {
  const long n = long(*a.length.as<const std::int64_t>()), batch = a.q.s[0];
  a.length = {};
  const auto next = [](view& v) { if (v) v.p = v.as<char>() + v.bytes(); };
  for (view* v : {&a.y, &a.q, &a.k, &a.v, &a.log_sum, &a.segments}) if (*v) v->s = v->s.with(0, 1);
  for (long b = 0; b < batch; ++b) {
    attention_args one = a;
    one.k.s = one.k.s.with(1, n);
    one.v.s = one.v.s.with(1, n);
    if (one.segments) one.segments.s = one.segments.s.with(1, n);
    visit_float(one.y.type, [&](auto zero) { attention_as<decltype(zero)>(one); });
    for (view* v : {&a.y, &a.q, &a.k, &a.v, &a.log_sum, &a.segments}) next(*v);
  }
}
}  // namespace detail

inline void attention(const attention_args& a) {
  if (!a.y.count()) return;
  if (a.length) return detail::attention_of_length(a);
  visit_float(a.y.type, [&](auto zero) { detail::attention_as<decltype(zero)>(a); });
}

}  // namespace shardproof::cpu

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
}  // namespace detail

inline void attention(const attention_args& a) {
  if (!a.y.count()) return;
  visit_float(a.y.type, [&](auto zero) { detail::attention_as<decltype(zero)>(a); });
}

}  // namespace shardproof::cpu

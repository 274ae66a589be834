#pragma once
/// @file
/// Attention of few queries over many keys, as in decoding: keys and values are read once, in the order in which they lie.
///
///     if (few_queries(shape)) attention_of_few<float>(args, shape);
///
/// Head by head, a cache of [keys, heads, dim] would be read in pieces of one head's features, which the processor does not
/// foresee. So the keys are taken in chunks that stay in the
/// second-level cache, each fetched as one stream, and all heads of a chunk are done before the next.
#include <vector>
#include <shardproof/backend/cpu/attention_finish.hpp>
namespace shardproof::cpu {

namespace detail {
inline constexpr long few = 8;
inline constexpr long bytes_of_chunk = 128 << 10;

/// Brings n adjacent values into the cache; loads, since the processor's own prefetching runs ahead of those alone.
template <class T> void fetch(const T* p, long n) {
  constexpr long line = 64 / long(sizeof(T));
  for (long i = 0; i < n; i += line) (void)*static_cast<const volatile T*>(p + i);
}
}  // namespace detail

inline bool few_queries(const attention_shape& s) { return s.seq <= detail::few && s.kv_heads > 1; }

template <class T> void attention_of_few(const attention_args& a, const attention_shape& s) {
  using namespace detail;
  const operand<T> q(a.q), k(a.k), v(a.v), sinks(a.sinks);
  // The blocks of one sequence: one for each KV head, of all queries.
  std::vector<query_block> blocks;
  std::vector<long> first_row;
  const auto of_sequence = [&] {
    long rows = 0;
    key_range all = blocks[0].keys;
    for (const query_block& b : blocks) {
      first_row.push_back(rows);
      rows += b.rows();
      if (all.empty()) all = b.keys;
      else if (!b.keys.empty()) all = {std::min(all.from, b.keys.from), std::max(all.to, b.keys.to)};
    }
    const long n = all.to - all.from;
    scratch<T> queries(rows * s.dim), scores(rows * n), result(rows * s.value_dim), share(rows);
    if (n == 0) std::fill_n(result.get(), rows * s.value_dim, T(0));
    const auto chunks = [&](const T* p, long width, auto&& each) {
      const long row = s.kv_heads * width, step = std::max(16l, bytes_of_chunk / std::max(1l, row * long(sizeof(T))) / 16 * 16);
      for (long j = all.from; j < all.to; j += step) {
        const long end = std::min(all.to, j + step);
        fetch(p + (blocks[0].batch * s.keys + j) * row, (end - j) * row);
        for (std::size_t i = 0; i < blocks.size(); ++i) {
          const query_block& b = blocks[i];
          each(b, first_row[i], j, end - j, matrix<const T>{p + ((b.batch * s.keys + j) * s.kv_heads + b.kv_head) * width, row, 1});
        }
      }
    };
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      blocks[i].keys = all;
      gather_block<T>(blocks[i], s, q.p, s.dim, T(s.scale), queries.get() + first_row[i] * s.dim);
    }
    chunks(k.p, s.dim, [&](const query_block& b, long row, long j, long count, const matrix<const T>& keys) {
      product<T>(b.rows(), count, s.dim, {queries.get() + row * s.dim, s.dim, 1}, keys.transposed(), {scores.get() + row * n + j - all.from, n, 1}, false);
    });
    cap_scores<T>(a, scores.get(), rows * n);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      T* const mine = scores.get() + first_row[i] * n;
      make_chances<T>(blocks[i], s, a, sinks.p, mine, share.get() + first_row[i]);
    }
    chunks(v.p, s.value_dim, [&](const query_block& b, long row, long j, long count, const matrix<const T>& values) {
      product<T>(b.rows(), s.value_dim, count, {scores.get() + row * n + j - all.from, n, 1}, values, {result.get() + row * s.value_dim, s.value_dim, 1}, j > all.from);
    });
    for (std::size_t i = 0; i < blocks.size(); ++i)
      write_block<T>(blocks[i], s, result.get() + first_row[i] * s.value_dim, share.get() + first_row[i], a.y.as<T>());
    blocks.clear();
    first_row.clear();
  };
  for_each_block(a, s, [&](const query_block& b) {
    if (!blocks.empty() && blocks[0].batch != b.batch) of_sequence();
    blocks.push_back(b);
  });
  if (!blocks.empty()) of_sequence();
}

}  // namespace shardproof::cpu

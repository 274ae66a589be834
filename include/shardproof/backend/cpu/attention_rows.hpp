#pragma once
/// @file
/// What attention's forward and backward share: the blocks of query rows, the keys each row sees, the scores of a block.
///
///     for_each_block(args, [&](const block& b) { ... });     // rows of one sequence, one KV head, some positions
///
/// All query heads of a KV head are rows of one block: their scores are one matrix product, and the keys are read once.
#include <algorithm>
#include <shardproof/backend/cpu/math.hpp>
#include <shardproof/backend/cpu/operand.hpp>
#include <shardproof/backend/cpu/product.hpp>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cpu {

/// Half-open range of keys.
struct key_range {
  long from = 0, to = 0;
  bool empty() const { return from >= to; }
};

/// The extents of an attention, from its views.
struct attention_shape {
  long batch, seq, heads, dim, keys, kv_heads, value_dim;
  double scale;
  explicit attention_shape(const attention_args& a)
      : batch(a.q.s[0]), seq(a.q.s[1]), heads(a.q.s[2]), dim(a.q.s[3]), keys(a.k.s[1]), kv_heads(a.k.s[2]), value_dim(a.v.s[3]),
        scale(a.scale != 0 ? a.scale : dim ? 1 / std::sqrt(double(dim)) : 1) {}
};

/// Keys that query i sees by causality, window and chunk. Without causality a window reaches equally far to both sides.
inline key_range visible_keys(const attention_args& a, const attention_shape& s, long i) {
  const long at = s.keys - s.seq + i;
  key_range r{0, a.causal ? std::min(at + 1, s.keys) : s.keys};
  if (a.window > 0) {
    r.from = std::max(r.from, at - a.window + 1);
    r.to = std::min(r.to, at + a.window);
  }
  if (a.chunk > 0) {
    const long absolute = a.position + at, start = absolute - ((absolute % a.chunk) + a.chunk) % a.chunk - a.position;
    r.from = std::max(r.from, start);
    r.to = std::min(r.to, start + a.chunk);
  }
  return r.empty() ? key_range{} : r;
}

/// Rows of one block: positions [first, last) of the sequence, times query heads [head, head + heads) of one KV head.
/// Row (i - first) * heads + h is head `head + h` of query i.
struct query_block {
  long batch = 0, kv_head = 0, head = 0, heads = 0, first = 0, last = 0;
  key_range keys;                                       ///< what any of the rows sees
  long rows() const { return (last - first) * heads; }
};

/// Blocks in a fixed order; together they hold each (batch, head, query) once.
template <class F> void for_each_block(const attention_args& a, const attention_shape& s, F&& f) {
  // Two or three panels of rows fill the tiles; fewer if the scores of a block would leave the cache.
  const long most_rows = std::clamp(262144 / std::max(s.keys, 1l), 48l, 144l);
  for (long b = 0; b < s.batch; ++b)
    for (long h = 0; h < s.heads;) {
      query_block block;
      block.batch = b;
      block.head = h;
      block.kv_head = (a.kv_first + h) / a.group - a.kv_first / a.group;
      while (h < s.heads && (a.kv_first + h) / a.group - a.kv_first / a.group == block.kv_head) ++h;
      block.heads = h - block.head;
      const long step = std::max(1l, most_rows / block.heads);
      for (long i = 0; i < s.seq; i += step) {
        block.first = i;
        block.last = std::min(s.seq, i + step);
        block.keys = {};
        for (long j = i; j < block.last; ++j) {
          const key_range r = visible_keys(a, s, j), all = block.keys;
          if (!r.empty()) block.keys = all.empty() ? r : key_range{std::min(all.from, r.from), std::max(all.to, r.to)};
        }
        f(static_cast<const query_block&>(block));
      }
    }
}

/// The rows of a block in [batch, seq, heads, width]: gathered to adjacent rows, or added back.
template <class T> void gather_block(const query_block& b, const attention_shape& s, const T* from, long width, T scale, T* to) {
  for (long i = b.first; i < b.last; ++i)
    map<T>(to + (i - b.first) * b.heads * width, b.heads * width, [scale](const vec<T>& x) -> vec<T> { return x * scale; },
           from + ((b.batch * s.seq + i) * s.heads + b.head) * width);
}

/// The keys or values of a block's KV head, from key `b.keys.from` on: [keys, width].
template <class T> matrix<T> kv_of(const query_block& b, const attention_shape& s, T* p, long width) {
  return {p + ((b.batch * s.keys + b.keys.from) * s.kv_heads + b.kv_head) * width, s.kv_heads * width, 1};
}

template <class T> void cap_scores(const attention_args& a, T* scores, long n) {
  if (a.softcap == 0) return;
  const T c = T(a.softcap);
  map<T>(scores, n, [c](const vec<T>& x) -> vec<T> { return c * tanh(vec<T>(x / c)); }, scores);
}

/// scores[row, key] = q . k (q already scaled), then the cap.
template <class T> void block_scores(const query_block& b, const attention_shape& s, const attention_args& a, const T* q, const T* k, T* scores) {
  const long n = b.keys.to - b.keys.from;
  product<T>(b.rows(), n, s.dim, {q, s.dim, 1}, kv_of(b, s, k, s.dim).transposed(), {scores, n, 1}, false);
  cap_scores<T>(a, scores, b.rows() * n);
}

/// Calls f(row, head, query, range, scores of the row from `range.from` on) for each row of a block. Scores of keys in the range
/// that another segment hides are -infinity, and the range is empty if nothing is seen.
template <class T, class F> void for_each_row(const query_block& b, const attention_shape& s, const attention_args& a, T* scores, F&& f) {
  const long n = b.keys.to - b.keys.from;
  for (long i = b.first; i < b.last; ++i) {
    key_range seen = visible_keys(a, s, i);
    const std::int32_t* segment = nullptr;
    std::int32_t mine = 0;
    if (a.segments) {
      segment = a.segments.as<const std::int32_t>() + b.batch * s.keys;
      const long at = s.keys - s.seq + i;
      mine = at < 0 ? -1 : segment[at];
      if (mine < 0) seen = {};
      while (!seen.empty() && segment[seen.from] != mine) ++seen.from;
      while (!seen.empty() && segment[seen.to - 1] != mine) --seen.to;
    }
    for (long h = 0; h < b.heads; ++h) {
      const long row = (i - b.first) * b.heads + h;
      T* const mine_from = scores + row * n + (seen.empty() ? 0 : seen.from - b.keys.from);
      if (segment)
        for (long j = seen.from; j < seen.to; ++j)
          if (segment[j] != mine) mine_from[j - seen.from] = -std::numeric_limits<T>::infinity();
      f(row, b.head + h, i, seen, mine_from);
    }
  }
}

/// Zeros a row of n outside `seen`.
template <class T> void clear_outside(const query_block& b, const key_range& seen, T* row) {
  const long n = b.keys.to - b.keys.from, from = seen.empty() ? n : seen.from - b.keys.from, to = seen.empty() ? n : seen.to - b.keys.from;
  std::fill(row, row + from, T(0));
  std::fill(row + to, row + n, T(0));
}

}  // namespace shardproof::cpu

#pragma once
/// @file
/// Which keys a query sees and which queries see a key, as ranges; and which query heads read a KV head.
///
///     const attention_mask m(args);  m.first_key(i), m.end_key(i);              // keys of query i, segments aside
///     m.first_query(j), m.end_query(j + 64);                                    // queries that may see any of 64 keys
///     const attention_heads h(args);  h.first(g), h.count(g);                   // query heads of KV head g
///
/// Both ends of both ranges grow with their argument, so that a tile's range is that of its first and of its last row; what a range
/// holds too much, the exact test of each row hides. A pair of a query and a key costs two comparisons, three with segments.
#include <shardproof/backend/cuda/launch.cuh>
#include <shardproof/runtime/backend.hpp>
namespace shardproof::cuda::detail {

template <class T> __host__ __device__ constexpr T lower(T a, T b) { return b < a ? b : a; }
template <class T> __host__ __device__ constexpr T upper(T a, T b) { return a < b ? b : a; }

struct attention_mask {
  long seq, keys, window, chunk, position;
  bool causal;
  explicit attention_mask(const attention_args& a)
      : seq(a.q.s[1]), keys(a.k.s[1]), window(a.window), chunk(a.chunk), position(a.position), causal(a.causal) {}

  /// The position of query i among the keys; negative where there are more queries.
  __host__ __device__ long at(long i) const { return keys - seq + i; }
  /// The first key of the chunk in which key j lies.
  __host__ __device__ long chunk_start(long j) const { return j - ((position + j) % chunk + chunk) % chunk; }

  /// Query i sees keys from first_key on, before end_key; none if that is no more. Without causality a window reaches to both sides.
  __host__ __device__ long first_key(long i) const {
    const long p = at(i);
    long from = 0;
    if (window > 0) from = upper(from, p - window + 1);
    if (chunk > 0) from = upper(from, chunk_start(p));
    return from;
  }
  __host__ __device__ long end_key(long i) const {
    const long p = at(i);
    long to = causal ? lower(p + 1, keys) : keys;
    if (window > 0) to = lower(to, p + window);
    if (chunk > 0) to = lower(to, chunk_start(p) + chunk);
    return to;
  }
  /// The same of keys: no query before first_query sees key j or a later one, none from end_query on a key before j.
  __host__ __device__ long first_query(long j) const {
    long p = at(0);
    if (causal) p = upper(p, j);
    if (window > 0) p = upper(p, j - window + 1);
    if (chunk > 0) p = upper(p, chunk_start(j));
    return p - at(0);
  }
  __host__ __device__ long end_query(long j) const {
    long p = keys;
    if (window > 0) p = lower(p, j - 1 + window);
    if (chunk > 0) p = lower(p, chunk_start(j - 1) + chunk);
    return upper(p - at(0), 0l);
  }
};

struct attention_heads {
  long heads, kv_heads, kv_first, group;
  explicit attention_heads(const attention_args& a) : heads(a.q.s[2]), kv_heads(a.k.s[2]), kv_first(a.kv_first), group(a.group) {}
  /// This rank's share may begin inside a group.
  __host__ __device__ long first(long g) const { return upper((kv_first / group + g) * group - kv_first, 0l); }
  __host__ __device__ long count(long g) const { return upper(lower((kv_first / group + g + 1) * group - kv_first, heads) - first(g), 0l); }
  long most() const { return lower(group, heads); }
};

/// A range of segment ids; ids below zero are padding, which nothing sees. Tiles whose ranges do not meet see nothing of each other.
struct segment_span {
  std::int32_t low = 0x7fffffff, high = -1;
  __device__ segment_span() {}
  __device__ segment_span(const std::int32_t* ids, long from, long to) {
    for (long j = upper(from, 0l); j < to; ++j) {
      const std::int32_t id = ids[j];
      low = id >= 0 && id < low ? id : low;
      high = id > high ? id : high;
    }
  }
  __device__ bool meets(const segment_span& o) const { return low <= o.high && o.low <= high; }
};

/// What one query sees: keys in a range and, unless `segments` is null, of its own segment.
struct sight {
  long from, to;
  std::int32_t segment;
  sight() = default;                                     ///< sight{} sees nothing
  __device__ sight(const attention_mask& m, const std::int32_t* segments, long i) : from(m.first_key(i)), to(m.end_key(i)), segment(-1) {
    if (!segments) return;
    segment = m.at(i) < 0 ? -1 : segments[m.at(i)];
    if (segment < 0) to = from;
  }
  __device__ bool sees(long j, const std::int32_t* segments) const { return j >= from && j < to && (!segments || segments[j] == segment); }
};

/// The saved logarithms of the softmax denominators, in either type; or none.
struct saved_sums {
  float* f = nullptr;
  double* d = nullptr;
  explicit saved_sums(const view& v) : f(v.type == dtype::f64 ? nullptr : v.as<float>()), d(v.type == dtype::f64 ? v.as<double>() : nullptr) {}
  __host__ __device__ explicit operator bool() const { return f || d; }
  template <class T> __device__ void put(long i, T x) const {
    if (d) d[i] = double(x);
    else if (f) f[i] = float(x);
  }
  template <class T> __device__ T get(long i) const { return d ? T(d[i]) : T(f[i]); }
};

}  // namespace shardproof::cuda::detail

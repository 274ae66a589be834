#pragma once
/// @file
/// The interface of a device: memory and about thirty kernels. Kernels see dtypes and integers, never names.
///
///     struct my_device final : sp::backend { ... };       // bring your own: implement it, pass tests/unit/backend_conformance
///     sp::register_backend(sp::device_kind::cpu, instance);
///     sp::device().fill(v, 0);
///
/// Conventions: every view is contiguous and row-major; floating results are f32 or f64 (`compute_type`), weights may also be
/// bf16 or f16 and are widened; a `d...` argument is a gradient that the kernel ADDS to unless it says otherwise, and a null
/// view there means "not wanted"; extents of zero are legal everywhere; kernels of one rank run in the order of the calls.
/// A device may queue them: only `to_host`, `read` and `synchronize` wait, so that a step never does.
#include <cstdint>
#include <span>
#include <vector>
#include <shardproof/core/error.hpp>
#include <shardproof/runtime/communicator.hpp>
#include <shardproof/runtime/shape.hpp>
namespace shardproof {

/// Elementwise functions of one argument; `p` is their parameter.
enum class unary : unsigned char {
  silu,          ///< x * sigmoid(x)
  gelu,          ///< exact, by erf
  gelu_tanh,     ///< the tanh approximation (gelu_new, gelu_pytorch_tanh)
  relu,
  squared_relu,
  sigmoid,
  tanh,
  scale,         ///< p * x
  shift,         ///< x + p
  softcap,       ///< p * tanh(x / p)
  exp,
  rsqrt,         ///< 1 / sqrt(x + p)
  at_most,       ///< min(x, p)
  clamp          ///< max(min(x, p), -p)
};

/// c[m,n] (+)= op(a) op(b). a is [m,k], or [k,m] if ta; b is [k,n], or [n,k] if tb. b alone may be bf16 or f16.
struct matmul_args {
  view a, b, c;
  long m = 0, n = 0, k = 0;
  bool ta = false, tb = false;
  bool accumulate = false;      ///< add to c instead of overwriting it
};

/// y (+)= x rotated pairwise: x is [batch, seq, heads, dim], the tables are [batch or 1, seq, rotated / 2], cos and sin of each
/// position. Only the first `rotated` features of a head turn; pairs are (j, j + rotated / 2), or (2j, 2j + 1) if interleaved.
struct rotate_args {
  view y, x, cos, sin;
  long rotated = 0;
  bool interleaved = false;
  bool inverse = false;         ///< the transpose: used by the gradient
  bool accumulate = false;
};

/// Scaled dot-product attention with grouped heads. q is [batch, seq, heads, dim], k and v are [batch, keys, kv_heads, dim]
/// (v's dim may differ; y has v's). Query i stands at position keys - seq + i; head h reads KV head `kv_of(h)`.
struct attention_args {
  view y, q, k, v;
  view log_sum;                 ///< [batch, heads, seq] f32 or f64: log of the softmax denominator, written forward, read backward
  view sinks;                   ///< [heads], joins the softmax and is dropped; or null
  view dy, dq, dk, dv, dsinks;  ///< backward only
  view segments;                ///< [batch, keys] i32: query and key see each other only if equal; a key with a negative one is padding; or null
  double scale = 0;             ///< of the scores; 0: dim^-1/2
  double softcap = 0;           ///< c * tanh(score / c) before mask and softmax; 0: none
  long window = 0;              ///< keys visible to a query, itself included; 0: all earlier ones
  long chunk = 0;               ///< keys of the same position / chunk only; 0: all
  bool causal = true;
  long kv_first = 0;            ///< which q heads share a KV head: kv head of q head h is (kv_first + h) / group - kv_first / group
  long group = 1;               ///< query heads per KV head, globally
  long position = 0;            ///< of the first key (a cache that dropped its oldest entries)
  view length;                  ///< i64 [1]: only so many of the keys are there, and query i stands at position length - seq + i; or null: all. Forward only
};

/// How a router's logits choose experts, row by row. Shazeer et al., arXiv 1701.06538; the groups are DeepSeek's (arXiv 2412.19437).
enum class router_score : unsigned char { softmax, sigmoid };
struct router_rule {
  long chosen = 1;                             ///< experts of a token
  router_score score = router_score::softmax;  ///< of all experts; a weight is the score of the chosen one
  bool by_logit = false;                       ///< the choice looks at logits, not at scores, which may saturate
  bool renormalised = false;                   ///< weights are divided by their sum + sum_eps
  double sum_eps = 0;
  double scale = 1;                            ///< of the weights
  long groups = 1, kept_groups = 1;            ///< only experts of the best groups are chosen from; groups are alike and contiguous
  bool group_by_two = false;                   ///< a group is as good as its best two together, else as its best one
  constexpr bool operator==(const router_rule&) const = default;
};
/// Operands of a router.
struct route_args {
  view weights, ids;                           ///< [rows, chosen], ids i64 in order of choice
  view logits;                                 ///< [rows, experts]
  view bias;                                   ///< [experts], joins the choice only; or null
  view dlogits, dweights;                      ///< backward only
  router_rule how;
};

/// Where ids send positions: [groups] of equal ids from `first` on. ids [positions]; `chosen` neighbouring positions are a token's.
struct group_args {
  view choice, token;           ///< i64 [positions]: those of group g, ascending, in [offsets[g], offsets[g + 1]), and their tokens; -1 behind the last group
  view offsets;                 ///< i64 [groups + 1]
  view ids;                     ///< i64; an id outside of the groups is nobody's
  long first = 0, chosen = 1;
  bool open = false;            ///< the last group has all greater ids too
};
/// Products of rows in groups, that lie one behind the other as group_args says.
struct grouped_args {
  view a, b, c, offsets;        ///< offsets i64 [groups + 1], read where the kernel runs: rows of group g are [offsets[g], offsets[g + 1])
  long rows = 0, n = 0, k = 0;
  bool tb = false;              ///< of grouped_matmul, as the next
  bool accumulate = false;      ///< add to c instead of overwriting it
};

/// One AdamW step on f32 or f64 masters; Loshchilov & Hutter, arXiv 1711.05101, as torch.optim.AdamW computes it.
struct adamw_args {
  view weight, gradient, first, second;
  view stored;                  ///< a bf16 or f16 copy of the weight to refresh; or null
  view schedule;                ///< [3] f64: rate, 1 - beta1^step, 1 - beta2^step; in memory, so that a step may be queued once and run often
  double beta1 = 0, beta2 = 0, eps = 0, decay = 0;
  view gradient_scale;          ///< [1] f64, from clipping; null: 1
};

/// y[r, j] (+)= 0 where uniform_at(seed, stream, row[r] + column[j]) < rate, and x[r, j] / (1 - rate) elsewhere. See runtime/rng.hpp.
struct dropout_args {
  view y, x;                    ///< [rows, columns]
  view row, column;             ///< i64: an element's index in the whole tensor is the sum of its row's and its column's
  double rate = 0;
  std::uint64_t seed = 0, stream = 0;
  bool accumulate = false;
};

/// dst[o * dst_row + dst_at + j] (+)= src[o * src_row + src_at + j] for o < rows, j < width: slices, pads, gathers, concatenations.
struct copy_args {
  view dst, src;
  long rows = 0, width = 0;
  long dst_row = 0, dst_at = 0, src_row = 0, src_at = 0;
  bool accumulate = false;
};

/// dst[o, at[0] + r, j] = src[o, r, j] for o < outer, r < rows, j < width; dst is [outer, room, width]. What would lie outside is not written.
struct place_args {
  view dst, src;
  view at;                      ///< i64 [1], on the device: known only when the kernel runs
  long outer = 0, room = 0, rows = 0, width = 0;
};

class backend {
 public:
  virtual ~backend() = default;
  virtual const char* name() const = 0;
  /// Refuses to start where the device is not there. @error SP504.
  virtual void require() {}

  // ---- memory. Blocks are aligned to 64 bytes and not cleared; release may keep them for the next allocate of that rank.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* p, std::size_t bytes) = 0;
  virtual void to_host(void* host, const view& from) = 0;
  virtual void from_host(const view& to, const void* host) = 0;
  /// Waits until this rank's kernels are done.
  virtual void synchronize() {}
  /// The most bytes this rank's blocks have had together; 0 where nobody counts.
  virtual double peak_bytes() const { return 0; }
  /// Bytes that may still be asked for: by all ranks of this process together, on all devices there are; by a rank that was given a
  /// device (device_of_rank), on that one. 0 where nobody knows.
  virtual double available_bytes() const { return 0; }
  /// May the host read and write allocated blocks directly?
  virtual bool host_memory() const { return false; }

  // ---- elementwise
  virtual void fill(const view& y, double value) = 0;
  /// y = x, converting the dtype.
  virtual void cast(const view& y, const view& x) = 0;
  /// y = a + b; b has a.count() elements or divides it and repeats over a's leading extents.
  virtual void add(const view& y, const view& a, const view& b) = 0;
  /// y = a * b; b as in add.
  virtual void multiply(const view& y, const view& a, const view& b) = 0;
  /// da += dy * b, db += dy * a summed over the repeats.
  virtual void multiply_backward(const view& da, const view& db, const view& dy, const view& a, const view& b) = 0;
  /// y += scale * x; where y is shorter, x is summed over the repeats (the gradient of a broadcast).
  virtual void accumulate(const view& y, const view& x, double scale = 1) = 0;
  virtual void apply(unary f, const view& y, const view& x, double p) = 0;
  virtual void apply_backward(unary f, const view& dx, const view& dy, const view& x, const view& y, double p) = 0;
  virtual void copy(const copy_args&) = 0;
  virtual void place(const place_args&) = 0;
  virtual void dropout(const dropout_args&) = 0;

  // ---- matrix products
  virtual void matmul(const matmul_args&) = 0;

  // ---- rows in groups (experts), whose sizes only the device has to know
  virtual void group_ids(const group_args&) = 0;
  /// c[r] (+)= a[r] op(b[g]) for the rows r of group g: a [rows, k], b [groups, k, n], or [groups, n, k] if tb, c [rows, n]. Rows of no group
  /// become zero (accumulate: stay). b alone may be bf16 or f16.
  virtual void grouped_matmul(const grouped_args&) = 0;
  /// c[g] += the sum over the rows r of group g of a[r]^T b[r]: a [rows, k], b [rows, n], c [groups, k, n].
  virtual void grouped_outer(const grouped_args&) = 0;
  /// y[r] = x[r] + b[g]: x and y [rows, n], b [groups, n]. Rows of no group become zero.
  virtual void grouped_add(const view& y, const view& x, const view& b, const view& offsets) = 0;
  /// db[g] += the sum of dy[r] over the rows r of group g.
  virtual void grouped_sum(const view& db, const view& dy, const view& offsets) = 0;

  // ---- norms over the last dimension n; x is [rows, n], w and b are [n] and may be null (weight 1, bias 0).
  /// y = x * rsqrt(mean(x^2) + eps) * (offset + w).  Zhang & Sennrich, arXiv 1910.07467.
  virtual void rms_norm(const view& y, const view& x, const view& w, double eps, double offset) = 0;
  virtual void rms_norm_backward(const view& dx, const view& dw, const view& dy, const view& x, const view& w, double eps, double offset) = 0;
  /// y = (x - mean) * rsqrt(var + eps) * w + b.
  virtual void layer_norm(const view& y, const view& x, const view& w, const view& b, double eps) = 0;
  virtual void layer_norm_backward(const view& dx, const view& dw, const view& db, const view& dy, const view& x, const view& w, double eps) = 0;

  // ---- rows one by one: x, a and b are [rows, n], s is [rows]
  /// y[r, :] = x[r, :] * s[r], or y += that.
  virtual void scale_rows(const view& y, const view& x, const view& s, bool accumulate) = 0;
  /// s[r] += by * sum_j a[r, j] b[r, j].
  virtual void row_dot(const view& s, const view& a, const view& b, double by) = 0;

  // ---- attention
  virtual void rotate(const rotate_args&) = 0;
  virtual void attention(const attention_args&) = 0;
  virtual void attention_backward(const attention_args&) = 0;

  // ---- tables. ids i64 [rows]; table rows [first, first + table.s[0]) of the global one.
  /// The position of the first id outside [from, to), -1 if there is none. A device that would have to wait for itself says -1, and
  /// throws SP001 with the id where it next waits; such ids read and write nothing.
  virtual long first_outside(const view& ids, long from, long to) = 0;
  /// y[r] = table[ids[r] - first], zero where another rank holds the row.
  virtual void gather_rows(const view& y, const view& table, const view& ids, long first) = 0;
  /// dtable[ids[r] - first] += dy[r]; the row `padding` (global; -1: none) gets nothing.
  virtual void scatter_rows(const view& dtable, const view& dy, const view& ids, long first, long padding) = 0;

  // ---- routers
  virtual void route(const route_args&) = 0;
  virtual void route_backward(const route_args&) = 0;

  // ---- softmax cross-entropy in steps, between which ranks reduce [rows] vectors (vocab-parallel: Shoeybi et al., arXiv 1909.08053).
  /// top[r] = max_j logits[r, j]; -infinity for an empty row.
  virtual void row_max(const view& top, const view& logits) = 0;
  /// sum[r] = sum_j exp(logits[r, j] - top[r]); hit[r] = logits[r, labels[r] - first] - top[r], zero where not held or ignored (label < 0).
  virtual void row_exp_sum(const view& sum, const view& hit, const view& logits, const view& top, const view& labels, long first) = 0;
  /// total, f64 [2], = the sum over rows with label >= 0 of log(sum) - hit, and how many rows those are.
  virtual void loss_sum(const view& total, const view& sum, const view& hit, const view& labels) = 0;
  /// factor[0] = scale / n, and 0 where n is 0; loss[0] = total[0] * factor[0]. n is `tokens`, or total[1] where that is 0. factor is f64.
  virtual void loss_mean(const view& loss, const view& factor, const view& total, double scale, double tokens) = 0;
  /// dlogits[r, j] += dloss[0] * factor[0] * (exp(logits - top) / sum - [j == label - first]) for rows with label >= 0.
  virtual void cross_entropy_backward(const view& dlogits, const view& logits, const view& top, const view& sum, const view& labels, long first,
                                      const view& factor, const view& dloss) = 0;
  /// index[r] = first + argmax_j x[r, j] (the first of equals), value[r] = that maximum.
  virtual void row_argmax(const view& index, const view& value, const view& x, long first) = 0;

  // ---- whole-buffer reductions and the optimizer
  /// into[0] += by * the sum of x^2, in f64.
  virtual void sum_of_squares(const view& into, const view& x, double by) = 0;
  /// norm[0] = sqrt(squares[0] + squares[1]); factor[0] = limit / (norm + 1e-6) where limit > 0 and norm > limit, else 1. All f64.
  virtual void clip_factor(const view& norm, const view& factor, const view& squares, double limit) = 0;
  virtual double read(const view& x, long i) = 0;            ///< one element, as double
  virtual void adamw(const adamw_args&) = 0;

  // ---- steps that are queued once and run often: see runtime/replay.hpp
  /// Can this device keep what is queued?
  virtual bool captures() const { return false; }
  /// Is what this rank queues kept at the moment, rather than run?
  virtual bool capturing() const { return false; }
  /// Starts to note what from_host sends for this rank, or stops and returns a hash of each array.
  virtual std::vector<std::uint64_t> watch_uploads(bool /*on*/) { return {}; }
  /// Of ranks that are captured together one is `first`; the others join it by waiting for its mark.
  virtual void begin_capture(bool /*first*/) {}
  virtual void* end_capture() { return nullptr; }
  virtual void abandon_capture() {}
  virtual void run_captured(void*) {}
  virtual void drop_captured(void*) {}

  // ---- ranks of one process on devices whose memory the host cannot read (host_memory() is false): their queues wait for each
  // other on the device, and each may use the others' buffers. Where the host can, the engine does all of this itself.
  /// May kernels use this address?
  virtual bool holds(const void*) const { return true; }
  /// How far this rank's queue has come, for other ranks to wait for; good until this rank has made three more.
  virtual void* mark() { return nullptr; }
  /// What this rank queues from here on waits for another rank's mark.
  virtual void wait_for(void*) {}
  /// y[i] = the sum, the greatest or the least over r of from[r][i], in that order; `from` hold y.count() elements of y's type.
  virtual void reduce_peers(const view&, std::span<const void* const>, reduction) { no_peers(); }
  /// The same of elements [begin, end) of all buffers, written to all of them.
  virtual void reduce_peers_in_place(dtype, std::span<void* const>, long, long, reduction) { no_peers(); }

 private:
  [[noreturn]] void no_peers() const {
    throw error(code::usage, "this device has no collectives for ranks that are threads.", "implement backend::reduce_peers, or use one rank a process.");
  }
};

inline void communicator::begin_capture(backend& device) { device.begin_capture(true); }
inline void* communicator::end_capture(backend& device) { return device.end_capture(); }
inline void communicator::abandon_capture(backend& device) { device.abandon_capture(); }
inline void communicator::run_captured(backend& device, void* step) { device.run_captured(step); }

enum class device_kind : unsigned char { cpu, cuda };
namespace detail { inline backend* registered_backends[2] = {}; }
/// Called by a backend's header when the one .cpp that includes it starts.
inline bool register_backend(device_kind d, backend& b) { detail::registered_backends[int(d)] = &b; return true; }
/// The backend of a device; SP505 if none is linked (SP504 is the backend's own: no such device).
inline backend& backend_of(device_kind d) {
  if (auto* b = detail::registered_backends[int(d)]) return *b;
  if (d == device_kind::cpu) throw error(code::no_backend, "device cpu");
  throw error(code::no_backend, "no backend is linked for device cuda.", "include <shardproof/backend/cuda.cuh> in exactly one .cu of the program.");
}

}  // namespace shardproof

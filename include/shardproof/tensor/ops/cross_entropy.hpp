#pragma once
/// @file
/// Mean token cross-entropy; logits sharded over the vocabulary are never gathered: ranks exchange two numbers a token.
///
///     auto loss = sp::cross_entropy(logits, labels);                       // logits (batch, seq, vocab/tp) shard<vocab>, labels i64
///     auto part = sp::cross_entropy(logits, labels, {.scale = 1.0 / 4});   // one of four accumulated micro-batches
///     auto next = sp::next_tokens(ids);                                    // labels[t] = ids[t + 1], the last ignored
///
/// Vocab-parallel: Shoeybi et al., arXiv 1909.08053, section 3; max, then sum and hit in one message.
#include <shardproof/tensor/apply.hpp>
#include <shardproof/tensor/ids.hpp>
namespace shardproof {

struct loss_options {
  double scale = 1;                                    ///< of the mean: 1 / micro-batches when gradients accumulate
  double tokens = 0;                                   ///< divide by this instead of by the number of labels that count
};

namespace erased {
struct loss_state { long first; };
/// total, count and factor, which stay on the device: no step waits for them.
inline view loss_numbers(const node& n, int at, long count) { return {static_cast<double*>(n.data.get()) + at, dtype::f64, {count}}; }
inline void pull_cross_entropy(node& y) {
  if (y.in[0]->tracked)
    device().cross_entropy_backward(y.in[0]->g(), y.in[0]->v(), y.saved[0]->v(), y.saved[1]->v(), y.in[1]->v(), state_of<loss_state>(y).first,
                                    loss_numbers(*y.in[2], 2, 1), y.g());
}
/// `row_axes`: bit a says that rows are cut on axis a; their count is summed there.
[[gnu::noinline]] inline ref cross_entropy(const ref& logits, const ref& labels, long first, bool cut, unsigned row_axes, const loss_options& o) {
  const dtype t = compute_type(logits->type);
  const long rows = logits->s.lead(1);
  const ref numbers = leaf(dtype::f64, {3}), top = leaf(t, {rows}), both = leaf(t, {2, rows});
  ref y = record(t, shape{}, {&logits, &labels, &numbers}, pull_cross_entropy, loss_state{first});
  if (!live(y)) return y;
  const std::size_t bytes = std::size_t(rows) * bytes_of(t);
  const view sum{both->data.get(), t, {rows}}, hit{static_cast<char*>(both->data.get()) + bytes, t, {rows}};
  device().row_max(top->v(), logits->v());
  communicator* c = cut ? self.on[0] : nullptr;
  if (c) c->all_reduce(top->data.get(), rows, t, reduction::max);
  device().row_exp_sum(sum, hit, logits->v(), top->v(), labels->v(), first);
  if (c) c->all_reduce(both->data.get(), 2 * rows, t);
  device().loss_sum(loss_numbers(*numbers, 0, 2), sum, hit, labels->v());
  for (std::size_t a = 0; a < max_axes; ++a) if ((row_axes >> a & 1) && self.on[a]) self.on[a]->all_reduce(loss_numbers(*numbers, 1, 1).p, 1, dtype::f64);
  // No label that counts: the mean of nothing is 0 here (0/0 in transformers), and nothing gets a gradient.
  device().loss_mean(y->v(), loss_numbers(*numbers, 2, 1), loss_numbers(*numbers, 0, 2), o.scale, o.tokens);
  if (y->tracked) {
    y->saved[0] = top;
    y->saved[1] = both;                                // its first half is `sum`
  }
  return y;
}
}  // namespace erased

namespace operations {
struct loss;
template <class Vocab> struct cross_entropy {
  long classes = 0;
  loss_options options;
  bool cut = false;
  double rows = 0;
  unsigned row_axes = 0;
  static constexpr outcome rule(placement logits, placement labels) { return rules::cross_entropy(logits, labels, &info<Vocab>); }
  constexpr void charge(bill& b) const {
    if (cut) {
      b.forward(collective::all_reduce, 0, rows);
      b.forward(collective::all_reduce, 0, 2 * rows);
    }
    for (int a = 0; a < max_axes; ++a) if (row_axes >> a & 1) b.forward(collective::all_reduce, a, 8 / b.element_bytes);
    b.book->forward.flops += 4 * b.operand;
    if (b.gradient()) b.book->backward.flops += 3 * b.operand;
  }
  ref run(const shape&, const auto& logits, const auto& labels) const {
    const placement p = logits.place().on[0];
    const bool split = p.k == kind::shard && p.d == &info<Vocab>;
    erased::require_ids("labels", labels.at, -9223372036854775807 - 1, classes);
    const long first = split ? block_of(p.d, classes, rank_on(), ranks_on(), logits.sizes.table).begin : 0;
    return erased::cross_entropy(logits.at, labels.at, first, split, row_axes, options);
  }
};
}  // namespace operations

/// Mean over the labels that are not negative (-100 is the usual mark). Labels lie over the logits' dimensions without the last.
/// @error SP103 logits are Partial; SP101 other placements; SP109 other dimensions.
template <tensor_like X, tensor_like T> constexpr auto cross_entropy(const X& logits, const T& labels, const loss_options& o = {}) {
  if constexpr (any_broken<X, T>) return broken{};
  else if constexpr (!std::is_same_v<chop<dims_in<X>, 1>, dims_in<T>>) {
    static_assert(verdict<code::dims_differ, free_operation<operations::loss>, fed<dims_in<T>>, needs<chop<dims_in<X>, 1>>>::ok);
    return broken{};
  } else {
    using classes = last_of<dims_in<X>>;
    using op = operations::cross_entropy<classes>;
    const placement p = logits.place().on[0];
    double rows = 1;
    if constexpr (is_ghost<X>) { if (logits.at) rows = local_count(labels.sizes, labels.place(), logits.at->where); }
    else rows = double(labels.at->s.count());
    unsigned row_axes = 0;
    for (unsigned a = 0; a < max_axes; ++a) if (labels.place().on[a].splits()) row_axes |= 1u << a;
    return apply<free_operation<op>, dims<>>::op(op{logits.sizes.n[std::size_t(dims_in<X>::rank - 1)], o, p.k == kind::shard && p.d == &info<classes>, rows, row_axes}, sizes_of<dims<>>{}, logits, labels);
  }
}

namespace erased {
inline ref next_tokens(const ref& ids) {
  ref y = leaf(ids->type, ids->s);
  if (!live(y) || !ids->s.count()) return y;
  const long n = ids->s[-1], rows = ids->s.lead(1);
  device().fill(y->v(), -100);
  if (n > 1) device().copy({.dst = y->v(), .src = ids->v(), .rows = rows, .width = n - 1, .dst_row = n, .src_row = n, .src_at = 1});
  return y;
}
}  // namespace erased
namespace operations {
template <class Seq> struct next_tokens {
  static constexpr outcome rule(placement x) { return rules::over(x, &info<Seq>); }
  constexpr void charge(bill& b) const { b.kept = false; }
  static ref run(const shape&, const auto& ids) { return erased::next_tokens(ids.at); }
};
}  // namespace operations
/// Labels from token ids (batch, seq): position t is asked for token t + 1; the last has no label (-100).
template <tensor_like X> constexpr auto next_tokens(const X& ids) {
  using op = operations::next_tokens<last_of<dims_in<X>>>;
  return apply<free_operation<op>, dims_in<X>>::op(op{}, ids.sizes, ids);
}

}  // namespace shardproof

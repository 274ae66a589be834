#pragma once
/// @file
/// Queries scaled by their position, so that attention over a long context stays sharp (Llama 4's temperature tuning).
///
///     auto q = sp::temper(q_proj(x), cache.positions(), {.every = 8192, .strength = 0.1});
///     // position p: times 1 + strength * log(1 + floor((p + 1) / every)); x (..., seq, heads, head_dim)
#include <vector>
#include <shardproof/tensor/ops/arithmetic.hpp>
#include <shardproof/tensor/ops/rope.hpp>
namespace shardproof {

/// By how much, see temper.
struct temperature {
  double every = 8192;                                 ///< positions between two steps
  double strength = 0;                                 ///< 0: none
  constexpr bool operator==(const temperature&) const = default;
};

namespace erased {
inline void pull_temper(node& y) {
  if (y.in[0]->tracked) device().scale_rows(y.in[0]->g(), y.g(), y.saved[0]->v(), true);
}
/// By how much at each position from `first` on.
inline ref temperatures(const temperature& t, long first, long seq, long rows, dtype type) {
  ref by = leaf(type, {rows});
  if (!live(by) || !rows) return by;
  std::vector<std::byte> host(std::size_t(rows) * bytes_of(type));
  for (long r = 0; r < rows; ++r) {
    const double step = double(long(double(first + r % seq + 1) / t.every));
    write_element(type, &host[std::size_t(r) * bytes_of(type)], 1 + t.strength * math::log(1 + step));
  }
  device().from_host(by->v(), host.data());
  return by;
}
/// Those of a step whose positions are on the device.
inline ref temperatures(const temperature& t, const positions& at, long seq, long rows, dtype type) {
  const ref all = temperatures(t, 0, at.room, at.room, type), of_step = leaf(type, {seq, 1}), by = leaf(type, {rows});
  if (!live(by) || !rows) return by;
  device().gather_rows(of_step->v(), {all->data.get(), type, {at.room, 1}}, counted_ids(at, seq), 0);
  device().copy({.dst = by->v(), .src = of_step->v(), .rows = rows / seq, .width = seq, .dst_row = seq});
  return by;
}
inline ref temper(const ref& x0, const temperature& t, const positions& at) {
  const ref x = widened(x0);
  const long seq = x->s[-3], rows = x->s.lead(2);
  ref y = record(x->type, x->s, {&x}, pull_temper);
  const ref by = at.counted ? temperatures(t, at, seq, rows, x->type) : temperatures(t, at.first, seq, rows, x->type);
  if (y->tracked) y->saved[0] = by;
  if (!live(y)) return y;
  device().scale_rows(y->v(), x->v(), by->v(), false);
  return y;
}
}  // namespace erased

namespace operations {
template <class Seq> struct temper {
  temperature t;
  positions at{};
  long length = 0;
  static constexpr outcome rule(placement x) { return rules::linear_map(x); }
  constexpr void charge(bill& b) const { b.flops(1, 1); }
  ref run(const shape&, const auto& x) const {
    positions mine = at;
    mine.first += shardproof::detail::start_along<Seq>(x, length);
    return erased::temper(x.at, t, mine);
  }
};
}  // namespace operations

/// x is (..., seq, heads, head_dim); any placement.
template <tensor_like X> constexpr auto temper(const X& x, positions at, const temperature& t) {
  if constexpr (any_broken<X>) return broken{};
  else {
    static_assert(dims_in<X>::rank >= 3, "shardproof: temper takes (..., seq, heads, head_dim)");
    using op = operations::temper<nth_dim<dims_in<X>, -3>>;
    return apply<free_operation<op>, dims_in<X>>::op(op{t, at, x.sizes.n[std::size_t(dims_in<X>::rank - 3)]}, x.sizes, x);
  }
}

}  // namespace shardproof

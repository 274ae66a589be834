#pragma once
/// @file
/// The communication primitives on real ranks: row `id` of the table forward, the row of its adjoint on the gradient.
///
///     sp::ref r = sp::exchange(x, sp::primitive::convert_i_r, 0);                  // f: the gradient is all-reduced
///     sp::ref y = sp::exchange(p, sp::primitive::all_reduce_p_i, 0);               // g
///     sp::ref w = sp::exchange(h, sp::primitive::all_gather_s_i, 0, &from);        // uneven, empty and packed parts too
///     sp::ref s = sp::exchange(h, sp::primitive::all_to_all_s_s, 0, &from, &to);
///
/// On an axis of one rank every primitive returns its operand and communicates nothing. In a dry run nodes have shapes and no
/// buffers, and nothing is communicated.
#include <shardproof/core/primitive_table.hpp>
#include <shardproof/runtime/rearrange.hpp>
namespace shardproof {

/// The shape of the result. `from` where the source is cut, `to` where the destination is.
inline shape exchanged_shape(const shape& s, int id, const cut* from, const cut* to) {
  shape out = s;
  const auto& row = primitive::table[id];
  if (row.src == kind::shard) out = out.with(from->at, from->whole);
  if (row.dst == kind::shard) out = out.with(to->at, local_extent(*to, rank_on(to->axis)));
  return out;
}

/// Stands for the conversion that consumers of one value share (see `shared`); null where it is not shared. A whole value is cut
/// along several dimensions, so there the address is the dimension's own.
inline const void* shared_target(int id, int axis, const cut* to = nullptr) {
  static constexpr char places[primitive::row_count][max_axes]{};
  switch (id) {
    case primitive::convert_i_r: case primitive::all_gather_s_i: case primitive::all_gather_s_r: return &places[id][axis];
    case primitive::convert_i_s: return reinterpret_cast<const char*>(to->d) + 2 * axis + (to->p.k == kind::packed);
    default: return nullptr;
  }
}

namespace erased {
struct exchange_state { cut from, to; int id, axis; };

/// Of buffers that keep their shape: in place, on a buffer that is ours. `y` already holds x, except under a broadcast, which
/// does not look at it elsewhere than on the root.
inline void exchange_in_place(primitive::physical p, int axis, const view& y) {
  using primitive::physical;
  communicator& comm = *self.on[std::size_t(axis)];
  const bool root = rank_on(axis) == 0;
  if (p == physical::all_reduce || p == physical::reduce_to_root || p == physical::mean) comm.all_reduce(y.p, y.count(), y.type);
  if (p == physical::broadcast) comm.broadcast(y.p, y.count(), y.type, 0);
  if (!root && (p == physical::reduce_to_root || p == physical::partition_of_unity)) device().fill(y, 0);
}
inline bool keeps_shape(primitive::physical p) {
  using primitive::physical;
  return p == physical::identity || p == physical::all_reduce || p == physical::mean || p == physical::broadcast ||
         p == physical::reduce_to_root || p == physical::partition_of_unity;
}
/// y = x, divided by the number of ranks before they are summed to a mean.
inline void copy_operand(primitive::physical p, int axis, const view& y, const view& x) {
  if (p == primitive::physical::mean) device().apply(unary::scale, y, x, 1.0 / ranks_on(axis));
  else device().copy({.dst = y, .src = x, .rows = 1, .width = x.count()});
}
/// The others: y is written completely.
inline void exchange_apart(primitive::physical p, direction way, const view& y, const view& x, const cut& from, const cut& to) {
  using primitive::physical;
  switch (p) {
    case physical::split: return split(way, to, y, x);
    case physical::zero_pad: return zero_pad(way, from, y, x);
    case physical::all_gather: return all_gather(way, from, y, x);
    case physical::reduce_scatter: return reduce_scatter(way, to, y, x);
    case physical::all_to_all: return all_to_all(way, from, to, y, x);
    case physical::gather_to_root: return gather_to_root(way, from, y, x);
    case physical::scatter_from_root: return scatter_from_root(way, to, y, x);
    default: return;
  }
}

inline void pull_exchange(node& y) {
  using primitive::physical;
  const exchange_state z = state_of<exchange_state>(y);
  node& x = *y.in[0];
  const physical p = primitive::backward(z.id);
  y.g();  // zeros if no consumer had a gradient: every rank takes part
  if (keeps_shape(p)) {
    if (p != physical::identity && (p == physical::mean || y.gradient.shared())) {
      buffer own(y.gradient_view().bytes());
      const view v{own.get(), compute_type(y.type), y.s};
      copy_operand(p, z.axis, v, y.gradient_view());
      y.gradient = std::move(own);
    }
    exchange_in_place(p, z.axis, y.gradient_view());
    x.add_gradient(std::move(y.gradient), y.gradient_view());
  } else {
    buffer b(std::size_t(x.s.count()) * bytes_of(compute_type(x.type)));
    const view dx{b.get(), compute_type(x.type), x.s};
    exchange_apart(p, direction::backward, dx, y.gradient_view(), z.to, z.from);
    x.add_gradient(std::move(b), dx);
  }
}

inline ref exchange_now(const ref& x, const exchange_state& z, const shape& s) {
  const primitive::physical p = primitive::forward(z.id);
  if (p == primitive::physical::identity) {                                  // the same buffer in a node of its own
    ref y;
    { const dry no_buffer; y = record(x->type, s, {&x}, pull_exchange, z); }
    if (!self.dry) y->data = x->data;
    return y;
  }
  ref y = record(x->type, s, {&x}, pull_exchange, z);
  if (self.dry) return y;
  if (keeps_shape(p)) {
    copy_operand(p, z.axis, y->v(), x->v());
    exchange_in_place(p, z.axis, y->v());
  } else {
    exchange_apart(p, direction::forward, y->v(), x->v(), z.from, z.to);
  }
  return y;
}
}  // namespace erased

/// x through primitive `id` on `axis`. `from` says how x is cut and `to` how the result is to be; null where the row's placement
/// is not a shard. Collective: all ranks of the axis call it alike, and meet again in backward if x is tracked.
inline ref exchange(const ref& x, int id, int axis, const cut* from = nullptr, const cut* to = nullptr) {
  const bool tracked = self.tape && x->tracked;
  if (ranks_on(axis) < 2 || (primitive::forward(id) == primitive::physical::identity && !tracked)) return x;
  const erased::exchange_state z{from ? *from : cut{}, to ? *to : cut{}, id, axis};
  const auto make = [&] { return erased::exchange_now(x, z, exchanged_shape(x->s, id, from, to)); };
  const void* target = shared_target(id, axis, to);
  // A view without a tape lives as long as x: none may outlive a change of a parameter, or serve a later call that has a tape.
  const bool may_be_kept = tracked || !(x->tracked || x->accumulates);
  return target && may_be_kept ? shared(x, target, make) : make();
}

}  // namespace shardproof

#pragma once
/// @file
/// Rotary position embedding (Su et al., arXiv 2104.09864) in the variants of transformers' `rope_type`.
///
///     auto q = sp::rope(q_norm(q_proj(x)), cache.positions(), rotary);     // (batch, seq, q_heads/tp, head_dim), positions along seq
///     constexpr sp::rotary llama3{.base = 5e5, .type = sp::rope_type::llama3, .factor = 8, .original_length = 8192};
///     constexpr sp::rotary glm{.base = 1e4, .partial = 0.5, .interleaved = true};
///
/// Linear in x, so any placement passes that does not cut a head (SP110). Positions are global: a sharded sequence gets those of its own part.
#include <vector>
#include <shardproof/tensor/ops/arithmetic.hpp>
#include <shardproof/tensor/ops/rope_frequencies.hpp>
#include <shardproof/tensor/part.hpp>
namespace shardproof {

/// The position of the first element along seq. A cache moves it on; one with room keeps the positions of a step on the device too,
/// so that a step may be captured.
struct positions {
  long first = 0;
  const node* counted = nullptr;                       ///< i64 [2 + seq]: where the step begins, how many there are then, each position
  long room = 0;                                       ///< no position is as large
  constexpr bool operator==(const positions&) const = default;
};

namespace erased {
struct rope_state { long rotated; bool interleaved; };
/// cos and sin of `count` positions from `first`, kept for the layers that follow. Two nodes [1, count, rotated / 2].
struct rope_tables { ref cos, sin; };
[[gnu::noinline]] inline rope_tables tables_for(const rotary& r, long head_dim, long first, long count, dtype t) {
  struct entry { rotary r; long head_dim, first, count; dtype t; backend* on; rope_tables made; unsigned long used; };
  struct shelf { entry at[4]{}; unsigned long clock = 0; };
  thread_local shelf kept;
  entry* oldest = &kept.at[0];
  for (auto& e : kept.at) {
    if (e.made.cos && e.r == r && e.head_dim == head_dim && e.first == first && e.count == count && e.t == t && e.on == &device()) {
      e.used = ++kept.clock;
      return e.made;
    }
    if (e.used < oldest->used) oldest = &e;
  }
  const long half = rotated_features(r, head_dim) / 2;
  ref made[2] = {leaf(t, {1, count, half}), leaf(t, {1, count, half})};
  if (live(made[0]) && count > 0 && half > 0) {
    // Angles as transformers makes them: f32 frequencies times f32 positions (f64 throughout where the model is f64).
    fill_rotary_tables(r, head_dim, first, count, t, device(), made[0]->v(), made[1]->v());
    if (!self.step)                                      // what a captured step makes is filled when it runs, if it ever does
      *oldest = {r, head_dim, first, count, t, &device(), {made[0], made[1]}, ++kept.clock};
  }
  return {made[0], made[1]};
}
inline bool depends_on_length(const rotary& r) { return r.type == rope_type::longrope || r.type == rope_type::dynamic_ntk; }
/// The positions of a step as a tensor of ids [seq]. @error SP001 the step has another length, or is cut along the sequence.
inline view counted_ids(const positions& at, long seq) {
  const long there = at.counted->s[0] - 2;
  if (there != seq) {
    text_line t;
    t << "a cache with room expects a step of " << there << " positions and is given " << seq << ".";
    throw error(code::usage, t.view(), "call cache.next(n) before each forward with n positions; a boundary that cuts the sequence does not go with it.");
  }
  return {static_cast<std::int64_t*>(at.counted->data.get()) + 2, dtype::i64, {seq}};
}
/// Rows of a table over all positions there is room for, made once: [1, seq, half] of those of this step.
inline rope_tables tables_for(const rotary& r, long head_dim, const positions& at, long seq, dtype t) {
  struct shelf { rotary r; long head_dim = 0, room = 0; dtype t = dtype::f32; backend* on = nullptr; rope_tables all; const node* step = nullptr; long first = -1; rope_tables rows; };
  thread_local std::vector<shelf> kept;
  shelf *s = nullptr, of_step;
  for (auto& e : kept) if (e.r == r && e.head_dim == head_dim && e.room == at.room && e.t == t && e.on == &device()) s = &e;
  const long half = rotated_features(r, head_dim) / 2;
  if (!s) {
    s = self.step ? &of_step : &kept.emplace_back();
    *s = shelf{r, head_dim, at.room, t, &device(), {leaf(t, {at.room, half}), leaf(t, {at.room, half})}, nullptr, -1, {}};
    if (live(s->all.cos) && half > 0) {
      // Where frequencies depend on the length, each position has those of a sequence that ends there.
      const long at_once = depends_on_length(r) ? 1 : at.room;
      const auto part = [&](const ref& n, long first) { return view{static_cast<char*>(n->data.get()) + std::size_t(first * half) * bytes_of(t), t, {at_once, half}}; };
      for (long p = 0; p < at.room; p += at_once) fill_rotary_tables(r, head_dim, p, at_once, t, device(), part(s->all.cos, p), part(s->all.sin, p));
    }
  }
  rope_tables rows{leaf(t, {1, seq, half}), leaf(t, {1, seq, half})};
  if (live(rows.cos)) {
    const view ids = counted_ids(at, seq);
    device().gather_rows(rows.cos->v(), s->all.cos->v(), ids, 0);
    device().gather_rows(rows.sin->v(), s->all.sin->v(), ids, 0);
  }
  return rows;
}
inline void pull_rope(node& y) {
  const auto& z = state_of<rope_state>(y);
  if (y.in[0]->tracked)
    device().rotate({.y = y.in[0]->g(), .x = y.g(), .cos = y.saved[0]->v(), .sin = y.saved[1]->v(), .rotated = z.rotated, .interleaved = z.interleaved, .inverse = true, .accumulate = true});
}
inline ref rope(const ref& x0, const rotary& r, const positions& at) {
  const ref x = widened(x0);
  if (rotated_features(r, x->s[-1]) > x->s[-1] || r.partial < 0) throw error(code::usage, "a rotary embedding turns more features than a head has.", "set partial between 0 and 1.");
  const long seq = x->s[-3];
  // Where frequencies depend on the length, all positions of a step have those of its end: the table of single steps does not serve longer ones.
  const bool from_room = at.counted && (seq == 1 || !depends_on_length(r));
  if (at.counted && !from_room && device().capturing())
    throw error(code::usage, "a captured step of several positions turns them by frequencies that depend on its length.", "capture steps of one position.");
  const rope_tables t = from_room ? tables_for(r, x->s[-1], at, seq, x->type) : tables_for(r, x->s[-1], at.first, seq, x->type);
  const rope_state z{rotated_features(r, x->s[-1]), r.interleaved};
  ref y = record(x->type, x->s, {&x}, pull_rope, z);
  if (y->tracked) { y->saved[0] = t.cos; y->saved[1] = t.sin; }
  if (live(y)) device().rotate({.y = y->v(), .x = x->v(), .cos = t.cos->v(), .sin = t.sin->v(), .rotated = z.rotated, .interleaved = z.interleaved});
  return y;
}
}  // namespace erased

namespace operations {
template <class Seq, class Features> struct rope {
  rotary r;
  positions at{};
  long length = 0;
  static constexpr outcome rule(placement x) { return rules::rotation(x, &info<Features>); }
  constexpr void charge(bill& b) const { b.flops(3, 3); }
  ref run(const shape&, const auto& x) const {
    positions mine = at;
    mine.first += shardproof::detail::start_along<Seq>(x, length);
    return erased::rope(x.at, r, mine);
  }
};
}  // namespace operations

/// x is (..., seq, heads, head_dim).
template <tensor_like X> constexpr auto rope(const X& x, positions at = {}, const rotary& r = {}) {
  if constexpr (any_broken<X>) return broken{};
  else {
    static_assert(dims_in<X>::rank >= 3, "shardproof: rope takes (..., seq, heads, head_dim)");
    using op = operations::rope<nth_dim<dims_in<X>, -3>, last_of<dims_in<X>>>;
    return apply<free_operation<op>, dims_in<X>>::op(op{r, at, x.sizes.n[std::size_t(dims_in<X>::rank - 3)]}, x.sizes, x);
  }
}

}  // namespace shardproof

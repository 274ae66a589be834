#pragma once
/// @file
/// Tokens to the experts that a router chose for them, through those, and back as a weighted sum: none is dropped, whatever the counts.
///
///     auto to = sp::dispatch(x, chosen, gate_up_proj);     // x (batch, seq, hidden); to.rows (routed, hidden), in order of expert
///     auto [gate, up] = sp::split(to.grouped(to.rows, gate_up_proj));             // each row times the matrix of its expert
///     auto y = to.combine(to.grouped(sp::silu(gate) * up, down_proj));            // (batch, seq, hidden)
///
/// Where the rows are, the placements say. Experts whole or cut inside: every rank has every row. Experts dealt to ranks, tokens on every
/// rank: a rank picks the rows of its own experts, and the result is a pending sum. Experts and tokens both dealt: rows travel by
/// all-to-all and return to their tokens. Lepikhin et al., GShard, arXiv 2006.16668; grouped products: Gale et al., arXiv 2211.15841.
#include <shardproof/tensor/ops/choose.hpp>
#include <shardproof/tensor/ops/contract.hpp>
#include <shardproof/tensor/routes.hpp>
namespace shardproof {

struct routed : dim<dynamic, ragged> {};               ///< rows on their way through experts: one for each choice of each token

namespace erased {
struct dispatch_state { long width; bool weighted; };
inline routes kept_routes(const node& y, std::size_t at) { return {y.in[at], y.in[at + 1]}; }
inline ref weights_of_rows(const routes& r, const node& weights) {
  ref w = leaf(compute_type(weights.type), {r.leaving()});
  view table = weights.v();
  table.s = {table.count(), 1};
  device().gather_rows(w->v(), table, r.choice(), 0);
  return w;
}
/// d(weights) += the products of each row's gradient and value.
inline void pull_weights(const routes& r, node& weights, const view& gradient, const view& value) {
  ref d = leaf(gradient.type, {r.leaving()});
  device().fill(d->v(), 0);
  device().row_dot(d->v(), gradient, value, 1);
  view to = weights.g();
  to.s = {to.count(), 1};
  device().scatter_rows(to, d->v(), r.choice(), 0, -1);
}
inline view as_rows(view v, long width) {
  v.s = {width ? v.count() / width : 0, width};
  return v;
}

// in: x, weights, lists, numbers
inline void pull_dispatch(node& y) {
  const auto [width, weighted] = state_of<dispatch_state>(y);
  const routes r = kept_routes(y, 2);
  node &x = *y.in[0], &weights = *y.in[1];
  buffer space, rows;
  view dy = y.g();
  if (r.travels()) {
    const view leaving = scratch_rows(space, r.leaving(), width, dy.type);
    return_rows(r, leaving, dy, width);
    dy = leaving;
  }
  ref w;
  if (weighted) {
    w = weights_of_rows(r, weights);
    if (weights.tracked) {
      const view value = scratch_rows(rows, r.leaving(), width, dy.type);
      device().gather_rows(value, as_rows(x.v(), width), r.token(), 0);
      pull_weights(r, weights, dy, value);
    }
  }
  if (!x.tracked) return;
  if (weighted) {
    const view scaled = scratch_rows(rows, r.leaving(), width, dy.type);
    device().scale_rows(scaled, dy, w->v(), false);
    dy = scaled;
  }
  device().scatter_rows(as_rows(x.g(), width), dy, r.token(), 0, -1);
}
inline ref dispatch(const ref& x0, const ref& weights0, const routes& r, bool weighted) {
  const ref x = widened(x0), weights = widened(weights0);
  const long width = x->s[-1];
  // With weights that act on the way back, theirs is no gradient of this node.
  ref y = weighted ? record(x->type, {r.rows(), width}, {&x, &weights, &r.lists, &r.numbers}, pull_dispatch, dispatch_state{width, true})
                   : record(x->type, {r.rows(), width}, {&x, &x, &r.lists, &r.numbers}, pull_dispatch, dispatch_state{width, false});
  if (!live(y)) return y;
  buffer space;
  const view leaving = r.travels() ? scratch_rows(space, r.leaving(), width, x->type) : y->v();
  device().gather_rows(leaving, as_rows(x->v(), width), r.token(), 0);
  if (weighted) device().scale_rows(leaving, leaving, weights_of_rows(r, *weights)->v(), false);
  if (r.travels()) send_rows(r, y->v(), leaving, width);
  return y;
}

// in: rows, weights, lists, numbers; saved: the rows as they came back
inline void pull_combine(node& y) {
  const auto [width, weighted] = state_of<dispatch_state>(y);
  const routes r = kept_routes(y, 2);
  node &x = *y.in[0], &weights = *y.in[1];
  buffer space, more;
  view dy = scratch_rows(space, r.leaving(), width, compute_type(y.type));
  device().gather_rows(dy, as_rows(y.g(), width), r.token(), 0);
  if (weighted && weights.tracked) pull_weights(r, weights, dy, y.saved[0] ? y.saved[0]->v() : x.v());
  if (!x.tracked) return;
  if (weighted) device().scale_rows(dy, dy, weights_of_rows(r, weights)->v(), false);
  if (r.travels()) {
    const view got = scratch_rows(more, r.rows(), width, dy.type);
    send_rows(r, got, dy, width);
    dy = got;
  }
  device().accumulate(x.g(), dy);
}
inline ref combine(const ref& x0, const ref& weights0, const routes& r, bool weighted, const shape& s) {
  const ref x = widened(x0), weights = widened(weights0);
  const long width = s[-1];
  ref y = record(x->type, s, {&x, weighted ? &weights : &x, &r.lists, &r.numbers}, pull_combine, dispatch_state{width, weighted});
  if (!live(y)) return y;
  ref back = x;
  if (r.travels()) {
    back = leaf(x->type, {r.leaving(), width});
    return_rows(r, back->v(), x->v(), width);
    if (y->tracked && weighted) y->saved[0] = back;
  }
  device().fill(y->v(), 0);
  buffer space;
  view rows = back->v();
  if (weighted) {
    rows = scratch_rows(space, r.leaving(), width, x->type);
    device().scale_rows(rows, back->v(), weights_of_rows(r, *weights)->v(), false);
  }
  device().scatter_rows(as_rows(y->v(), width), rows, r.token(), 0, -1);
  return y;
}
inline view rows_of(view v, long from, long to, long width) {
  v.p = static_cast<std::byte*>(v.p) + std::size_t(from * width) * bytes_of(v.type);
  v.s = {to - from, width};
  return v;
}

// in: rows, w, lists, numbers
struct grouped_state { long n, k; bool transposed; };
inline void pull_grouped(node& y) {
  const auto [n, k, transposed] = state_of<grouped_state>(y);
  const routes r = kept_routes(y, 2);
  node &x = *y.in[0], &w = *y.in[1];
  const view dy = y.g();
  bool more = false;
  const view dx = x.tracked ? x.g(more) : view{}, dw = w.tracked ? w.g() : view{};
  for (long e = 0; e < r.held(); ++e) {
    const long a = r.offset(e), b = r.offset(e + 1);
    if (a == b) continue;
    const view d = rows_of(dy, a, b, n);
    if (dx) device().matmul({.a = d, .b = rows_of(w.v(), e, e + 1, n * k), .c = rows_of(dx, a, b, k), .m = b - a, .n = k, .k = n, .tb = transposed, .accumulate = more});
    if (!dw) continue;
    const view in = rows_of(x.v(), a, b, k), to = rows_of(dw, e, e + 1, n * k);
    if (transposed) device().matmul({.a = in, .b = d, .c = to, .m = k, .n = n, .k = b - a, .ta = true, .accumulate = true});
    else device().matmul({.a = d, .b = in, .c = to, .m = n, .n = k, .k = b - a, .ta = true, .accumulate = true});
  }
}
/// y[rows of e] = x[rows of e] w[e]^T, with w [experts, n, k]; transposed: [experts, k, n].
inline ref grouped(const ref& x0, const ref& w, const routes& r, long n, long k, bool transposed, const shape& s) {
  const ref x = widened(x0);
  ref y = record(x->type, s, {&x, &w, &r.lists, &r.numbers}, pull_grouped, grouped_state{n, k, transposed});
  if (!live(y)) return y;
  for (long e = 0; e < r.held(); ++e) {
    const long a = r.offset(e), b = r.offset(e + 1);
    if (a == b) continue;
    device().matmul({.a = rows_of(x->v(), a, b, k), .b = rows_of(w->v(), e, e + 1, n * k), .c = rows_of(y->v(), a, b, n), .m = b - a, .n = n, .k = k, .tb = !transposed});
  }
  return y;
}

// in: rows, b, lists, numbers
inline void pull_grouped_bias(node& y) {
  const routes r = kept_routes(y, 2);
  node &x = *y.in[0], &w = *y.in[1];
  const view dy = y.gradient_view();
  if (w.tracked) {
    const view dw = w.g();
    const long n = dw.s.tail(dw.s.rank - 1);
    for (long e = 0; e < r.held(); ++e)
      if (r.offset(e) < r.offset(e + 1)) device().accumulate(rows_of(dw, e, e + 1, n), rows_of(dy, r.offset(e), r.offset(e + 1), n));
  }
  if (x.tracked) x.add_gradient(std::move(y.gradient), dy);
}
inline ref grouped_bias(const ref& x0, const ref& b0, const routes& r) {
  const ref x = widened(x0), b = widened(b0);
  ref y = record(x->type, x->s, {&x, &b, &r.lists, &r.numbers}, pull_grouped_bias);
  if (!live(y)) return y;
  const long n = x->s.tail(x->s.rank - 1);
  for (long e = 0; e < r.held(); ++e) {
    if (const long from = r.offset(e), to = r.offset(e + 1); from < to)
      device().add(rows_of(y->v(), from, to, n), rows_of(x->v(), from, to, n), rows_of(b->v(), e, e + 1, n));
  }
  return y;
}
}  // namespace erased

namespace operations {
constexpr bool apart(placement w) { return w.splits() && w.d->is == role::experts; }

template <class Features> struct dispatch {
  double chosen = 1, experts = 0;
  bool weighted = false, travels = false;
  const erased::routes* way = nullptr;
  static constexpr outcome rule(placement x, placement weights, placement w) { return rules::dispatch(x, weights, w, &info<Features>, &info<routed>); }
  constexpr void charge(bill& b) const {
    if (!travels) return;
    b.forward(collective::all_to_all, 0, experts * 8 / b.element_bytes);                 // how many rows go where
    b.forward(collective::all_to_all, 0, b.operand * chosen);
    if (b.tracked[0] || (weighted && b.tracked[1])) b.backward(collective::all_to_all, 0, b.operand * chosen);
  }
  ref run(const shape&, const auto& x, const auto& weights, const auto&) const { return erased::dispatch(x.at, weights.at, *way, weighted); }
};
struct combine {
  double chosen = 1;
  bool weighted = false, travels = false;
  const erased::routes* way = nullptr;
  static constexpr bool extents_may_differ = true;
  static constexpr outcome rule(placement x, placement weights) { return rules::combine(x, weights, &info<routed>); }
  constexpr void charge(bill& b) const {
    b.flops(2 * chosen, 4 * chosen);
    if (!travels) return;
    b.forward(collective::all_to_all, 0, b.result * chosen);
    if (b.tracked[0]) b.backward(collective::all_to_all, 0, b.result * chosen);
  }
  ref run(const shape& s, const auto& x, const auto& weights) const { return erased::combine(x.at, weights.at, *way, weighted, s); }
};
/// `In`: the summed dimensions.
template <class In> struct grouped {
  double summed = 0;
  bool transposed = false;
  const erased::routes* way = nullptr;
  static constexpr outcome rule(placement x, placement w) { return rules::grouped(x, w, summed_along<In>(x), &info<routed>); }
  constexpr void charge(bill& b) const {
    b.book->forward.flops += 2 * b.result * summed;
    b.book->backward.flops += 2 * b.result * summed * (double(b.tracked[0]) + double(b.tracked[1]));
  }
  ref run(const shape& s, const auto& x, const auto& w) const {
    const long k = x.at->s.tail(In::rank), n = s.tail(s.rank - 1);
    return erased::grouped(x.at, w.at, *way, n, k, transposed, s);
  }
};
struct grouped_bias {
  const erased::routes* way = nullptr;
  static constexpr outcome rule(placement x, placement b) { return rules::grouped_bias(x, b, &info<routed>); }
  constexpr void charge(bill& b) const { b.flops(1, 0); }
  ref run(const shape&, const auto& x, const auto& b) const { return erased::grouped_bias(x.at, b.at, *way); }
};
}  // namespace operations

/// Tokens dispatched: their rows, and what is done with rows.
template <class Rows, class Weights> struct dispatched {
  Rows rows;                                           ///< (routed, features)
  Weights weights;
  erased::routes way;
  double chosen = 1;
  bool weighted = false, travels = false;

  /// Rows times the matrix of their expert. w: [experts, out..., in...], or [experts, in..., out...]; h ends in its `in`.
  /// @error SP107 the summed dimension is cut on one side only; SP101 rows are not where their experts are; SP301 a whole matrix on dealt rows.
  template <class H, class W> constexpr auto grouped(const H& h, const W& parameter) const {
    if constexpr (any_broken<H, Rows>) return broken{};
    else {
      const auto w = parameter.seen_by(h);
      using T = std::remove_const_t<decltype(w)>;
      if constexpr (any_broken<T>) return broken{};
      else {
        using out_dims = with_role<role::out, dims_in<T>>;
        using in_dims = with_role<role::in, dims_in<T>>;
        using in = plain<in_dims>;
        using op = operations::grouped<in>;
        if constexpr (std::is_void_v<drop_back<dims_in<H>, in>>) {
          static_assert(verdict<code::dims_differ, free_operation<op>, fed<dims_in<H>>, needs<in>>::ok);
          return broken{};
        } else {
          using to = concat<drop_back<dims_in<H>, in>, plain<out_dims>>;
          constexpr bool transposed = info<nth_dim<dims_in<T>, 1>>.is == role::in;
          sizes_of<to> s;
          copy_sizes(s, h.sizes);
          copy_sizes(s, w.sizes);
          double k = 1;
          spot here{};
          if constexpr (is_ghost<H>) { if (h.at) here = h.at->where; } else here = self.where;
          for (int i = 0; i < w.sizes.rank; ++i)
            if (w.sizes.infos[std::size_t(i)]->is == role::in)
              k *= double(local_extent(w.sizes.infos[std::size_t(i)], w.sizes.n[std::size_t(i)], w.place(), here, w.sizes.table));
          using first = plain<first_of<out_dims>>;
          return apply<free_operation<op>, to, shard<first>, packed<first>>::op(op{k, transposed, &way}, s, h, w);
        }
      }
    }
  }
  /// Rows plus the bias of their expert: [experts, out...]. @error SP104 rows are Partial and the bias is not, see replicated_as_partial.
  template <class H, class B> constexpr auto bias(const H& h, const B& parameter) const {
    if constexpr (any_broken<H, Rows>) return broken{};
    else {
      const auto b = parameter.seen_by(h);
      if constexpr (any_broken<decltype(b)>) return broken{};
      else return apply<free_operation<operations::grouped_bias>, dims_in<H>>::op(operations::grouped_bias{&way}, h.sizes, h, b);
    }
  }
  /// (tokens..., features): each token's rows, weighted and summed.
  template <class H> constexpr auto combine(const H& h) const {
    if constexpr (any_broken<H, Rows>) return broken{};
    else {
      using to = concat<chop<dims_in<Weights>, 1>, dims<last_of<dims_in<H>>>>;
      sizes_of<to> s;
      copy_sizes(s, weights.sizes);
      copy_sizes(s, h.sizes);
      using op = operations::combine;
      return apply<free_operation<op>, to>::op(op{chosen, weighted, travels, &way}, s, h, weights);
    }
  }
};

namespace detail {
template <class X, class R, class P> constexpr auto dispatch(const X& x, const R& r, const P& parameter, bool on_the_way_in) {
  if constexpr (any_broken<X, R>) return dispatched<broken, broken>{};
  else {
    const auto w = parameter.seen_by(x);
    if constexpr (any_broken<decltype(w)>) return dispatched<broken, broken>{};
    else {
      using features = last_of<dims_in<X>>;
      using expert_dim = first_of<dims_in<decltype(w)>>;
      using op = operations::dispatch<features>;
      using to = dims<routed, features>;
      const double k = double(r.weights.sizes.n[std::size_t(r.weights.sizes.rank - 1)]);
      sizes_of<to> s;
      copy_sizes(s, x.sizes);
      if (!s.table) s.table = w.sizes.table;
      s.n[0] = long(double(x.sizes.count()) / double(x.sizes.n[std::size_t(x.sizes.rank - 1)]) * k);
      const bool apart = operations::apart(w.place().on[0]);
      const bool travels = apart && x.place().on[0].splits();
      erased::routes way;
      if constexpr (!is_ghost<X>)
        way = erased::routes_of(r.ids.at, &info<expert_dim>, w.sizes.n[0], apart ? rank_on() : 0, apart ? ranks_on() : 1, travels && ranks_on() > 1, w.sizes.table);
      const auto rows = apply<free_operation<op>, to, shard<routed>>::op(op{k, double(w.sizes.n[0]), on_the_way_in, travels, &way}, s, x, r.weights, w);
      using Rows = std::remove_const_t<decltype(rows)>;
      return dispatched<Rows, std::remove_const_t<std::remove_reference_t<decltype(r.weights)>>>{rows, r.weights, std::move(way), k, !on_the_way_in, travels};
    }
  }
}
}  // namespace detail

/// x (tokens..., features) to the experts of a parameter [experts, ...]; their results are weighted when they are combined.
/// @error SP102 experts are dealt and x or the weights are Invariant; SP101 x and the weights lie differently; SP103 Partial.
template <class X, class R, class P> constexpr auto dispatch(const X& x, const R& chosen, const P& parameter) { return detail::dispatch(x, chosen, parameter, false); }
/// The same; what goes in is weighted, and what comes out is summed as it is (Llama 4).
template <class X, class R, class P> constexpr auto dispatch_weighted(const X& x, const R& chosen, const P& parameter) { return detail::dispatch(x, chosen, parameter, true); }

}  // namespace shardproof

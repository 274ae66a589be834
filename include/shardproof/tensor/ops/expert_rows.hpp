#pragma once
/// @file
/// Rows on their way through experts, without types: dispatched, multiplied, shifted and combined along routes, and the gradients of each.
///
///     const ref rows = erased::dispatch(x, weights, way, false);           // (rows of this rank's experts, features), in order of expert
///     const ref h = erased::grouped(rows, w, way, n, k, false, shape);     // each expert's rows times its own matrix
///     const ref y = erased::combine(h, weights, way, true, shape);         // back at their tokens, weighted and summed
#include <shardproof/tensor/ops/arithmetic.hpp>
#include <shardproof/tensor/routes.hpp>
namespace shardproof {

namespace erased {
struct dispatch_state { long width; bool weighted; };
inline routes kept_routes(const node& y, std::size_t at) { return {y.in[at], y.in[at + 1]}; }
inline view as_rows(view v, long width) {
  v.s = {width ? v.count() / width : 0, width};
  return v;
}
inline ref weights_of_rows(const routes& r, const node& weights) {
  ref w = leaf(compute_type(weights.type), {r.leaving()});
  device().gather_rows(w->v(), as_rows(weights.v(), 1), r.choice(), 0);
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
// in: rows, w, lists, numbers
struct grouped_state { long n, k; bool transposed; };
inline void pull_grouped(node& y) {
  const auto [n, k, transposed] = state_of<grouped_state>(y);
  const routes r = kept_routes(y, 2);
  node &x = *y.in[0], &w = *y.in[1];
  const view dy = y.g(), at = r.offsets();
  if (x.tracked) {
    bool more = false;
    const view dx = x.g(more);
    device().grouped_matmul({.a = dy, .b = w.v(), .c = dx, .offsets = at, .rows = r.rows(), .n = k, .k = n, .tb = transposed, .accumulate = more});
  }
  if (!w.tracked) return;
  if (transposed) device().grouped_outer({.a = x.v(), .b = dy, .c = w.g(), .offsets = at, .rows = r.rows(), .n = n, .k = k});
  else device().grouped_outer({.a = dy, .b = x.v(), .c = w.g(), .offsets = at, .rows = r.rows(), .n = k, .k = n});
}
/// y[rows of e] = x[rows of e] w[e]^T, with w [experts, n, k]; transposed: [experts, k, n].
inline ref grouped(const ref& x0, const ref& w, const routes& r, long n, long k, bool transposed, const shape& s) {
  const ref x = widened(x0);
  ref y = record(x->type, s, {&x, &w, &r.lists, &r.numbers}, pull_grouped, grouped_state{n, k, transposed});
  if (live(y))
    device().grouped_matmul({.a = x->v(), .b = w->v(), .c = y->v(), .offsets = r.offsets(), .rows = r.rows(), .n = n, .k = k, .tb = !transposed});
  return y;
}

// in: rows, b, lists, numbers
inline void pull_grouped_bias(node& y) {
  const routes r = kept_routes(y, 2);
  node &x = *y.in[0], &w = *y.in[1];
  const view dy = y.gradient_view();
  if (w.tracked) device().grouped_sum(w.g(), dy, r.offsets());
  if (x.tracked) x.add_gradient(std::move(y.gradient), dy);
}
inline ref grouped_bias(const ref& x0, const ref& b0, const routes& r) {
  const ref x = widened(x0), b = widened(b0);
  ref y = record(x->type, x->s, {&x, &b, &r.lists, &r.numbers}, pull_grouped_bias);
  if (live(y)) device().grouped_add(y->v(), x->v(), b->v(), r.offsets());
  return y;
}
}  // namespace erased

}  // namespace shardproof

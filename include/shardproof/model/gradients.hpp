#pragma once
/// @file
/// Backward, and what gradients need before they are used: sums that are still pending, and their global norm.
///
///     sp::backward(loss);                                    // as often as there are micro-batches
///     double norm = sp::clip_gradients(sp::parameters(model), 1.0);      // finishes what is pending, scales, returns the norm
///
/// A gradient is pending over the ranks that hold copies of a KV head, and over axes on which the parameter is Replicate (dp).
/// Those sums are made once a step, in one message per communicator, not once per use.
#include <shardproof/model/parameters.hpp>
#include <shardproof/runtime/math.hpp>
#include <shardproof/runtime/tape.hpp>
#include <shardproof/tensor/ops/convert.hpp>
namespace shardproof {

namespace operations { struct backward; }              // a name in diagnostics
/// From a scalar loss. @error SP401 the loss is Replicate, Varying or sharded.
template <class D, class L> void backward(const tensor<data, D, L>& loss) {
  static_assert(D::rank == 0, "shardproof: backward starts from a scalar loss");
  if constexpr (!is_any<L>) {
    constexpr layout_value place = value_of<L>;          // named: g++ 12 must not meet its first use inside the lambda
    constexpr bool ok = [](const layout_value& p) {
      for (int a = 0; a < max_axes; ++a) if (!rules::loss_like(p.on[std::size_t(a)], a)) return false;
      return true;
    }(place);
    static_assert(verdict<ok ? code::ok : code::loss_not_invariant, free_operation<operations::backward>, fed<L>>::ok);
    if constexpr (!ok) return;
  } else {
    for (int a = 0; a < max_axes; ++a)
      if (const placement p = loss.place().on[std::size_t(a)]; !rules::loss_like(p, a)) {
        const fact f[] = {{"fed", p, loss.made_by}};
        refuse(code::loss_not_invariant, "backward", f, 1, a);
      }
  }
  if (self.dry) return;
  if (!loss.at->tracked) throw error(code::usage, "backward of a loss that nothing wants a gradient of.", "compute it outside sp::no_grad, from a model with a parameter that is not frozen.");
  seed(loss.at, 1);
  pull_all(loss.at);
}
constexpr void backward(broken) {}

namespace detail {
/// Sums the chosen gradients over a communicator, all in one message per dtype.
template <class F> void sum_gradients(const std::vector<parameter_view>& all, communicator* c, F chosen) {
  if (!c) return;
  for (dtype t : {dtype::f32, dtype::f64}) {
    long n = 0;
    for (const auto& v : all) if (chosen(v) && compute_type((*v.at)->type) == t) n += (*v.at)->s.count();
    if (!n) continue;
    ref flat = leaf(t, {n});
    long at = 0;
    const auto each = [&](auto f) {
      at = 0;
      for (const auto& v : all) if (chosen(v) && compute_type((*v.at)->type) == t) { f((*v.at)->g()); at += (*v.at)->s.count(); }
    };
    each([&](const view& g) { device().copy({.dst = flat->v(), .src = g, .rows = 1, .width = g.count(), .dst_row = n, .dst_at = at, .src_row = g.count()}); });
    c->all_reduce(flat->data.get(), n, t);
    each([&](const view& g) { device().copy({.dst = g, .src = flat->v(), .rows = 1, .width = g.count(), .dst_row = g.count(), .src_row = n, .src_at = at}); });
  }
}
inline bool takes_part(const parameter_view& v) { return *v.at && (*v.at)->tracked && !v.frozen; }
/// Is its gradient this rank's part of a sum? Not if the communicators there are leave nothing to add.
inline bool is_pending(const parameter_view& v) {
  for (std::size_t a = 0; a < max_axes; ++a) if (self.on[a] && v.place.on[a].k == kind::replicate) return true;
  return v.copies(ranks_on()) > 1;
}
}  // namespace detail

/// Makes the sums that are pending, once: calling it again changes nothing, and micro-batches after it are summed by the next call.
/// Collective: every rank calls it.
inline void finish_gradients(const std::vector<parameter_view>& all) {
  std::vector<parameter_view> open;
  for (const auto& v : all) if (detail::takes_part(v) && detail::is_pending(v) && !(*v.at)->finished) open.push_back(v);
  for (int a = 0; a < max_axes; ++a)
    detail::sum_gradients(open, self.on[std::size_t(a)], [a](const parameter_view& v) { return v.place.on[std::size_t(a)].k == kind::replicate; });
  const int w = ranks_on();
  for (int c = 2; c <= w; ++c) {
    const auto copied = [c, w](const parameter_view& v) { return v.copies(w) == c; };
    bool any = false;
    for (const auto& v : open) any = any || copied(v);
    if (any) detail::sum_gradients(open, &self.on[0]->split(rank_on() / c), copied);
  }
  for (const auto& v : open) (*v.at)->settle();
}
/// Forgets all gradients.
inline void clear_gradients(const std::vector<parameter_view>& all) {
  for (const auto& v : all) if (*v.at) (*v.at)->clear_gradient();
}

/// The 2-norm of the whole model's gradient, the same on every rank: shards are summed over tp, whole parameters and copies count
/// once. Finishes what is pending. One all_reduce.
inline double gradient_norm(const std::vector<parameter_view>& all) {
  finish_gradients(all);
  double whole = 0, cut = 0;
  for (const auto& v : all) {
    if (!detail::takes_part(v)) continue;
    const double s = device().sum_of_squares((*v.at)->g());
    if (v.place.on[0].splits()) cut += s / v.copies(ranks_on());
    else whole += s;
  }
  if (self.on[0]) self.on[0]->all_reduce(&cut, 1, dtype::f64);
  return math::sqrt(whole + cut);
}

/// What gradients are to be multiplied by so that their norm is at most `limit` (0: no limit); as torch.nn.utils.clip_grad_norm_.
inline double clip_factor(double norm, double limit) { return limit > 0 && norm > limit ? limit / (norm + 1e-6) : 1; }
/// Scales the gradients in place; returns the norm before.
inline double clip_gradients(const std::vector<parameter_view>& all, double limit) {
  const double norm = gradient_norm(all), f = clip_factor(norm, limit);
  if (f != 1) for (const auto& v : all) if (detail::takes_part(v)) { const view g = (*v.at)->g(); device().apply(unary::scale, g, g, f); }
  return norm;
}

}  // namespace shardproof

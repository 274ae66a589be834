#pragma once
/// @file
/// Backward, and what gradients need before they are used: sums that are still pending, and their global norm.
///
///     sp::backward(loss);                                    // as often as there are micro-batches
///     double norm = sp::clip_gradients(sp::parameters(model), 1.0);      // finishes what is pending, scales, returns the norm
///
/// A gradient is pending over the ranks that hold copies of a KV head (a part of a fused weight, perhaps), and over axes on which the parameter is Replicate (dp).
/// Those sums are made once a step, in one message per communicator, not once per use.
#include <shardproof/model/parameters.hpp>
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
/// A part of a parameter that so many ranks of tp hold alike: rows of the local tensor, `width` elements of each from `at` on.
struct held_alike {
  const parameter_view* v;
  int copies;
  long rows, width, row, at;
  long count() const { return rows * width; }
  node& n() const { return **v->at; }
};
/// One part, but for a fused dimension: query heads are held once where key heads are copied.
inline void each_part(const parameter_view& v, std::vector<held_alike>& out) {
  const long all = (*v.at)->s.count();
  const placement p = v.place.on[0];
  if (p.k != kind::packed) return out.push_back({&v, v.copies(ranks_on()), 1, all, all, 0});
  const cut c = cut_of(v.global, v.place, 0);
  const ranges mine = ranges_of(c, rank_on());
  const erased::around a((*v.at)->s, c.at);
  long at = 0;
  for (int i = 0; i < mine.count; ++i) {
    const dim_info* part = base_of(c.d)->part[std::size_t(i)];
    const long n = mine.at[std::size_t(i)].size();
    out.push_back({&v, copies_of(part, extent_of(part, c.table), ranks_on(), c.table), a.rows, n * a.tail, mine.size() * a.tail, at * a.tail});
    at += n;
  }
}
/// Sums parts of gradients over a communicator, all in one message per dtype.
inline void sum_gradients(const std::vector<held_alike>& parts, communicator& c) {
  for (dtype t : {dtype::f32, dtype::f64}) {
    long n = 0;
    for (const auto& p : parts) if (compute_type(p.n().type) == t) n += p.count();
    if (!n) continue;
    ref flat = leaf(t, {n});
    const auto each = [&](auto f) {
      long at = 0;
      for (const auto& p : parts) if (compute_type(p.n().type) == t) { f(p, at); at += p.count(); }
    };
    each([&](const held_alike& p, long at) {
      device().copy({.dst = flat->v(), .src = p.n().g(), .rows = p.rows, .width = p.width, .dst_row = p.width, .dst_at = at, .src_row = p.row, .src_at = p.at});
    });
    c.all_reduce(flat->data.get(), n, t);
    each([&](const held_alike& p, long at) {
      device().copy({.dst = p.n().g(), .src = flat->v(), .rows = p.rows, .width = p.width, .dst_row = p.row, .dst_at = p.at, .src_row = p.width, .src_at = at});
    });
  }
}
/// into[0] += the squares of a part's elements; those that several ranks hold count once.
inline void add_squares(const view& into, const held_alike& p) {
  const view g = p.n().g();
  if (p.count() == g.count()) return device().sum_of_squares(into, g, 1.0 / p.copies);
  ref some = leaf(g.type, {p.count()});
  device().copy({.dst = some->v(), .src = g, .rows = p.rows, .width = p.width, .dst_row = p.width, .src_row = p.row, .src_at = p.at});
  device().sum_of_squares(into, some->v(), 1.0 / p.copies);
}
inline bool takes_part(const parameter_view& v) { return *v.at && (*v.at)->tracked && !v.frozen; }
/// Is its gradient this rank's part of a sum? Not if the communicators there are leave nothing to add.
inline bool is_pending(const parameter_view& v) {
  for (std::size_t a = 0; a < max_axes; ++a) if (self.on[a] && v.place.on[a].k == kind::replicate) return true;
  std::vector<held_alike> parts;
  each_part(v, parts);
  for (const auto& p : parts) if (p.copies > 1) return true;
  return false;
}
}  // namespace detail

/// Makes the sums that are pending, once: calling it again changes nothing, and micro-batches after it are summed by the next call.
/// Collective: every rank calls it.
inline void finish_gradients(const std::vector<parameter_view>& all) {
  std::vector<parameter_view> open;
  for (const auto& v : all) if (detail::takes_part(v) && detail::is_pending(v) && !(*v.at)->finished) open.push_back(v);
  for (std::size_t a = 0; a < max_axes; ++a) {
    if (!self.on[a]) continue;
    std::vector<detail::held_alike> parts;
    for (const auto& v : open) if (const long n = (*v.at)->s.count(); v.place.on[a].k == kind::replicate) parts.push_back({&v, 1, 1, n, n, 0});
    detail::sum_gradients(parts, *self.on[a]);
  }
  std::vector<detail::held_alike> all_parts;
  for (const auto& v : open) detail::each_part(v, all_parts);
  for (int c = 2; c <= ranks_on(); ++c) {
    std::vector<detail::held_alike> copied;
    for (const auto& p : all_parts) if (p.copies == c) copied.push_back(p);
    if (!copied.empty()) detail::sum_gradients(copied, self.on[0]->neighbours(c));
  }
  for (const auto& v : open) (*v.at)->settle();
}
/// Forgets all gradients.
inline void clear_gradients(const std::vector<parameter_view>& all) {
  for (const auto& v : all) if (*v.at) (*v.at)->clear_gradient();
}

/// The norm of a gradient and what it is to be multiplied by, on the device: reading one waits for it.
class clipping {
  ref numbers_;                                          // f64: squares of whole and of cut parameters, norm, factor

 public:
  clipping() = default;
  explicit clipping(ref numbers) : numbers_(std::move(numbers)) {}
  view at(int i, long n = 1) const { return {static_cast<double*>(numbers_->data.get()) + i, dtype::f64, {n}}; }
  view factor() const { return at(3); }
  double norm() const { return numbers_ ? device().read(numbers_->v(), 2) : 0; }
};
/// The norm of the whole model's gradient and what it is to be multiplied by so that it is at most `limit` (0: no limit), as
/// torch.nn.utils.clip_grad_norm_. The same on every rank: shards are summed over tp, whole parameters and copies count once.
/// Finishes what is pending. One all_reduce.
inline clipping clip(const std::vector<parameter_view>& all, double limit) {
  finish_gradients(all);
  ref numbers = leaf(dtype::f64, {4});
  const clipping c(numbers);
  device().fill(c.at(0, 2), 0);
  for (const auto& v : all) {
    if (!detail::takes_part(v)) continue;
    std::vector<detail::held_alike> parts;
    detail::each_part(v, parts);
    for (const auto& p : parts) detail::add_squares(c.at(v.place.on[0].splits() ? 1 : 0), p);
  }
  if (self.on[0]) self.on[0]->all_reduce(c.at(1).p, 1, dtype::f64);
  device().clip_factor(c.at(2), c.factor(), c.at(0, 2), limit);
  return c;
}
/// The 2-norm of the whole model's gradient; see clip.
inline double gradient_norm(const std::vector<parameter_view>& all) { return clip(all, 0).norm(); }

/// Scales the gradients in place; returns the norm before.
inline double clip_gradients(const std::vector<parameter_view>& all, double limit) {
  const clipping c = clip(all, limit);
  for (const auto& v : all) {
    if (!detail::takes_part(v)) continue;
    const view g = (*v.at)->g();
    const ref by = leaf(g.type, {1});
    device().cast(by->v(), c.factor());
    device().multiply(g, g, by->v());
  }
  return c.norm();
}

}  // namespace shardproof

#pragma once
/// @file
/// Whole tensors out of shards: detached copies, for files, checks and reports.
///
///     std::vector<double> w = sp::gathered_values(view);                   // global row-major elements, on every rank
///     std::vector<double> g = sp::gathered_gradient(view);                 // finish_gradients first
///     auto logits = sp::full(y);                                           // a tensor's whole value, Invariant, without history
///
/// Where groups lie in copies, the first copy is taken.
#include <shardproof/model/gradients.hpp>
namespace shardproof {

/// Any tensor as an Invariant one without history: a Partial is summed, a shard gathered. Collective.
template <class D, class L> tensor<data, D, invariant> full(const tensor<data, D, L>& x) {
  const no_grad off;
  layout_value p = x.place();
  ref n = x.at;
  const extents e(x.sizes);
  for (int a = 0; a < max_axes; ++a) {                                       // the innermost axis first
    const placement q = p.on[std::size_t(a)];
    const cut c = cut_of(e, p, a);
    if (q.k == kind::partial) n = exchange(n, primitive::all_reduce_p_i, a);
    else if (q.splits()) n = exchange(n, primitive::all_gather_s_i, a, &c);
    p.on[std::size_t(a)] = {};
  }
  return {x.sizes, n, invariant_everywhere, x.made_by};
}

namespace detail {
inline std::vector<double> host_copy(const view& v) {
  std::vector<double> out(std::size_t(v.count()));
  if (out.empty()) return out;
  visit(v.type, [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> raw(out.size());
    device().to_host(raw.data(), v);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = double(raw[i]);
  });
  return out;
}
/// This rank's part of a parameter (or of its gradient) as the whole.
inline ref whole_of(const parameter_view& v, const view& mine) {
  const no_grad off;
  ref n(new node);
  n->type = mine.type;
  n->s = mine.s;
  n->data = buffer::borrowed(mine.p, mine.bytes());
  const cut c = cut_of(v.global, v.place, 0);
  return v.place.on[0].splits() ? exchange(n, primitive::all_gather_s_i, 0, &c) : n;
}
}  // namespace detail

inline std::vector<double> gathered_values(const parameter_view& v) { return detail::host_copy(detail::whole_of(v, (*v.at)->v())->v()); }
inline std::vector<double> gathered_gradient(const parameter_view& v) { return detail::host_copy(detail::whole_of(v, (*v.at)->g())->v()); }

}  // namespace shardproof

#pragma once
/// @file
/// Whole tensors out of shards: detached copies, for files, checks and reports.
///
///     std::vector<double> w = sp::gathered_values(view);                   // global row-major elements, on every rank
///     std::vector<double> g = sp::gathered_gradient(view);                 // finish_gradients first
///     std::vector<double> logits = sp::values(sp::full(y));                // full: Invariant, without history
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
  if (!v.p) throw error(code::usage, "a tensor of a dry run is read; it has a shape and no values.", "read tensors of a real forward.");
  // No element is wider than a double: they are read into the front of `out` and widened in place, the last one first.
  const auto* raw = reinterpret_cast<const std::byte*>(out.data());
  device().to_host(out.data(), v);
  for (std::size_t i = out.size(); i-- > 0;) out[i] = read_element(v.type, raw + i * bytes_of(v.type));
  return out;
}
template <class T> node& set_node(const T& x) {
  if (x.at) return *x.at;
  if constexpr (requires { typename T::tag; }) refuse_unset(type_name<typename T::tag>());
  else refuse_unset("of a tensor");
}
inline node& set_node(const parameter_view& v) {
  if (!*v.at) refuse_unset(v.name);
  return **v.at;
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

/// A tensor or a parameter.
template <class T> concept holds_values = requires(const T& x) { { x.at->v() } -> std::same_as<view>; };
/// This rank's elements of a tensor or parameter, row-major. @error SP001 there are none: of a dry run, or not yet set.
template <holds_values T> std::vector<double> values(const T& x) { return detail::host_copy(detail::set_node(x).v()); }
/// This rank's elements of its gradient after backward, zeros where nothing came; finish_gradients first for parameters.
template <holds_values T> std::vector<double> gradient(const T& x) { return detail::host_copy(detail::set_node(x).g()); }

/// The same of a parameter without its types, gathered: the whole, on every rank. Collective. @error SP001 it is not set.
inline std::vector<double> gathered_values(const parameter_view& v) { return detail::host_copy(detail::whole_of(v, detail::set_node(v).v())->v()); }
inline std::vector<double> gathered_gradient(const parameter_view& v) { return detail::host_copy(detail::whole_of(v, detail::set_node(v).g())->v()); }

}  // namespace shardproof

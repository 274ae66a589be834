#pragma once
/// @file
/// What goes into a model: token ids, over dimensions of the library's or of one's own.
///
///     auto ids = sp::input(model, sp::tokens{2, 5}, numbers);            // (batch, seq) i64; on dp each rank takes its part
///     auto x = sp::whole(sp::sizes_of<sp::dims<batch, hidden>>{2, 16}, values);     // Invariant, from a span of f32 or f64
#include <span>
#include <vector>
#include <shardproof/model/visit.hpp>
namespace shardproof {

struct batch : dim<> {};
struct seq : dim<> {};
/// Extents of a batch of token ids.
struct tokens : sizes_of<dims<batch, seq>> { using sizes_of<dims<batch, seq>>::sizes_of; };
/// Rank counts of an imagined mesh.
struct ranks { int tp = 1, dp = 1; };

/// What a tensor of such values is stored as.
template <class T> inline constexpr dtype dtype_of = std::is_integral_v<T> ? dtype::i64 : dtype::f32;
template <> inline constexpr dtype dtype_of<double> = dtype::f64;

/// The same values on every rank. @error SP001 the number of values is not the product of the extents.
template <class S, class T> auto whole(const S& s, std::span<const T> values) {
  using D = typename S::dims_type;
  if (long(values.size()) != s.count()) throw error(code::usage, "a tensor is given another number of values than its extents multiply to.", "pass as many values as the extents say.");
  shape local;
  for (int i = 0; i < s.rank; ++i) local.push(s.n[std::size_t(i)]);
  ref n = leaf(dtype_of<T>, local);
  if (live(n)) {
    if constexpr (std::is_integral_v<T> && sizeof(T) < sizeof(long)) {                    // kernels read ids as i64
      const std::vector<long> wide(values.begin(), values.end());
      device().from_host(n->v(), wide.data());
    } else device().from_host(n->v(), values.data());
  }
  return tensor<data, D, invariant>{static_cast<const sizes_of<D>&>(s), n};
}
template <class S, class C> auto whole(const S& s, const C& values) { return whole(s, std::span<const typename C::value_type>(values)); }

namespace detail {
template <class M> struct plan_in;
template <template <class> class M, class At> struct plan_in<M<At>> { using type = plan_of<At>; };
template <class M> using settings_in = typename plan_in<M>::type::set;
template <class M, bool Typed> struct input_layout_impl { using type = typename settings_in<M>::template activation<invariant>; };
template <class M> struct input_layout_impl<M, false> { using type = any; };
}  // namespace detail
/// How a model's inputs lie under its plan: whole on tp, the plan's default on the other axes.
template <class M> using input_layout = typename detail::input_layout_impl<M, detail::plan_in<M>::type::typed>::type;
namespace detail {
template <class M> inline constexpr layout_value typed_input_place = value_of<typename settings_in<M>::template activation<invariant>>;
}
template <class M> const layout_value& input_place(const M& m) {
  const layout_value* p = &detail::typed_input_place<M>;
  if constexpr (!detail::plan_in<M>::type::typed) each_layer(m, [&](const auto& l, const layer_numbers&) { p = &l.bound.set->activation; });
  return *p;
}

namespace detail {
template <class L, class S, class T> auto input_at(const layout_value& p, const S& s, std::span<const T> values) {
  using D = typename S::dims_type;
  const auto full = whole(s, values);
  ref n = full.at;
  for (int a = max_axes; a--;) {
    const cut c = cut_of(extents(static_cast<const sizes_of<D>&>(s)), p, a);
    if (c.p.splits() && ranks_on(a) > 1) {
      const no_grad off;
      n = exchange(n, primitive::convert_i_s, a, nullptr, &c);
    }
  }
  return tensor<data, D, L>{static_cast<const sizes_of<D>&>(s), n, p};
}
}  // namespace detail
/// This rank's part of a global input, given whole on every rank.
template <class M, class S, class T> auto input(const M& m, const S& s, std::span<const T> values) { return detail::input_at<input_layout<M>>(input_place(m), s, values); }
template <class M, class S, class C> auto input(const M& m, const S& s, const C& values) { return input(m, s, std::span<const typename C::value_type>(values)); }

/// Other elements for a tensor that is there, such as the input of a step that sp::replay runs again: x keeps its memory.
/// @error SP001 another shape or type.
template <class D, class L> void assign(const tensor<data, D, L>& x, const tensor<data, D, L>& values) {
  if (!(x.at->s == values.at->s) || x.at->type != values.at->type)
    throw error(code::usage, "a tensor is assigned elements of another shape or type.", "make a new tensor, and a new sp::replay for its shape.");
  if (live(values.at) && x.at->s.count()) device().copy({.dst = x.at->v(), .src = values.at->v(), .rows = 1, .width = x.at->s.count()});
  x.at->forget_views();
}

}  // namespace shardproof

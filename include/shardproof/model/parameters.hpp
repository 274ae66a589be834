#pragma once
/// @file
/// A model's parameters without their types: what loaders, savers, optimizers and reports work on.
///
///     for (sp::parameter_view& p : sp::parameters(model)) std::printf("%s %zu bytes here\n", p.name.c_str(), p.local_bytes(sp::self.where));
///
/// Names are the checkpoint's: "model.layers.3.self_attn.q_proj.weight", in the order of declaration.
#include <string>
#include <vector>
#include <shardproof/model/visit.hpp>
namespace shardproof {

struct parameter_view {
  std::string name;
  extents global;                                      ///< names and global extents
  layout_value place;
  ref* at;                                             ///< the node that holds this rank's values, once materialised
  bool buffer = false;                                 ///< saved and loaded, without a gradient
  bool frozen = false;
  const char* layer = "";                              ///< path of the layer, with "*" for layer numbers
  const char* style = "replicated";
  std::vector<std::string> stored{};                   ///< tensors that a checkpoint keeps it in, block by block; empty: one, of its name
  bool unroled = false;                                ///< declared without roles: a file has its dimensions one by one

  /// A bias or a gain rather than a matrix: one dimension, or several that a file keeps as one.
  bool is_vector() const {
    bool one_role = !unroled && global.rank > 0 && global.d[0]->is != role::none;
    for (int i = 1; i < global.rank; ++i) one_role = one_role && global.d[i]->is == global.d[0]->is;
    return global.rank == 1 || one_role;
  }
  /// Starts at zero; experts have one each.
  bool is_bias() const { return name.ends_with(".bias") || name.ends_with("_bias"); }

  shape local_shape(const spot& where) const {
    shape s;
    for (int i = 0; i < global.rank; ++i) s.push(local_extent(global.d[i], global.n[i], place, where, global.table));
    return s;
  }
  double local_count(const spot& where) const { return shardproof::local_count(global, place, where); }
  /// Bytes that the rank at `where` holds, when stored as t.
  std::size_t local_bytes(const spot& where, dtype t = dtype::f32) const { return std::size_t(local_count(where)) * bytes_of(t); }
  /// How many ranks of tp hold each element of a sharded parameter: KV heads that the ranks outnumber.
  int copies(int ranks_of_tp) const { return copies_of(global, place.on[0], ranks_of_tp); }
};

namespace detail {
/// "layers.*.mlp" with the numbers put in, left to right.
inline std::string numbered(std::string_view path, const layer_numbers& n) {
  std::string out;
  int k = 0;
  for (char c : path) if (c == '*') out += std::to_string(n.at[k++]); else out += c;
  return out;
}
template <class L> inline constexpr bool is_unroled = false;
template <class L> requires requires { L::roled; } inline constexpr bool is_unroled<L> = !L::roled;
template <class L> constexpr const char* style_name_of(const L& l) {
  const char* out = "replicated";
  each_style(typename plan_of<typename L::where>::styles{}, [&]<class S>(int i, S*) { if (i == style_chosen(l)) out = S::name; });
  return out;
}
}  // namespace detail

/// Every parameter and buffer that is present.
template <class M> std::vector<parameter_view> parameters(M& m) {
  std::vector<parameter_view> out;
  each_layer(m, [&](auto& l, const layer_numbers& n) {
    using L = std::remove_reference_t<decltype(l)>;
    const std::string path = detail::numbered(L::where::path(), n);
    each_parameter_of(l, [&](auto& p) {
      using P = std::remove_reference_t<decltype(p)>;
      constexpr bool free = std::is_same_v<typename P::tag, detail::itself>;
      constexpr bool unroled = detail::is_unroled<L>;
      if constexpr (P::optional) if (!p.present) return;
      std::string name = path;
      if constexpr (!free) (name += ".") += type_name<typename P::tag>();
      out.push_back({std::move(name), extents(p.sizes), p.place(), &p.at, P::buffer, p.frozen, L::where::c_path(), detail::style_name_of(l), {}, unroled});
    });
  });
  return out;
}

/// f(global element index, local element index) for every element that the rank at `where` holds, in local order.
template <class F> void each_local_element(const parameter_view& v, const spot& where, F f) {
  // Axis by axis a dimension is dealt again; only tp cuts parameters today, the other axes hold them whole.
  std::array<ranges, max_rank> cuts{};
  for (int i = 0; i < v.global.rank; ++i)
    cuts[std::size_t(i)] = local_ranges(v.global.d[i], v.global.n[i], v.place.on[0], where.rank[0], where.ranks[0], v.global.table);
  long local = 0;
  const auto walk = [&](const auto& again, int d, long base) -> void {
    if (d == v.global.rank) { f(base, local++); return; }
    const ranges& r = cuts[std::size_t(d)];
    for (int k = 0; k < r.count; ++k)
      for (long i = r.at[std::size_t(k)].begin; i < r.at[std::size_t(k)].end; ++i) again(again, d + 1, base * v.global.n[d] + i);
  };
  walk(walk, 0, 0);
}
/// f(first global element, first local element, count) for every contiguous run of the global tensor that a rank holds: what a
/// loader reads and a saver writes.
template <class F> void each_local_run(const parameter_view& v, const spot& where, F f) {
  std::array<ranges, max_rank> cuts{};
  int last = -1;                                       // the innermost dimension that is cut
  for (int i = 0; i < v.global.rank; ++i) {
    cuts[std::size_t(i)] = local_ranges(v.global.d[i], v.global.n[i], v.place.on[0], where.rank[0], where.ranks[0], v.global.table);
    if (cuts[std::size_t(i)].size() != v.global.n[i] || cuts[std::size_t(i)].count > 1) last = i;
  }
  long inner = 1;
  for (int i = last + 1; i < v.global.rank; ++i) inner *= v.global.n[i];
  long local = 0;
  if (last < 0) { if (inner) f(0L, 0L, inner); return; }
  const auto walk = [&](const auto& again, int d, long base) -> void {
    const ranges& r = cuts[std::size_t(d)];
    for (int k = 0; k < r.count; ++k) {
      const slice s = r.at[std::size_t(k)];
      if (d == last) {
        if (s.size() > 0 && inner > 0) { f((base * v.global.n[d] + s.begin) * inner, local, s.size() * inner); local += s.size() * inner; }
      } else for (long i = s.begin; i < s.end; ++i) again(again, d + 1, base * v.global.n[d] + i);
    }
  };
  walk(walk, 0, 0);
}

/// @error SP105 the parameter cannot be dealt to the ranks there are, with the legal counts.
inline void require_dealable(const parameter_view& v, int w) {
  const placement p = v.place.on[0];
  if (!p.splits()) return;
  const bool summed = p.d->is == role::in;
  const auto check = [&](const dim_info* d, long n) {
    if (base_of(d)->factors && items_each(d, v.global.table) > 0) {
      n /= items_each(d, v.global.table);
      d = lead_of(d);
    }
    if (dealable(d, n, w, v.global.table, summed)) return;
    std::string facts = "at " + v.name + ", style " + v.style + ", " + std::string(base_of(d)->name) + " = " + std::to_string(n) + ", unit " +
                        (d->dealt == deal::items ? "item" : d->block > 1 ? "block" : "head") + ", ranks " + std::to_string(w) + ", legal";
    const rank_counts ok = legal_ranks(d, n, v.global.table, summed);
    for (int i = 0; i < ok.count; ++i) facts += (i ? ", " : " ") + std::to_string(ok.at[std::size_t(i)]);
    throw error(dealable(d, n, w, v.global.table) ? code::copied_contraction : code::no_partition, facts);
  };
  if (p.k == kind::packed) {
    const dim_info* whole = base_of(p.d);
    for (int i = 0; i < whole->parts; ++i) check(whole->part[std::size_t(i)], extent_of(whole->part[std::size_t(i)], v.global.table));
  } else {
    for (int i = 0; i < v.global.rank; ++i) if (v.global.d[i] == p.d) check(p.d, v.global.n[i]);
  }
}

/// Allocates this rank's shard (not cleared). @error SP105.
inline ref materialise(const parameter_view& v, dtype t) {
  for (int i = 0; i < v.global.rank; ++i)
    if (v.global.n[i] == dynamic)
      throw error(code::usage, "parameter \"" + v.name + "\" needs values, and dimension \"" + std::string(base_of(v.global.d[i])->name) + "\" has no extent yet.",
                  "call sp::set_extents(model, table) first, or give the dimension a number: sp::dim<64>.");
  require_dealable(v, ranks_on());
  ref r = leaf(t, v.local_shape(self.where));
  r->tracked = !v.frozen && !v.buffer;
  r->accumulates = true;
  *v.at = r;
  return r;
}

}  // namespace shardproof

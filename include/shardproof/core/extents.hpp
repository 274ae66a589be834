#pragma once
/// @file
/// Global extents: of one tensor (`sizes_of`), and of all the dynamic dimensions of a model (`extent_table`).
///
///     sp::sizes_of<sp::dims<batch, seq>> s{2, 5};
///     sp::extent_table t; t.set<hidden>(4096); t.set<kv_heads>(8);
///     static_assert(sp::sizes_of<sp::dims<hidden>>{}.n[0] == 4096);       // static extents are filled in
#include <shardproof/core/dim.hpp>
#include <shardproof/core/error.hpp>
namespace shardproof {

/// Extents of dimensions that are known at start-up. Static ones need no entry. @error SP001 more than 48 dynamic dimensions.
struct extent_table {
  struct entry { const dim_info* d; long n; };
  std::array<entry, 48> entries{};
  int count = 0;
  constexpr long find(const dim_info* d) const {
    for (int i = 0; i < count; ++i) if (entries[std::size_t(i)].d == d) return entries[std::size_t(i)].n;
    return dynamic;
  }
  constexpr void set(const dim_info* d, long n) {
    for (int i = 0; i < count; ++i) if (entries[std::size_t(i)].d == d) { entries[std::size_t(i)].n = n; return; }
    if (count == int(entries.size())) throw error(code::usage, "an extent_table holds 48 dimensions.", "give the fixed ones a static extent, sp::dim<N>.");
    entries[std::size_t(count++)] = {d, n};
  }
  template <class D> constexpr extent_table& set(long n) { set(&info<D>, n); return *this; }
  constexpr bool operator==(const extent_table& o) const {
    if (count != o.count) return false;
    for (int i = 0; i < count; ++i) if (o.find(entries[std::size_t(i)].d) != entries[std::size_t(i)].n) return false;
    return true;
  }
};

/// The global extent of a dimension: its constant, its table entry, the sum of its parts or the product of its factors; `dynamic` if unknown.
constexpr long extent_of(const dim_info* d, const extent_table* t) {
  d = base_of(d);
  if (d->extent != dynamic) return d->extent;
  if (d->parts) {
    long sum = 0;
    for (int i = 0; i < d->parts; ++i) {
      const long n = extent_of(d->part[std::size_t(i)], t);
      if (n == dynamic) return dynamic;
      sum += n;
    }
    return sum;
  }
  if (d->factors) {
    long product = 1;
    for (int i = 0; i < d->factors; ++i) {
      const long n = extent_of(d->part[std::size_t(i)], t);
      if (n == dynamic) return dynamic;
      product *= n;
    }
    return product;
  }
  if (d->renamed) return extent_of(d->renamed, t);
  return t ? t->find(d) : dynamic;
}

template <class D> struct sizes_of;
/// Global extents of a tensor over `dims<D...>`, and the table that knows the extents its dimensions depend on.
template <class... D> struct sizes_of<dims<D...>> {
  using dims_type = dims<D...>;
  static constexpr int rank = int(sizeof...(D));
  static constexpr auto infos = [] {
    std::array<const dim_info*, sizeof...(D) + 1> a{};
    [[maybe_unused]] std::size_t i = 0;
    ((a[i++] = &info<D>), ...);
    return a;
  }();
  std::array<long, sizeof...(D) + 1> n{D::static_extent..., 1};
  const extent_table* table = nullptr;
  constexpr sizes_of() = default;
  template <class... N> requires (sizeof...(N) == sizeof...(D) && sizeof...(N) > 0 && (std::is_integral_v<N> && ...))
  constexpr sizes_of(N... extents) : n{long(extents)..., 1} {
    for (int i = 0; i < rank; ++i) {
      if (n[std::size_t(i)] < 0) throw error(code::usage, "sizes_of is given a negative extent.", "pass extents of at least 0.");
      if (const long fixed = infos[std::size_t(i)]->extent; fixed != dynamic && fixed != n[std::size_t(i)])
        throw error(code::usage, "sizes_of is given another extent than its dimension has.", "pass the dimension's own, or make it sp::dim<> and pass any.");
    }
  }
  constexpr explicit sizes_of(const extent_table* t) : n{extent_of(&info<D>, t)..., 1}, table(t) {}
  template <class X> static constexpr int index_of() {
    constexpr bool hit[] = {std::is_same_v<X, D>..., true};
    int i = 0;
    while (!hit[i]) ++i;
    return i < rank ? i : -1;
  }
  constexpr long count() const { long c = 1; for (int i = 0; i < rank; ++i) c *= n[std::size_t(i)]; return c; }
  template <class X> constexpr long extent() const { return n[std::size_t(index_of<X>())]; }
  constexpr bool operator==(const sizes_of& o) const { return n == o.n; }
};

/// Copies the extents of the dimensions that `to` and `from` share, roles aside, and the table if `to` has none.
template <class... O, class... I> constexpr void copy_sizes(sizes_of<dims<O...>>& to, const sizes_of<dims<I...>>& from) {
  [[maybe_unused]] const auto one = [&](const dim_info* d, std::size_t at) {
    for (std::size_t k = 0; k < sizeof...(I); ++k) if (base_of(from.infos[k]) == base_of(d)) to.n[at] = from.n[k];
  };
  [[maybe_unused]] std::size_t at = 0;
  (one(&info<O>, at++), ...);
  if (!to.table) to.table = from.table;
}

/// The same without its type: what erased code and the partition of a whole tensor take.
struct extents {
  const dim_info* const* d;
  const long* n;
  int rank;
  const extent_table* table;
  template <class... D> constexpr extents(const sizes_of<dims<D...>>& s) : d(s.infos.data()), n(s.n.data()), rank(s.rank), table(s.table) {}
  constexpr extents(const dim_info* const* d_, const long* n_, int rank_, const extent_table* t) : d(d_), n(n_), rank(rank_), table(t) {}
  constexpr long count() const { long c = 1; for (int i = 0; i < rank; ++i) c *= n[i]; return c; }
};

}  // namespace shardproof

// Every pair (forward, backward) of 24 buffer operations between 5 placements, tried on all ranks at once: the well-typed ones,
// their composites, and where the library's table and the mutants found in the field stand among them.
#include <array>
#include <catch2/catch.hpp>
#include <shardproof/core/primitive_table.hpp>
#include <set>
#include <tuple>
#include <vector>

namespace {
namespace pr = shardproof::primitive;
using shardproof::kind;
using shardproof::placement;

/// N ranks and shards of m; whole tensors have N m elements. Entries of maps are in units of 1/N, so all numbers are integers.
struct world { int n, m; };
constexpr world worlds[] = {{2, 1}, {2, 2}, {3, 1}, {3, 2}, {4, 1}};

enum class extent_kind { whole, shard };
constexpr int length(extent_kind e, world w) { return e == extent_kind::whole ? w.n * w.m : w.m; }

/// The local buffers of all ranks, one behind the other.
constexpr int most = 18;
using vec = std::array<long, most>;
/// column[j]: the image of unit vector j.
struct map {
  extent_kind in, out;
  std::array<vec, most> column{};
};

enum class same_size { identity, all_reduce, zero_nonroot, scale_down, scale_up, broadcast, reduce_root, all_mean };
constexpr int same_sizes = 8;
enum op : int {                                      // the first eight on whole buffers, the next eight on shards
  all_gather = 2 * same_sizes, split, reduce_scatter, pad, mask_own, scatter_root, gather_root, all_to_all, ops
};
constexpr int whole(same_size s) { return int(s); }
constexpr int shard(same_size s) { return same_sizes + int(s); }

map map_of(int o, world w) {
  const int n = w.n, unit = n;                       // `unit` stands for 1
  map a{extent_kind::whole, extent_kind::whole, {}};
  if (o == all_gather || o == pad || o == gather_root || (o >= same_sizes && o < 2 * same_sizes)) a.in = extent_kind::shard;
  if (o == split || o == reduce_scatter || o == scatter_root || (o >= same_sizes && o < 2 * same_sizes))
    a.out = extent_kind::shard;
  const int in = length(a.in, w), out = length(a.out, w);
  const auto put = [&](int to_rank, int to, int from_rank, int from, long v) {
    a.column[std::size_t(from_rank * in + from)][std::size_t(to_rank * out + to)] = v;
  };
  for (int r = 0; r < n; ++r)
    for (int q = 0; q < n; ++q)
      for (int i = 0; i < out; ++i) {
        const int own = r * w.m + i;                 // place in the whole of element i of rank r's shard
        switch (o) {
          case all_gather: if (i / w.m == q) put(r, i, q, i % w.m, unit); break;
          case gather_root: if (r == 0 && i / w.m == q) put(r, i, q, i % w.m, unit); break;
          case pad: if (r == q && i / w.m == r) put(r, i, q, i % w.m, unit); break;
          case split: if (r == q) put(r, i, q, own, unit); break;
          case scatter_root: if (q == 0) put(r, i, q, own, unit); break;
          case reduce_scatter: put(r, i, q, own, unit); break;
          case mask_own: if (r == q && i / w.m == r) put(r, i, q, i, unit); break;
          case all_to_all: if (i / w.m == q) put(r, i, q, r * w.m + i % w.m, unit); break;
          default:
            switch (same_size(o % same_sizes)) {
              case same_size::identity: if (r == q) put(r, i, q, i, unit); break;
              case same_size::all_reduce: put(r, i, q, i, unit); break;
              case same_size::zero_nonroot: if (r == q && r == 0) put(r, i, q, i, unit); break;
              case same_size::scale_down: if (r == q) put(r, i, q, i, 1); break;
              case same_size::scale_up: if (r == q) put(r, i, q, i, unit * n); break;
              case same_size::broadcast: if (q == 0) put(r, i, q, i, unit); break;
              case same_size::reduce_root: if (r == 0) put(r, i, q, i, unit); break;
              case same_size::all_mean: put(r, i, q, i, 1); break;
            }
        }
      }
  return a;
}

constexpr kind placements[] = {kind::invariant, kind::replicate, kind::varying, kind::partial, kind::shard};
constexpr kind dual(kind k) { return shardproof::dual(placement(k)).k; }
constexpr extent_kind extent_of(kind k) { return k == kind::shard ? extent_kind::shard : extent_kind::whole; }

vec apply(const map& a, const vec& x, world w) {
  vec y{};
  const int in = w.n * length(a.in, w), out = w.n * length(a.out, w);
  for (int j = 0; j < in; ++j)
    if (x[std::size_t(j)])
      for (int i = 0; i < out; ++i) y[std::size_t(i)] += a.column[std::size_t(j)][std::size_t(i)] * x[std::size_t(j)];
  return y;
}
/// First `b`, then `a`; entries are in units of 1/N^2 then.
map after(const map& a, const map& b, world w) {
  map c{b.in, a.out, {}};
  for (int j = 0; j < w.n * length(b.in, w); ++j) c.column[std::size_t(j)] = apply(a, b.column[std::size_t(j)], w);
  return c;
}

std::vector<vec> basis(kind k, world w) {
  std::vector<vec> out;
  const int size = length(extent_of(k), w);
  if (placement(k).whole()) {
    for (int i = 0; i < size; ++i) {
      vec x{};
      for (int r = 0; r < w.n; ++r) x[std::size_t(r * size + i)] = 1;
      out.push_back(x);
    }
    return out;
  }
  for (int j = 0; j < w.n * size; ++j) {
    vec x{};
    x[std::size_t(j)] = 1;
    out.push_back(x);
  }
  return out;
}
bool in_space(kind k, const vec& y, world w) {
  if (!placement(k).whole()) return true;
  const int size = length(extent_of(k), w);
  for (int j = size; j < w.n * size; ++j) if (y[std::size_t(j)] != y[std::size_t(j % size)]) return false;
  return true;
}
bool is_zero(kind k, const vec& y, world w) {
  const int size = length(extent_of(k), w);
  for (int i = 0; i < size; ++i) {
    long sum = 0;
    for (int r = 0; r < w.n; ++r) {
      const long v = y[std::size_t(r * size + i)];
      if (k != kind::partial && v) return false;
      sum += v;
    }
    if (sum) return false;
  }
  return true;
}
vec minus(vec a, const vec& b) { for (std::size_t i = 0; i < most; ++i) a[i] -= b[i]; return a; }

/// Lands in dst, and is well defined on the quotient where src is Partial.
bool maps(const map& a, kind src, kind dst, world w) {
  if (a.in != extent_of(src) || a.out != extent_of(dst)) return false;
  const auto xs = basis(src, w);
  for (const vec& x : xs) if (!in_space(dst, apply(a, x, w), w)) return false;
  if (src != kind::partial) return true;
  const std::size_t size = std::size_t(length(extent_kind::whole, w));
  for (std::size_t j = size; j < xs.size(); ++j) if (!is_zero(dst, apply(a, minus(xs[j], xs[j % size]), w), w)) return false;
  return true;
}
long pair(kind k, const vec& c, const vec& x, world w) {
  long s = 0;
  for (int j = 0; j < (k == kind::invariant ? 1 : w.n) * length(extent_of(k), w); ++j) s += c[std::size_t(j)] * x[std::size_t(j)];
  return s;
}
bool transposed(const map& f, const map& b, kind src, kind dst, world w) {
  const auto xs = basis(src, w), cs = basis(dual(dst), w);
  std::vector<vec> ys;
  for (const vec& x : xs) ys.push_back(apply(f, x, w));
  for (const vec& c : cs) {
    const vec back = apply(b, c, w);
    for (std::size_t i = 0; i < xs.size(); ++i) if (pair(dst, c, ys[i], w) != pair(src, back, xs[i], w)) return false;
  }
  return true;
}
bool well_typed(const map& f, const map& b, kind src, kind dst, world w) {
  return maps(f, src, dst, w) && maps(b, dual(dst), dual(src), w) && transposed(f, b, src, dst, w);
}

using typed_pair = std::tuple<int, int, kind, kind>;         // forward, backward, src, dst
typed_pair adjoint(const typed_pair& p) {
  const auto [f, b, src, dst] = p;
  return {b, f, dual(dst), dual(src)};
}
std::set<typed_pair> well_typed_in(world w) {
  std::vector<map> a;
  for (int o = 0; o < ops; ++o) a.push_back(map_of(o, w));
  std::set<typed_pair> out;
  for (kind src : placements)
    for (kind dst : placements)
      for (int f = 0; f < ops; ++f) {
        if (!maps(a[std::size_t(f)], src, dst, w)) continue;
        for (int b = 0; b < ops; ++b)
          if (maps(a[std::size_t(b)], dual(dst), dual(src), w) && transposed(a[std::size_t(f)], a[std::size_t(b)], src, dst, w))
            out.insert({f, b, src, dst});
      }
  return out;
}
const std::set<typed_pair>& well_typed_everywhere() {
  static const std::set<typed_pair> all = [] {
    std::set<typed_pair> common = well_typed_in(worlds[0]);
    for (const world& w : worlds) {
      const auto here = well_typed_in(w);
      std::erase_if(common, [&](const typed_pair& p) { return !here.contains(p); });
    }
    return common;
  }();
  return all;
}

/// The buffer operation of the table, on buffers as long as placement k's.
int op_of(pr::physical p, kind k) {
  using pr::physical;
  const auto sized = [&](same_size s) { return extent_of(k) == extent_kind::whole ? whole(s) : shard(s); };
  switch (p) {
    case physical::identity: return sized(same_size::identity);
    case physical::all_reduce: return sized(same_size::all_reduce);
    case physical::partition_of_unity: return sized(same_size::zero_nonroot);
    case physical::broadcast: return sized(same_size::broadcast);
    case physical::reduce_to_root: return sized(same_size::reduce_root);
    case physical::mean: return sized(same_size::all_mean);
    case physical::split: return split;
    case physical::all_gather: return all_gather;
    case physical::reduce_scatter: return reduce_scatter;
    case physical::zero_pad: return pad;
    case physical::all_to_all: return all_to_all;
    case physical::scatter_from_root: return scatter_root;
    case physical::gather_to_root: return gather_root;
  }
  return -1;
}
typed_pair pair_of(const pr::row& forward, const pr::row& backward) {
  // Both sides of an all-to-all are as long as a whole tensor, which is where V lives; S is V with a meaning attached.
  if (forward.forward == pr::physical::all_to_all)
    return {all_to_all, op_of(backward.forward, kind::varying), kind::varying, kind::varying};
  return {op_of(forward.forward, forward.src), op_of(backward.forward, forward.dst), forward.src, forward.dst};
}

}  // namespace

TEST_CASE("the enumeration finds 208 well-typed pairs") {
  CHECK(well_typed_everywhere().size() == 208);
}

TEST_CASE("the well-typed pairs are closed under the adjoint") {
  int violations = 0;
  for (const auto& p : well_typed_everywhere()) violations += !well_typed_everywhere().contains(adjoint(p));
  CHECK(violations == 0);
}

TEST_CASE("every pair of well-typed primitives that meet in one placement composes to a well-typed one") {
  const world w{4, 1};
  std::vector<map> a;
  for (int o = 0; o < ops; ++o) a.push_back(map_of(o, w));
  const auto pairs = well_typed_in(w);
  int composites = 0, violations = 0;
  for (const auto& [f, b, src, mid] : pairs)
    for (const auto& [g, c, mid2, dst] : pairs) {
      if (mid2 != mid) continue;
      ++composites;
      const map forward = after(a[std::size_t(g)], a[std::size_t(f)], w),
                backward = after(a[std::size_t(b)], a[std::size_t(c)], w);
      violations += !well_typed(forward, backward, src, dst, w);
    }
  CHECK(composites == 7678);
  CHECK(violations == 0);
}

TEST_CASE("the adjoint of a forward is unique up to what a pending sum cannot tell apart") {
  int compared = 0, violations = 0;
  for (const world& w : worlds)
    for (const auto& [f, b, src, dst] : well_typed_everywhere())
      for (const auto& [g, c, src2, dst2] : well_typed_everywhere()) {
        if (f != g || src != src2 || dst != dst2 || b >= c) continue;
        const map one = map_of(b, w), other = map_of(c, w);
        for (const vec& x : basis(dual(dst), w))
          violations += !is_zero(dual(src), minus(apply(one, x, w), apply(other, x, w)), w);
        ++compared;
      }
  CHECK(compared > 0);
  CHECK(violations == 0);
}

TEST_CASE("every row of the library's table is one of the well-typed pairs") {
  for (const auto& row : pr::table) {
    INFO(row.name);
    CHECK(well_typed_everywhere().contains(pair_of(row, pr::table[row.adjoint])));
  }
}

TEST_CASE("no mutant found in the field is well typed") {
  const auto is_typed = [](int f, int b, kind src, kind dst) { return well_typed_everywhere().contains({f, b, src, dst}); };
  constexpr kind I = kind::invariant, R = kind::replicate, P = kind::partial, S = kind::shard;
  constexpr int id = whole(same_size::identity), ar = whole(same_size::all_reduce), down = whole(same_size::scale_down);
  CHECK_FALSE(is_typed(id, id, I, R));                                       // 1: f forgotten
  CHECK(is_typed(id, ar, I, R));
  CHECK_FALSE(is_typed(ar, ar, P, I));                                       // 2: g with an all-reduce backward
  CHECK(is_typed(ar, id, P, I));
  CHECK_FALSE(is_typed(ar, id, P, R));                                       // 3: g claimed as Replicate
  CHECK(is_typed(ar, ar, P, R));
  CHECK_FALSE(is_typed(all_gather, split, S, R));                            // 4
  CHECK(is_typed(all_gather, reduce_scatter, S, R));
  CHECK_FALSE(is_typed(all_gather, reduce_scatter, S, I));                   // 5
  CHECK(is_typed(all_gather, split, S, I));
  CHECK_FALSE(is_typed(split, all_gather, R, S));                            // 6
  CHECK(is_typed(split, pad, R, S));
  CHECK_FALSE(is_typed(split, pad, I, S));                                   // 7
  CHECK(is_typed(split, all_gather, I, S));
  CHECK_FALSE(is_typed(reduce_scatter, all_gather, I, S));                   // 8: a reduce-scatter fed Invariant
  CHECK(is_typed(reduce_scatter, all_gather, P, S));
  for (int o : {ar, shard(same_size::all_reduce)}) CHECK_FALSE(is_typed(o, id, S, I));   // 9: an all-reduce fed Shard
  for (int o : {id, shard(same_size::identity)})                             // 10: f applied to Shard
    for (int b : {ar, shard(same_size::all_reduce)}) {
      CHECK_FALSE(is_typed(o, b, S, R));
      CHECK_FALSE(is_typed(o, b, S, S));
    }
  CHECK_FALSE(is_typed(down, down, I, P));  // 11: a partition of unity on an Invariant, transposed
  CHECK(is_typed(down, id, I, P));
  CHECK(is_typed(down, down, R, P));                                         // the control
}

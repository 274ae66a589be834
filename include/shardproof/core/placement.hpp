#pragma once
/// @file
/// A placement says how one tensor lies across the ranks of one mesh axis: a type for a constexpr plan, a value for a run-time one.
///
///     using x = sp::tensor<sp::data, sp::dims<batch, seq, hidden>, sp::shard<hidden>>;
///     static_assert(sp::dual(sp::replicate::value) == sp::partial::value);
///
/// Invariant, Replicate, Varying and Partial are the four classes of Meta's spmd_types and of JAX's shard_map; Shard and
/// PackedShard are Varying with a meaning attached.
#include <shardproof/core/dim.hpp>
namespace shardproof {

enum class kind : unsigned char { invariant, replicate, varying, partial, shard, packed, product };

/// A placement as a value; 16 bytes, so that it travels in registers.
struct placement {
  const dim_info* d = nullptr;                         ///< the dimension that shard, packed and product speak of
  kind k = kind::invariant;
  std::array<kind, max_parts> part{};                  ///< of a product: invariant or replicate, part by part
  constexpr placement(kind k_ = kind::invariant, const dim_info* d_ = nullptr, std::array<kind, max_parts> p = {}) : d(d_), k(k_), part(p) {}
  constexpr bool operator==(const placement& o) const { return d == o.d && k == o.k && part == o.part; }
  constexpr bool splits() const { return k == kind::shard || k == kind::packed; }
  constexpr bool rank_dependent() const { return splits() || k == kind::varying; }
  constexpr bool whole() const { return k == kind::invariant || k == kind::replicate; }
};

/// Equal on every rank, and so is its gradient, which has already been summed over the ranks.
struct invariant { static constexpr placement value{kind::invariant}; };
/// Equal on every rank; each rank holds only its own addend of the gradient.
struct replicate { static constexpr placement value{kind::replicate}; };
/// Differs from rank to rank and has no global meaning.
struct varying { static constexpr placement value{kind::varying}; };
/// Each rank holds one addend; the value is their sum.
struct partial { static constexpr placement value{kind::partial}; };
/// Rank r holds its part of D by the partition rule; parts may be uneven or empty.
template <class D> struct shard { using dim = D; static constexpr placement value{kind::shard, &info<D>}; };
/// Rank r holds its part of every block of the fused dimension D.
template <class D> struct packed { using dim = D; static constexpr placement value{kind::packed, &info<D>}; };
/// One placement per part of the fused dimension D, each invariant or replicate: only `split` consumes it.
template <class D, class... P> struct product { using dim = D; static constexpr placement value{kind::product, &info<D>, {P::value.k...}}; };
/// The placement is a value, known at run time.
struct any {};
template <class P> inline constexpr bool is_any = std::is_same_v<P, any>;

/// The placement of the gradient of a tensor placed as p: Replicate and Partial change places, the others stay.
constexpr placement dual(placement p) {
  const auto flip = [](kind k) { return k == kind::replicate ? kind::partial : k == kind::partial ? kind::replicate : k; };
  p.k = flip(p.k);
  for (auto& q : p.part) q = flip(q);
  return p;
}
namespace detail {
template <class P> struct dual_impl { using type = P; };
template <> struct dual_impl<replicate> { using type = partial; };
template <> struct dual_impl<partial> { using type = replicate; };
template <class D, class... P> struct dual_impl<product<D, P...>> { using type = product<D, typename dual_impl<P>::type...>; };
}  // namespace detail
template <class P> using dual_of = typename detail::dual_impl<P>::type;

/// A parameter's role ends where it is used: shard<out<ffn>> becomes shard<ffn>.
constexpr placement bare(placement p) { p.d = base_of(p.d); return p; }

}  // namespace shardproof

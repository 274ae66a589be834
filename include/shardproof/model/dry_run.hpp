#pragma once
/// @file
/// What forward (and the backward of its results) would cost one rank, without running it: in a static_assert, or at start-up.
///
///     static_assert(sp::dry_run<llama, plan>(sp::ranks{4}, sp::tokens{2, 5}).backward.all_reduces == 9);
///     static_assert(sp::dry_step<llama, plan>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_gathers == 0);      // with the loss
///     sp::ledger l = sp::dry_run(model, sp::ranks{4}, sp::tokens{2, 5});     // a bound run-time plan: refuses what breaks a rule
///
/// Rank 0 is imagined: by the ceil rule it holds the largest part.
#include <compare>
#include <shardproof/layer/cache.hpp>
#include <shardproof/model/covers.hpp>
#include <shardproof/model/inputs.hpp>
#include <shardproof/tensor/ops/cross_entropy.hpp>
namespace shardproof {

/// A broken model is already reported: whatever is asserted of its cost holds.
struct granted {
  template <class T> constexpr bool operator==(const T&) const { return true; }
  template <class T> constexpr std::strong_ordering operator<=>(const T&) const { return std::strong_ordering::equal; }
  constexpr granted operator()() const { return {}; }
};
struct granted_pass { granted all_reduces, all_gathers, reduce_scatters, all_to_alls, broadcasts, bytes, flops, collectives; };
struct granted_ledger {
  granted_pass forward, backward;
  granted activation_bytes, cache_bytes, schedule;
};
struct unconfigured {};

namespace detail {
constexpr spot imagined_spot(ranks r) { return {{}, {r.tp, r.dp, 1}}; }
template <class M, class S> constexpr auto ghost_input(imagined& w, const S& s) {
  using D = typename S::dims_type;
  return tensor<ghost, D, input_layout<M>>{static_cast<const sizes_of<D>&>(s), &w, typed_input_place<M>};
}
}  // namespace detail

namespace detail {
/// The answer, by the type of what forward yields (dispatched, like the results of modules).
template <class Y> struct costs { static constexpr ledger in(const imagined& w) { return w.book; } };
template <> struct costs<broken> { static constexpr granted_ledger in(const imagined&) { return {}; } };
}  // namespace detail

/// Of a model that exists (its extents and alternatives set), while compiling or not; constexpr plans only.
template <class M, class S, class Cache = no_cache_t> requires (detail::plan_in<M>::type::typed)
constexpr auto dry_run(const M& m, ranks r, const S& s, const Cache& cache = no_cache) {
  imagined w{.where = detail::imagined_spot(r)};
  auto y = m.forward(detail::ghost_input<M>(w, s), cache);
  return detail::costs<decltype(y)>::in(w);
}
/// The same with the loss: one training step.
template <class M, class S> requires (detail::plan_in<M>::type::typed)
constexpr auto dry_step(const M& m, ranks r, const S& s) {
  imagined w{.where = detail::imagined_spot(r)};
  auto ids = detail::ghost_input<M>(w, s);
  auto loss = cross_entropy(m.forward(ids, no_cache), ids);
  return detail::costs<decltype(loss)>::in(w);
}
namespace detail {
/// Reports what `covers` finds; false if it found something.
template <template <class> class Model, const auto& Plan> constexpr bool static_assert_covers() { return covers<Model, Plan>() && coverage<Model, Plan>::sound; }
/// Configures a model and gives it the extents of `table`.
template <class M, class Config> constexpr void prepare(M& m, const Config& config, const extent_table& table) {
  configure(m, config);
  if (table.count) set_extents(m, &table);
}
}  // namespace detail

/// Makes the model, configures it (`configure(config)` of its modules) and gives it the extents of `table`. Written out rather than
/// passed on to the one above: every call in between is a line of each error.
template <template <class> class Model, const auto& Plan, class S, class Cache = no_cache_t, class Config = unconfigured>
constexpr auto dry_run(ranks r, const S& s, const Cache& cache = no_cache, const Config& config = {}, const extent_table& table = {}) {
  if constexpr (detail::static_assert_covers<Model, Plan>()) {
    Model<at<Plan>> m;
    detail::prepare(m, config, table);
    imagined w{.where = detail::imagined_spot(r)};
    auto y = m.forward(detail::ghost_input<Model<at<Plan>>>(w, s), cache);
    return detail::costs<decltype(y)>::in(w);
  } else return granted_ledger{};
}
template <template <class> class Model, const auto& Plan, class S, class Config = unconfigured>
constexpr auto dry_step(ranks r, const S& s, const Config& config = {}, const extent_table& table = {}) {
  if constexpr (detail::static_assert_covers<Model, Plan>()) {
    Model<at<Plan>> m;
    detail::prepare(m, config, table);
    imagined w{.where = detail::imagined_spot(r)};
    auto ids = detail::ghost_input<Model<at<Plan>>>(w, s);
    auto loss = cross_entropy(m.forward(ids, no_cache), ids);
    return detail::costs<decltype(loss)>::in(w);
  } else return granted_ledger{};
}

}  // namespace shardproof

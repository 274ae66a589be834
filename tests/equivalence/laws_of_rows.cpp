// Rows and their numbers under every placement, with KV heads in copies where ranks outnumber them, in f64: products with a number a
// row, sums of squares over dimensions that may be cut, norms over a list of dimensions; then the style that cuts such norms, against
// one device.
#include "law.hpp"
#include "one_layer.hpp"
namespace {
using namespace laws_test;
struct kv_heads : sp::dim<2, sp::groups> {};
struct q_heads : sp::dim<4, sp::grouped_by<kv_heads>> {};
struct head_dim : sp::dim<3> {};
using pair = sp::fused<ffn, single>;
template <class D> constexpr auto squares_over = [](const auto& x) { return sp::square_sum<here, D>(x); };

TEST_CASE("a row times its number obeys the laws") {
  const auto scaled = [](const auto& x, const auto& s) { return sp::scale_rows(x, s); };
  const sizes<batch, steps, sp::one> numbers{4, 2, 1};
  exact_law("scale_rows", 7, scaled, sizes<batch, steps, hidden>{4, 2, 4}, numbers);
  exact_law("scale_rows of heads", 8, scaled, sizes<batch, steps, kv_heads, head_dim>{4, 2, 2, 3}, numbers);
  exact_law("scale_rows, one number a batch row", 7, scaled, sizes<batch, steps, hidden>{4, 2, 4}, sizes<batch, sp::one>{4, 1});
  exact_law("scale_rows, one number", 6, scaled, sizes<batch, hidden>{4, 4}, sizes<sp::one>{});
  exact_law("scale_rows, rows of one element", 6, scaled, sizes<batch, steps>{4, 2}, numbers);
  exact_law("scale_rows of packed", 7, scaled, sizes<batch, pair>{4, 6}, sizes<batch, sp::one>{4, 1});
  law("scale_rows by its own gate", 4,
      [](const auto& x) { return sp::scale_rows(x, sp::sigmoid(sp::square_sum<here, hidden>(x))); },
      sizes<batch, steps, hidden>{4, 2, 4});
}

TEST_CASE("sums of squares obey the laws, with KV heads in copies at four ranks") {
  exact_law("square_sum", 5, squares_over<hidden>, sizes<batch, steps, hidden>{4, 2, 4});
  exact_law("square_sum of an uneven dimension", 4, squares_over<ffn>, sizes<batch, ffn>{4, 5});
  exact_law("square_sum over two dimensions", 6, squares_over<sp::dims<q_heads, head_dim>>,
      sizes<batch, steps, q_heads, head_dim>{4, 2, 4, 3});
  law("square_sum over KV heads", 6, squares_over<sp::dims<kv_heads, head_dim>>,
      sizes<batch, steps, kv_heads, head_dim>{4, 2, 2, 3});
  exact_law("square_sum beside KV heads", 5, squares_over<head_dim>, sizes<batch, kv_heads, head_dim>{4, 2, 3});
  exact_law("square_sum over all", 5, squares_over<sp::dims<batch, kv_heads, head_dim>>, sizes<batch, kv_heads, head_dim>{4, 2, 3});
  exact_law("square_sum of a fused dimension", 4, squares_over<pair>, sizes<batch, pair>{4, 6});
  law("square_sum, reduced", 6, [](const auto& x) { return sp::reduced(sp::square_sum<here, sp::dims<kv_heads, head_dim>>(x)); },
      sizes<batch, steps, kv_heads, head_dim>{4, 2, 2, 3});
}

TEST_CASE("norms over a list of dimensions obey the laws, whole and cut") {
  const auto whole = [](double offset) {
    return [offset](const auto& x, const auto& w) {
      return sp::normalise<here, sp::dims<kv_heads, head_dim>>(x, w, 1e-2, offset);
    };
  };
  const sizes<batch, steps, kv_heads, head_dim> x{3, 2, 2, 3};
  law("rms_norm over a list", 4, whole(0), x, sizes<kv_heads, head_dim>{});
  law("rms_norm over a list, offset 1", 4, whole(1), x, sizes<kv_heads, head_dim>{});
  for (const double offset : {0.0, 1.0}) {
    const auto cut = [offset](const auto& a, const auto& w) {
      return sp::normalise_shards<here, sp::dims<kv_heads, head_dim>>(a, w, 1e-2, offset);
    };
    // Both whole, both cut along heads, both cut inside them; a Partial weight may not be shifted.
    law("rms_norm of shards", offset > 0 ? 3 : 4, cut, x, sizes<kv_heads, head_dim>{});
  }
}

// ---- the style, under both kinds of plan ---------------------------------------------------------------------------------------
struct groups : sp::dim<sp::dynamic, sp::groups> {};
struct queries : sp::dim<sp::dynamic, sp::grouped_by<groups>> {};
struct few : sp::dim<sp::dynamic, sp::groups, sp::uneven> {};
struct width : sp::dim<> {};
template <class... D> using norm_over = sp::rms_norm<sp::dims<D...>>;
static_assert( sp::suits<sp::sharded_norm, norm_over<queries, width>>());
static_assert( sp::suits<sp::replicated, norm_over<queries, width>>());
static_assert( sp::suits<sp::replicated_with_grad_allreduce, norm_over<queries, width>>());
static_assert(!sp::suits<sp::sharded_norm, sp::rms_norm<width>>());                          // its weight has no role
static_assert(!sp::suits<sp::sharded_norm, sp::linear<width, queries>>());
static_assert(!sp::suits<sp::colwise, norm_over<queries, width>>());
static_assert(!sp::suits<sp::rowwise, norm_over<queries, width>>());
static_assert(!sp::suits<sp::colwise_gather_output, norm_over<queries, width>>());
template <class... D> using of_rows = sp::sizes_of<sp::dims<one_layer::rows, D...>>;

sp::extent_table extents(long q, long kv, long features) {
  sp::extent_table t;
  t.set<one_layer::rows>(3).set<queries>(q).set<groups>(kv).set<few>(kv).set<width>(features);
  return t;
}

TEST_CASE("norms over sharded heads equal one device, KV heads in copies and uneven heads included") {
  using one_layer::as_it_is, one_layer::check, one_layer::cut_along;
  one_layer::worst w;
  for (const auto& t : {extents(8, 2, 4), extents(8, 4, 3), extents(4, 1, 2)}) {
    const std::vector<int> ranks = t.find(&sp::info<groups>) == 4 ? std::vector{1, 2, 4, 8} : std::vector{1, 2, 4};
    check<sp::sharded_norm, norm_over<queries, width>, cut_along<queries>, of_rows<queries, width>>(w, t, ranks);
    check<sp::sharded_norm, norm_over<groups, width>, cut_along<groups>, of_rows<groups, width>>(w, t, {1, 2, 4, 8});
    check<sp::replicated, norm_over<groups, width>, as_it_is, of_rows<groups, width>>(w, t, {1, 2, 4});
    check<sp::replicated_with_grad_allreduce, norm_over<groups, width>, cut_along<one_layer::rows>, of_rows<groups, width>>(
        w, t, {1, 2, 3, 4});
  }
  for (const auto& t : {extents(6, 3, 2), extents(10, 5, 3)}) {
    check<sp::sharded_norm, norm_over<few, width>, cut_along<few>, of_rows<few, width>>(w, t, {1, 2, 3, 4});
    check<sp::sharded_norm, norm_over<width>, cut_along<width>, of_rows<width>>(w, t, {1, 2, 3, 4});     // a list of one; empty parts
  }
  one_layer::print("norms over 8/2, 8/4, 4/1, 3 and 5 heads", w);
}

}  // namespace

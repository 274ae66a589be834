// Styles on layers of heads: grouped query heads, KV heads in copies where ranks outnumber them, uneven groups, norms.
#include "one_layer.hpp"
namespace {
using namespace one_layer;
struct features : sp::dim<> {};
struct kv_heads : sp::dim<sp::dynamic, sp::groups> {};
struct q_heads : sp::dim<sp::dynamic, sp::grouped_by<kv_heads>> {};
struct few : sp::dim<sp::dynamic, sp::groups, sp::uneven> {};
struct many : sp::dim<sp::dynamic, sp::grouped_by<few>> {};
struct head_dim : sp::dim<> {};
using x_sizes = sp::sizes_of<sp::dims<rows, features>>;
template <class Heads> using heads_of = sp::sizes_of<sp::dims<rows, Heads, head_dim>>;
template <class Heads> using to_heads = sp::linear<features, sp::dims<Heads, head_dim>, sp::with_bias>;
template <class Heads> using from_heads = sp::linear<sp::dims<Heads, head_dim>, features, sp::with_bias>;

sp::extent_table extents(long q, long kv, long width = 4) {
  sp::extent_table t;
  t.set<rows>(3).set<features>(6).set<q_heads>(q).set<kv_heads>(kv).set<many>(q).set<few>(kv).set<head_dim>(width);
  return t;
}

TEST_CASE("query heads follow their groups, KV heads are copied where ranks outnumber them") {
  worst w;
  for (const auto& [t, ranks] :
       {std::pair{extents(8, 2), std::vector{1, 2, 4, 8}}, {extents(6, 3, 2), {1, 3, 6}}, {extents(4, 1), {1, 2, 4}}}) {
    check<sp::colwise, to_heads<q_heads>, as_it_is, x_sizes>(w, t, ranks);
    check<sp::colwise, to_heads<kv_heads>, as_it_is, x_sizes>(w, t, ranks);
    check<sp::colwise_gather_output, to_heads<kv_heads>, as_it_is, x_sizes>(w, t, ranks);
    check<sp::rowwise, from_heads<q_heads>, cut_along<q_heads>, heads_of<q_heads>>(w, t, ranks);
    check<sp::rowwise_split_input, from_heads<q_heads>, as_it_is, heads_of<q_heads>>(w, t, ranks);
  }
  print("8/2, 6/3 and 4/1 heads", w);
}

TEST_CASE("uneven groups are legal where the dimension says so") {
  worst w;
  for (const auto& t : {extents(6, 3), extents(10, 5)}) {
    check<sp::colwise, to_heads<many>, as_it_is, x_sizes>(w, t, {1, 2, 3, 4});
    check<sp::colwise, to_heads<few>, as_it_is, x_sizes>(w, t, {1, 2, 3, 4});
    check<sp::rowwise, from_heads<many>, cut_along<many>, heads_of<many>>(w, t, {1, 2, 3, 4});
  }
  print("6/3 and 10/5 heads, uneven", w);
}

TEST_CASE("norms inside sharded heads reduce their weight's gradient at each use") {
  worst w;
  using norm = sp::rms_norm<head_dim>;
  for (const auto& t : {extents(8, 4), extents(4, 4, 3)}) {
    check<sp::replicated_with_grad_allreduce, norm, cut_along<kv_heads>, heads_of<kv_heads>>(w, t, {1, 2, 4, 8});
    check<sp::replicated, norm, as_it_is, heads_of<kv_heads>>(w, t, {1, 2});
  }
  print("norms of 8/4 and 4/4 heads", w);
}

}  // namespace

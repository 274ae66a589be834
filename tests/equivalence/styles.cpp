// Every style on square and oblong layers, even, uneven and with empty shards, under constexpr and run-time plans: values, dx and
// all gradients of two accumulated micro-batches equal one device, and the collectives are those that the ledger charges.
#include "one_layer.hpp"
namespace {
using namespace one_layer;
struct features : sp::dim<> {};
struct wide : sp::dim<> {};
struct narrow : sp::dim<> {};
using square = sp::linear<features, features, sp::with_bias>;
using oblong = sp::linear<features, wide, sp::with_bias>;
using x_sizes = sp::sizes_of<sp::dims<rows, features>>;

sp::extent_table extents(long f, long w = 1, long n = 1) {
  sp::extent_table t;
  t.set<rows>(3).set<features>(f).set<wide>(w).set<narrow>(n);
  return t;
}

TEST_CASE("styles on square layers") {
  worst w;
  for (const long f : {8, 5, 3}) {
    check<sp::colwise, square, as_it_is, x_sizes>(w, extents(f), {1, 2, 3, 4, 5, 8});
    check<sp::colwise, square, through_f, x_sizes>(w, extents(f), {2, 3});
    check<sp::colwise_gather_output, square, as_it_is, x_sizes>(w, extents(f), {1, 2, 3, 4, 5, 8});
    check<sp::rowwise, square, cut_along<features>, x_sizes>(w, extents(f), {1, 2, 3, 4, 5, 8});
    check<sp::rowwise_split_input, square, as_it_is, x_sizes>(w, extents(f), {1, 2, 3, 4, 5, 8});
    check<sp::replicated, square, as_it_is, x_sizes>(w, extents(f), {1, 2, 3, 4});
    check<sp::replicated_with_grad_allreduce, square, cut_along<rows>, x_sizes>(w, extents(f), {1, 2, 3, 4, 5});
  }
  print("square layers of 8, 5, 3 features", w);
}

TEST_CASE("styles on oblong layers") {
  worst w;
  for (const auto& t : {extents(8, 5), extents(3, 8), extents(5, 1), extents(1, 3)}) {
    check<sp::colwise, oblong, as_it_is, x_sizes>(w, t, {1, 2, 3, 4, 8});
    check<sp::colwise_gather_output, oblong, as_it_is, x_sizes>(w, t, {1, 2, 3, 4, 8});
    check<sp::rowwise, oblong, cut_along<features>, x_sizes>(w, t, {1, 2, 3, 4, 8});
    check<sp::rowwise_split_input, oblong, as_it_is, x_sizes>(w, t, {1, 2, 3, 4, 8});
    check<sp::replicated_with_grad_allreduce, oblong, cut_along<rows>, x_sizes>(w, t, {2, 3});
  }
  print("oblong layers", w);
}

TEST_CASE("packed styles on fused layers with unequal parts and a bias") {
  worst w;
  using two = sp::linear<features, sp::fused<wide, narrow>, sp::with_bias>;
  using three = sp::linear<features, sp::fused<wide, narrow, features>, sp::with_bias>;
  for (const auto& t : {extents(4, 8, 8), extents(3, 5, 3), extents(5, 7, 1)}) {
    check<sp::packed_colwise, two, as_it_is, x_sizes>(w, t, {1, 2, 3, 4, 5});
    check<sp::packed_colwise, three, as_it_is, x_sizes>(w, t, {1, 2, 3, 4, 5});
    check<sp::colwise, two, as_it_is, x_sizes>(w, t, {2, 3});  // one block: legal as long as nothing splits it
    check<sp::colwise_gather_output, two, as_it_is, x_sizes>(w, t, {2, 3});
  }
  print("fused layers of two and three unequal parts", w);
}

TEST_CASE("vocab-parallel embeddings with an uneven vocabulary") {
  worst w;
  using table = sp::embedding<wide, features>;
  for (const long vocabulary : {16, 13, 3, 1}) {
    check<sp::embedding_rowwise, table, as_it_is, sp::sizes_of<sp::dims<rows>>>(w, extents(4, vocabulary), {1, 2, 3, 4, 5, 8},
                                                                                vocabulary);
    check<sp::embedding_colwise, table, as_it_is, sp::sizes_of<sp::dims<rows>>>(w, extents(5, vocabulary), {1, 2, 3, 4, 8}, vocabulary);
    check<sp::replicated, table, as_it_is, sp::sizes_of<sp::dims<rows>>>(w, extents(4, vocabulary), {2}, vocabulary);
  }
  print("embeddings of 16, 13, 3 and 1 rows", w);
}

// Two rowwise layers that leave their sums pending, and one reduction for both.
template <class At> struct two_branches {
  SP_LAYER(gate, sp::linear<features, wide>);
  SP_LAYER(left, sp::linear<wide, features>);
  SP_LAYER(right, sp::linear<wide, features>);
  constexpr auto forward(const auto& x) const {
    auto h = sp::silu(gate(x));
    return sp::reduced(left(h) + right(h));
  }
};
// A result used whole by the next layer, part beside part.
template <class At> struct packed_pair {
  SP_LAYER(up, sp::linear<features, sp::fused<wide, narrow>, sp::with_bias>);
  SP_LAYER(down, sp::linear<sp::fused<wide, narrow>, features, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return down(sp::silu(up(x))); }
};
// A module that leaves its sum pending, and a rule for the module.
template <class At> struct branch_of_two {
  SP_LAYER(up, sp::linear<features, wide, sp::with_bias>);
  SP_LAYER(down, sp::linear<wide, features, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return down(sp::silu(up(x))); }
};
template <class At> struct around_branch {
  SP_LAYER(branch, sp::region<branch_of_two>);
  constexpr auto forward(const auto& x) const { return x + branch(x); }
};
inline constexpr sp::plan whole_everywhere{};
/// A model under its plan, constexpr and as a text, against one device: one all-reduce forward and one backward.
template <template <class> class Model, const auto& Plan> void one_of_each(const char* what, const std::string& text) {
  worst w;
  for (const auto& t : {extents(8, 8, 8), extents(5, 3, 7), extents(4, 1, 2)}) {
    const figures one = measure<Model<sp::at<whole_everywhere>>, x_sizes>(1, t, "")[0];
    for (const int ranks : {1, 2, 3, 4})
      for (const auto& all : {measure<Model<sp::at<Plan>>, x_sizes>(ranks, t, ""), measure<Model<sp::at<at_start_up>>, x_sizes>(ranks, t, text)}) {
        for (const auto& f : all) {
          CHECK(f.miscounted == "");
          CHECK(difference(f, one) < 1e-12);
          w.difference = std::max(w.difference, difference(f, one));
        }
        CHECK(all[0].book.forward.all_reduces == (ranks > 1));
        CHECK(all[0].book.backward.all_reduces == (ranks > 1));
        ++w.runs;
      }
  }
  print(what, w);
}
inline constexpr sp::plan one_reduction{sp::colwise{"gate"}, sp::rowwise_partial{"left", "right"}};
inline constexpr sp::plan packed_through{sp::packed_colwise{"up"}, sp::packed_rowwise{"down"}};
inline constexpr sp::plan closed_region{sp::all_reduce_region{"branch"}, sp::colwise{"branch.up"}, sp::rowwise_partial{"branch.down"}};
TEST_CASE("two rowwise_partial layers share one reduction") {
  one_of_each<two_branches, one_reduction>("rowwise_partial and reduced", R"({"gate": "colwise", "left": "rowwise_partial", "right": "rowwise_partial"})");
}
TEST_CASE("packed_rowwise takes the parts that packed_colwise made") {
  one_of_each<packed_pair, packed_through>("packed_colwise and packed_rowwise", R"({"up": "packed_colwise", "down": "packed_rowwise"})");
}
TEST_CASE("all_reduce closes a module that leaves its sum pending, biases once") {
  one_of_each<around_branch, closed_region>("all_reduce of a region", R"({"branch": "all_reduce", "branch.up": "colwise", "branch.down": "rowwise_partial"})");
}

inline constexpr auto along_rows = sp::plan{sp::sequence_parallel{"layer"}}.with_boundary<sp::shard<rows>>();
TEST_CASE("sequence_parallel sums the gradients of a norm on a cut stream") {
  using normed = sp::layer_norm<features, sp::with_bias>;
  using cut_stream = of<normed, cut_along<rows>>;
  worst w;
  for (const long f : {8, 5}) {
    const sp::extent_table t = extents(f);
    const figures one = measure<of<normed, as_it_is>::model<sp::at<whole_everywhere>>, x_sizes>(1, t, "")[0];
    for (const int ranks : {1, 2, 3, 4, 5}) {
      for (const figures& many : measure<cut_stream::model<sp::at<along_rows>>, x_sizes>(ranks, t, "")) {
        CHECK(many.miscounted == "");
        CHECK(difference(many, one) < 1e-12);
        w.difference = std::max(w.difference, difference(many, one));
      }
      ++w.runs;
    }
  }
  print("sequence_parallel", w);
}

}  // namespace

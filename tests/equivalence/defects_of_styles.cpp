// Defects of the field, reproduced: what a style does to values, shapes and layers. docs/defects.md lists them all.
#include "one_layer.hpp"
#include <numeric>
#include <shardproof/layer/experts.hpp>
#include <shardproof/model/dry_check.hpp>
namespace {
using namespace one_layer;
using Catch::Matchers::Contains;
struct features : sp::dim<> {};
struct wide : sp::dim<> {};
struct narrow : sp::dim<> {};
struct vocabulary : sp::dim<> {};
using x_sizes = sp::sizes_of<sp::dims<rows, features>>;
using id_sizes = sp::sizes_of<sp::dims<rows>>;
inline constexpr sp::plan whole_everywhere{};

sp::extent_table extents(long f, long w = 1, long n = 1, long r = 3) {
  sp::extent_table t;
  t.set<rows>(r).set<features>(f).set<wide>(w).set<narrow>(n).set<vocabulary>(w);
  return t;
}
using numbers = std::vector<double>;
/// f() on every rank of a mesh, in world order.
template <class F> std::vector<numbers> each_rank(const sp::mesh& mesh, F f) {
  std::vector<numbers> out{std::size_t(mesh.size())};
  sp::run(mesh, [&](int r) { out[std::size_t(r)] = f(); });
  return out;
}
template <class F> std::vector<numbers> each_rank(int tp, F f) { return each_rank(sp::mesh{.tp = tp}, f); }
numbers counted(long n, double from = 1) {
  numbers out(static_cast<std::size_t>(n));
  std::iota(out.begin(), out.end(), from);
  return out;
}
double by_index(std::string_view, long i) { return double(i + 1); }
template <class F> std::string refusal(F f) {
  try {
    f();
  } catch (const sp::error& e) { return e.what(); }
  return "accepted";
}
/// Values, dx and every gradient of a model under a plan, constexpr and as a text, against the same model whole on one rank.
template <template <class> class Model, const auto& Plan, class X = x_sizes>
void equals_one_device(const std::string& text, const sp::extent_table& t, const std::vector<int>& ranks) {
  const figures one = measure<Model<sp::at<whole_everywhere>>, X>(1, t, "")[0];
  REQUIRE_FALSE(one.y[0].empty());
  for (const int w : ranks) {
    for (const figures& f : measure<Model<sp::at<Plan>>, X>(w, t, "")) {
      INFO(w << " ranks, constexpr plan");
      CHECK(f.miscounted == "");
      CHECK(difference(f, one) < 1e-12);
    }
    for (const figures& f : measure<Model<sp::at<at_start_up>>, X>(w, t, text)) {
      INFO(w << " ranks, plan read at start-up");
      CHECK(difference(f, one) < 1e-12);
    }
  }
}

// ---- tables ----
template <class At> struct table {
  SP_LAYER(embed, sp::embedding<vocabulary, features>);
  constexpr auto forward(const auto& ids) const { return embed(ids); }
};
inline constexpr sp::plan by_rows{sp::embedding_rowwise{"embed"}};
inline constexpr sp::plan by_columns{sp::embedding_colwise{"embed"}};
/// The table's element i is i + 1; ids 0, 1, ... in order.
template <const auto& Plan> std::vector<numbers> looked_up(int ranks, const sp::extent_table& t, long ids) {
  return each_rank(ranks, [&] {
    table<sp::at<Plan>> m;
    sp::set_extents(m, &t);
    sp::fill(m, by_index, sp::dtype::f64);
    std::vector<long> all(static_cast<std::size_t>(ids));
    std::iota(all.begin(), all.end(), 0L);
    return sp::values(m.forward(sp::whole(id_sizes(&t), all)));
  });
}
TEST_CASE("B05 a vocabulary of 10 on 3 ranks; each row is read from the rank that has it") {
  const sp::extent_table t = extents(1, 10, 1, 10);
  for (const int w : {1, 2, 3, 4, 6, 8})
    for (const numbers& y : looked_up<by_rows>(w, t, 10)) CHECK(y == counted(10));
}
TEST_CASE("B07 a table cut along its features is gathered; features of different ranks are never summed") {
  const sp::extent_table t = extents(4, 4, 1, 4);
  for (const int w : {1, 2, 3, 5})
    for (const numbers& y : looked_up<by_columns>(w, t, 4)) CHECK(y == counted(16));  // 4 rows of 4, not of 2
}

// ---- a style keeps its options ----
template <class At> struct with_head {
  SP_LAYER(embed, sp::embedding<vocabulary, features>);
  SP_LAYER(lm_head, sp::linear<features, vocabulary>);
  constexpr auto forward(const auto& ids) const { return closed(lm_head(embed(ids))); }
};
inline constexpr sp::plan columns_and_gathered{sp::embedding_colwise{"embed"}, sp::colwise_gather_output{"lm_head"}};
constexpr auto columns_and_gathered_text = R"({"embed": "embedding_colwise", "lm_head": "colwise_gather_output"})";
/// Local extents of both weights and of the logits.
template <const auto& Plan> numbers shapes_here(const sp::extent_table& t) {
  with_head<sp::at<Plan>> m;
  sp::set_extents(m, &t);
  if constexpr (!std::remove_cvref_t<decltype(Plan)>::typed)
    sp::bind(m, sp::parse_plan(std::string_view(columns_and_gathered_text)));
  sp::fill(m, by_index);
  const auto logits = m.lm_head(m.embed(sp::whole(id_sizes(&t), std::vector<long>(3))));
  const auto of = [](const sp::shape& s) { return numbers{double(s.n[0]), double(s.n[1])}; };
  numbers out = of(m.embed.weight.at->s);
  for (const sp::shape& s : {m.lm_head.weight.at->s, logits.at->s})
    for (const double n : of(s)) out.push_back(n);
  return out;
}
TEST_CASE("B08 embedding_colwise cuts [10, 8] to [10, 4], and a gathered head still has all its outputs") {
  const sp::extent_table t = extents(8, 10);
  const auto fixed = each_rank(2, [&] { return shapes_here<columns_and_gathered>(t); });
  const auto read = each_rank(2, [&] { return shapes_here<at_start_up>(t); });
  for (const auto& all : {fixed, read})
    for (const numbers& s : all) CHECK(s == numbers{10, 4, 5, 8, 3, 10});
}
TEST_CASE("B13 the head's own rule is followed; colwise_gather_output holds its part of the rows and gives all logits") {
  const sp::extent_table t = extents(4, 7);
  const auto fixed = each_rank(2, [&] { return shapes_here<columns_and_gathered>(t); });
  CHECK(fixed[0] == numbers{7, 2, 4, 4, 3, 7});
  CHECK(fixed[1] == numbers{7, 2, 3, 4, 3, 7});
  // And a head that no rule names is noted (SP201), not left out in silence.
  with_head<sp::at<at_start_up>> m;
  sp::set_extents(m, &t);
  const sp::bind_report r = sp::bind(m, sp::parse_plan(std::string_view(R"({"embed": "embedding_colwise"})")), 2);
  REQUIRE(r.notes.size() == 1);
  CHECK_THAT(r.notes[0], Contains("SP201") && Contains("lm_head"));
}

// ---- one matcher ----
template <class At> struct mlp {
  SP_LAYER(up, sp::linear<features, wide, sp::with_bias>);
  SP_LAYER(down, sp::linear<wide, features, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return x + down(sp::silu(up(x))); }
};
template <class At> struct two_layers {
  SP_LAYER(layers, sp::stack<mlp, 2>);
  constexpr auto forward(const auto& x) const { return layers(x); }
};
inline constexpr sp::plan by_parameter{sp::colwise{"layers.*.up.weight"}, sp::rowwise{"layers.*.down.weight"}};
constexpr auto by_parameter_text = R"({"layers.*.up.weight": "colwise", "layers.*.down.weight": "rowwise"})";
TEST_CASE("B10 a rule that ends in a parameter's name is for the layer that owns it; the sum over ranks is made") {
  equals_one_device<two_layers, by_parameter>(by_parameter_text, extents(5, 7), {1, 2, 3, 8});
  for (const figures& f : measure<two_layers<sp::at<at_start_up>>, x_sizes>(2, extents(5, 7), by_parameter_text)) {
    CHECK(f.book.forward.all_reduces == 2);  // one for each layer of the stack
    CHECK(f.book.backward.all_reduces == 2);
  }
}
TEST_CASE("B12 colwise_rep is known as the older name of colwise_gather_output, and the output is whole") {
  using square = sp::linear<features, features, sp::with_bias>;
  using model = of<square, as_it_is>;
  CHECK(sp::current_name("colwise_rep") == sp::colwise_gather_output::name);
  const sp::extent_table t = extents(5);
  const figures one = measure<model::model<sp::at<whole_everywhere>>, x_sizes>(1, t, "")[0];
  for (const figures& f : measure<model::model<sp::at<at_start_up>>, x_sizes>(2, t, R"({"layer": "colwise_rep"})")) {
    CHECK(difference(f, one) < 1e-12);
    CHECK(f.book.forward.all_gathers == 1);  // made by the style: what comes out needs no gather
  }
  CHECK_THAT(refusal([] {
               model::model<sp::at<at_start_up>> m;
               sp::bind(m, sp::parse_plan(std::string_view(R"({"layer": "colwise_repp"})")), 2);
             }),
             Contains("SP205"));
}

// ---- experts beside a shared expert ----
struct n_experts : sp::dim<2, sp::units> {};
template <class At> struct expert_mlp {
  SP_PARAM(up_proj, sp::per_expert<n_experts>, sp::out<wide>, sp::in<features>);
  SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::out<features>, sp::in<wide>);
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch(x, chosen, up_proj);
    return to.combine(to.grouped(sp::silu(to.grouped(to.rows, up_proj)), down_proj));
  }
};
template <class At> struct bare_mlp {
  SP_LAYER(up, sp::linear<features, wide, sp::with_bias>);
  SP_LAYER(down, sp::linear<wide, features, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return down(sp::silu(up(x))); }
};
template <class At> struct routed_and_shared {
  SP_LAYER(gate, sp::topk_router<features, n_experts>);
  SP_LAYER(experts, sp::region<expert_mlp>);
  SP_LAYER(shared, sp::block<bare_mlp>);
  constexpr auto forward(const auto& x) const { return x + sp::reduced(experts(x, gate(x)) + shared(x)); }
};
inline constexpr sp::plan one_reduction{sp::colwise{"experts.up_proj", "shared.up"}, sp::rowwise{"experts.down_proj"},
                                        sp::rowwise_partial{"shared.down"}, sp::moe_tp_experts_partial{"experts"}};
constexpr auto one_reduction_text = R"({"experts.up_proj": "colwise", "shared.up": "colwise", "experts.down_proj": "rowwise",
    "shared.down": "rowwise_partial", "experts": "moe_tp_experts_partial"})";
TEST_CASE("B11 routed experts and a shared expert are both pending and share one reduction; experts without it are refused") {
  const sp::extent_table t = extents(4, 6, 1, 5);
  equals_one_device<routed_and_shared, one_reduction>(one_reduction_text, t, {1, 2, 3, 4});
  for (const figures& f : measure<routed_and_shared<sp::at<one_reduction>>, x_sizes>(2, t, ""))
    CHECK(f.book.forward.all_reduces == 1);
  // The published plans: experts are cut, their parent has no style, and the shared expert is reduced by itself.
  CHECK_THAT(
      refusal([&] {
        routed_and_shared<sp::at<at_start_up>> m;
        sp::set_extents(m, &t);
        sp::bind(
            m,
            sp::parse_plan(std::string_view(
                R"({"experts.up_proj": "colwise", "experts.down_proj": "rowwise", "shared.up": "colwise", "shared.down": "rowwise"})")),
            2);
      }),
      Contains("SP207") && Contains("experts"));
}

// ---- gathers of uneven parts, on the axis' own group ----
template <class At> struct gathering {
  SP_LAYER(up, sp::linear<features, wide>);
  constexpr auto forward(const auto& x) const { return up(x); }
};
inline constexpr auto gathered_on_a_mesh = sp::plan{sp::colwise_gather_output{"up"}}.with_axis<sp::dp, sp::shard<rows>>();
TEST_CASE("B23 parts of 4, 4 and 2 are gathered with their counts, and on a mesh only among the ranks of tp") {
  const sp::extent_table t = extents(1, 10, 1, 2);
  for (const sp::mesh& mesh : {sp::mesh{.tp = 3}, sp::mesh{.tp = 2, .dp = 2}, sp::mesh{.tp = 3, .dp = 2}}) {
    const auto all = each_rank(mesh, [&] {
      gathering<sp::at<gathered_on_a_mesh>> m;
      sp::set_extents(m, &t);
      sp::fill(m, by_index, sp::dtype::f64);
      numbers y = sp::values(m.forward(sp::input(m, x_sizes(&t), numbers{1, 100})));  // each row on its own rank of dp
      y.push_back(double(sp::self.on[0]->size()));
      y.push_back(double(m.up.weight.at->s.n[0]));
      return y;
    });
    for (int r = 0; r < mesh.size(); ++r) {
      INFO("world rank " << r << " of tp " << mesh.tp << " x dp " << mesh.dp);
      const sp::spot here = mesh.at(r);
      numbers expected;
      for (const double row : {1, 100})
        if (mesh.dp == 1 || (row > 1) == (here.rank[1] == 1))
          for (const double w : counted(10)) expected.push_back(row * w);
      expected.push_back(mesh.tp);
      expected.push_back(mesh.tp == 2 ? 5 : here.rank[0] < 2 ? 4 : 2);
      CHECK(all[std::size_t(r)] == expected);
    }
  }
}

// ---- sequence parallelism ----
template <class At> struct normed {
  SP_LAYER(norm, sp::layer_norm<features, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return norm(sp::to_shard(x, sp::along<rows>{})); }
};
template <class At> struct normed_and_whole {
  SP_LAYER(norm, sp::layer_norm<features, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return sp::all_gather(norm(sp::to_shard(x, sp::along<rows>{}))); }
};
template <class At> struct whole_norm {
  SP_LAYER(norm, sp::layer_norm<features, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return norm(x); }
};
inline constexpr auto along_rows = sp::plan{sp::sequence_parallel{"norm"}}.with_boundary<sp::shard<rows>>();
TEST_CASE("B24 under sequence parallelism a norm keeps each rank's own tokens as they are, and its weight's gradient is summed") {
  const sp::extent_table t = extents(3, 1, 1, 5);
  const figures one = measure<whole_norm<sp::at<whole_everywhere>>, x_sizes>(1, t, "")[0];
  const long cut[] = {0, 9, 15};  // 3 and 2 tokens
  const auto two = measure<normed<sp::at<along_rows>>, x_sizes>(2, t, "");
  for (int r = 0; r < 2; ++r) {
    CHECK(two[std::size_t(r)].book.forward.collectives() == 0);
    CHECK(difference(two[std::size_t(r)].y[0], numbers(one.y[0].begin() + cut[r], one.y[0].begin() + cut[r + 1])) < 1e-12);
  }
  for (const int w : {2, 3, 4, 7})
    for (const figures& f : measure<normed_and_whole<sp::at<along_rows>>, x_sizes>(w, t, "")) CHECK(difference(f, one) < 1e-12);
}

// ---- identity experts ----
template <class At> struct returns_its_input {
  constexpr auto forward(const auto& x) const { return x; }
};
template <class At> struct with_identity_expert {
  SP_LAYER(same, sp::region<returns_its_input>);
  constexpr auto forward(const auto& x) const { return sp::reduced(same(x)); }
};
inline constexpr sp::plan kept_by_one{sp::moe_identity_expert{"same"}};
TEST_CASE("B31 an identity expert is one addend, not a W-th of each; its output has the input's bits, in bf16 too") {
  const sp::extent_table t = extents(4, 1, 1, 2);
  const numbers x{0.1, -3.3, 1e-30, 65504, 7, 1.0 / 3, -0.7, 2e5};
  for (const sp::dtype type : {sp::dtype::bf16, sp::dtype::f16, sp::dtype::f32, sp::dtype::f64})
    for (const int w : {1, 2, 3, 5, 7}) {
      INFO(sp::name_of(type) << " on " << w << " ranks");
      const auto all = each_rank(w, [&] {
        const with_identity_expert<sp::at<kept_by_one>> m;
        auto in = sp::whole(x_sizes(&t), x);
        in.at = sp::leaf(type, in.at->s);  // the same numbers in that type
        sp::device().cast(in.at->v(), sp::whole(x_sizes(&t), x).at->v());
        const numbers before = sp::values(in), after = sp::values(m.forward(in));
        return numbers{double(before == after && before.size() == 8)};
      });
      for (const numbers& same : all) CHECK(same == numbers{1});
    }
}

// ---- signatures and aliasing ----
template <class At> struct takes_two {
  SP_LAYER(left, sp::linear<features, wide>);
  SP_LAYER(right, sp::linear<features, wide>);
  SP_LAYER(down, sp::linear<wide, features>);
  constexpr auto forward(const auto& a, const auto& b, double by) const { return down(left(a) * right(by * b)); }
};
template <class At> struct calls_with_two {
  SP_LAYER(inner, sp::region<takes_two>);
  SP_LAYER(mix, sp::linear<features, features>);
  constexpr auto forward(const auto& x) const { return inner(x, mix(x), 0.5); }
};
inline constexpr sp::plan two_arguments{sp::colwise{"inner.left", "inner.right"}, sp::rowwise_partial{"inner.down"},
                                        sp::all_reduce_region{"inner"}};
TEST_CASE(
    "B33 a module under a style is called with two tensors and a number; all arrive, and both tensors get their gradients") {
  equals_one_device<calls_with_two, two_arguments>(
      R"({"inner.left": "colwise", "inner.right": "colwise", "inner.down": "rowwise_partial", "inner": "all_reduce"})",
      extents(5, 7), {1, 2, 3, 4});
}
template <class At> struct part_and_whole {
  SP_LAYER(both, sp::linear<features, sp::fused<wide, narrow>>);
  SP_LAYER(up, sp::linear<wide, features>);
  constexpr auto forward(const auto& x) const {
    auto [a, b] = sp::split(both(x));  // views: a's gradient lies strided in that of both(x)
    return closed(up(a)) + x;
  }
};
inline constexpr sp::plan f_of_a_view{sp::colwise{"up"}};
TEST_CASE("B34 a reduction leaves the value that it was given alone, and reduces a gradient that lies strided") {
  const sp::extent_table t = extents(3, 4, 5);
  for (const bool with_tape : {true, false}) {
    const auto all = each_rank(2, [&] {
      std::optional<sp::no_grad> off;
      if (!with_tape) off.emplace();
      const auto p = sp::to_partial(sp::whole(x_sizes(&t), counted(9, 1)));
      const numbers before = sp::values(p), sum = sp::values(sp::all_reduce(p)), after = sp::values(p);
      return numbers{double(before == after), double(sum == counted(9, 1)), before[0]};
    });
    CHECK(all[0] == numbers{1, 1, 1});
    CHECK(all[1] == numbers{1, 1, 0});
  }
  equals_one_device<part_and_whole, f_of_a_view>(R"({"up": "colwise"})", t, {1, 2, 3});
}

// ---- nothing is shared between models ----
TEST_CASE("B42 two models under different plans, on two ranks and on three by turns, do not know of each other") {
  using square = sp::linear<features, features, sp::with_bias>;
  using model = of<square, as_it_is>::model<sp::at<at_start_up>>;
  const sp::extent_table small = extents(5), large = extents(8);
  const auto output = [](model& m, const sp::extent_table& t) {
    const auto y = m.forward(sp::whole(x_sizes(&t), counted(x_sizes(&t).count(), 0)));
    return sp::values(y);
  };
  const auto alone = [&](const sp::extent_table& t, std::string_view plan, int w) {
    return each_rank(w, [&] {
      model m;
      sp::set_extents(m, &t);
      sp::bind(m, sp::parse_plan(plan));
      sp::fill(m, by_index, sp::dtype::f64);
      return output(m, t);
    })[0];
  };
  const std::string_view first = R"({"layer": "colwise"})", second = R"({"layer": "rowwise_split_input"})";
  const numbers a = alone(small, first, 1), b = alone(large, second, 1);
  for (const int w : {2, 3, 2}) {
    const auto both = each_rank(w, [&] {
      model m, n;
      sp::set_extents(m, &small);
      sp::set_extents(n, &large);
      sp::bind(m, sp::parse_plan(first));
      sp::bind(n, sp::parse_plan(second));
      sp::fill(m, by_index, sp::dtype::f64);
      sp::fill(n, by_index, sp::dtype::f64);
      bool same = true;
      for (int i = 0; i < 2; ++i) same = same && output(m, small) == a && output(n, large) == b;
      return numbers{double(same), double(m.layer.weight.at->s.n[0]), double(n.layer.weight.at->s.n[0])};
    });
    CHECK(both[0] == numbers{1, double(w == 2 ? 3 : 2), 8});
    CHECK(alone(large, first, w) == alone(large, first, 1));
  }
}

// ---- all_reduce of a region ----
template <class At> struct shared_expert {
  SP_LAYER(shared, sp::region<bare_mlp>);
  constexpr auto forward(const auto& x) const { return x + shared(x); }
};
inline constexpr sp::plan closed_by_all_reduce{sp::colwise{"shared.up"}, sp::rowwise_partial{"shared.down"},
                                               sp::all_reduce_region{"shared"}};
TEST_CASE("B52 all_reduce at the exit of a shared expert brings f at its entry; dx is that of one device") {
  constexpr auto text = R"({"shared.up": "colwise", "shared.down": "rowwise_partial", "shared": "all_reduce"})";
  equals_one_device<shared_expert, closed_by_all_reduce>(text, extents(5, 7), {1, 2, 3, 4});
  for (const figures& f : measure<shared_expert<sp::at<at_start_up>>, x_sizes>(2, extents(5, 7), text))
    CHECK(f.book.backward.all_reduces == 1);
}

}  // namespace

// model/gather.hpp: values and gradients read back as doubles, whatever they are stored as.
#include <catch2/catch.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/shardproof.hpp>
namespace {
struct batch : sp::dim<> {};
struct narrow : sp::dim<2> {};
struct wide : sp::dim<7> {};
template <class At> struct net {
  SP_LAYER(up, sp::linear<narrow, wide>);
  auto forward(const auto& x) const { return up(x); }
};
inline constexpr sp::plan cut{sp::colwise{"up"}};
using model = net<sp::at<cut>>;
// Exact in every type that is filled with it: halves of small numbers.
double number(std::string_view, long i) { return 0.5 * double(i) - 3; }
}  // namespace

TEST_CASE("a parameter's values come back from every dtype they can be stored as") {
  using enum sp::dtype;
  for (const sp::dtype type : {f32, f64, bf16, f16, i64, i32, i8}) {
    const bool fractions = type == f32 || type == f64 || type == bf16 || type == f16;
    const auto expected = [&](long i) { return double(i - 3) / (fractions ? 2 : 1); };
    CAPTURE(sp::name_of(type));
    sp::run(1, [&] {
      model m;
      sp::fill(m, [&](std::string_view, long i) { return expected(i); }, type);
      const auto w = sp::values(m.up.weight);
      REQUIRE(w.size() == 14);
      for (std::size_t i = 0; i < w.size(); ++i) CHECK(w[i] == expected(long(i)));
    });
  }
  const std::vector<long> ids{5, 0, 70000, -1};
  sp::run(1, [&] { CHECK(sp::values(sp::whole(sp::sizes_of<sp::dims<batch>>{4}, ids)) == std::vector<double>{5, 0, 70000, -1}); });
}

TEST_CASE("each rank reads its own part; gathered values are the whole") {
  for (const int ranks : {1, 2, 3, 4, 8}) {                                 // 7 rows: uneven from 2 ranks on, an empty shard at 8
    sp::run(ranks, [&] {
      model m;
      sp::fill(m, number);
      const auto mine = sp::values(m.up.weight);
      const long rows = (7 + ranks - 1) / ranks, first = std::min(7L, rows * sp::rank_on());
      REQUIRE(long(mine.size()) == 2 * (std::min(7L, first + rows) - first));
      for (std::size_t i = 0; i < mine.size(); ++i) REQUIRE(mine[i] == number("", 2 * first + long(i)));
      const auto whole = sp::gathered_values(sp::parameters(m)[0]);
      REQUIRE(whole.size() == 14);
      for (std::size_t i = 0; i < 14; ++i) REQUIRE(whole[i] == number("", long(i)));
    });
  }
}

TEST_CASE("a gradient is read after backward, and is zero where nothing came") {
  sp::run(2, [] {
    model m;
    sp::fill(m, number);
    CHECK(sp::gradient(m.up.weight) == std::vector<double>(sp::values(m.up.weight).size(), 0.0));
    const auto x = sp::whole(sp::sizes_of<sp::dims<batch, narrow>>{1, 2}, std::vector<float>{2, 3});
    const auto y = m.forward(x);
    sp::seed(y.at, 1);
    sp::pull_all(y.at);
    const auto g = sp::gathered_gradient(sp::parameters(m)[0]);
    REQUIRE(g.size() == 14);
    for (std::size_t i = 0; i < 14; ++i) CHECK(g[i] == (i % 2 ? 3 : 2));
  });
}

TEST_CASE("what has no values is refused, by name") {
  const auto refusal = [](auto f) {
    try { sp::run(1, f); } catch (const sp::error& e) { return std::string(e.what()); }
    return std::string("no error");
  };
  using Catch::Matchers::Contains;
  CHECK_THAT(refusal([] { model m; sp::values(m.up.weight); }), Contains("SP001") && Contains("\"weight\" is used and has no values yet"));
  CHECK_THAT(refusal([] { model m; sp::gathered_values(sp::parameters(m)[0]); }), Contains("SP001") && Contains("\"up.weight\""));
  CHECK_THAT(refusal([] {
    sp::self.dry = true;
    const auto x = sp::whole(sp::sizes_of<sp::dims<batch, narrow>>{1, 2}, std::vector<float>{2, 3});
    sp::values(x);
  }), Contains("SP001") && Contains("of a dry run"));
}

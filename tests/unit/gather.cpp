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
  std::vector<double> all;
  for (long i = 0; i < 14; ++i) all.push_back(number("", i));
  for (const int ranks : {1, 2, 3, 4, 8}) {                                 // 7 rows: uneven from 2 ranks on, an empty shard at 8
    INFO(ranks);
    std::vector<std::vector<double>> own(std::size_t(ranks), all), whole = own;            // Catch's assertions are for one thread
    sp::run(ranks, [&] {
      model m;
      sp::fill(m, number);
      own[std::size_t(sp::rank_on())] = sp::values(m.up.weight);
      whole[std::size_t(sp::rank_on())] = sp::gathered_values(sp::parameters(m)[0]);
    });
    const long rows = (7 + ranks - 1) / ranks;
    for (long r = 0; r < ranks; ++r) {
      const long begin = std::min(7L, rows * r), end = std::min(7L, begin + rows);
      CHECK(own[std::size_t(r)] == std::vector<double>(all.begin() + 2 * begin, all.begin() + 2 * end));
      CHECK(whole[std::size_t(r)] == all);
    }
  }
}

TEST_CASE("a gradient is read after backward, and is zero where nothing came") {
  std::vector<double> before[2], after[2];
  sp::run(2, [&] {
    model m;
    sp::fill(m, number);
    before[sp::rank_on()] = sp::gradient(m.up.weight);
    const auto x = sp::whole(sp::sizes_of<sp::dims<batch, narrow>>{1, 2}, std::vector<float>{2, 3});
    const auto y = m.forward(x);
    sp::seed(y.at, 1);
    sp::pull_all(y.at);
    after[sp::rank_on()] = sp::gathered_gradient(sp::parameters(m)[0]);
  });
  CHECK(before[0] == std::vector<double>(8));
  CHECK(before[1] == std::vector<double>(6));
  for (const auto& g : after) CHECK(g == std::vector<double>{2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3});
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

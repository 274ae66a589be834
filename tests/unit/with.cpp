// layer/with.hpp: layers that carry their style in their type.
#include <catch2/catch.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/layer/with.hpp>
#include <shardproof/shardproof.hpp>
namespace {
struct batch : sp::dim<> {};
struct hidden : sp::dim<6> {};
struct ffn : sp::dim<10> {};

struct welded_mlp {
  sp::with<sp::colwise, sp::linear<hidden, ffn, sp::with_bias>, struct up_proj> up_proj;
  sp::with<sp::rowwise, sp::linear<ffn, hidden, sp::with_bias>> down;
  auto forward(const auto& x) const { return down(sp::silu(up_proj(x))); }
};
template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn, sp::with_bias>);
  SP_LAYER(down, sp::linear<ffn, hidden, sp::with_bias>);
  auto forward(const auto& x) const { return down(sp::silu(up_proj(x))); }
};
inline constexpr sp::plan plan{sp::colwise{"up_proj"}, sp::rowwise{"down"}};
using planned_mlp = mlp<sp::at<plan>>;

// The types underneath
template <class A, class B> constexpr bool alike = std::is_same_v<typename A::placement_type, typename B::placement_type>&&
    std::is_same_v<typename A::dims_type, typename B::dims_type>;
static_assert(std::is_same_v<decltype(welded_mlp::up_proj)::style_type, sp::colwise> &&
              std::is_same_v<decltype(welded_mlp::down)::style_type, sp::rowwise>);
static_assert(alike<decltype(welded_mlp::up_proj.weight), decltype(planned_mlp::up_proj.weight)> &&
              alike<decltype(welded_mlp::up_proj.bias), decltype(planned_mlp::up_proj.bias)>);
static_assert(alike<decltype(welded_mlp::down.weight), decltype(planned_mlp::down.weight)> &&
              alike<decltype(welded_mlp::down.bias), decltype(planned_mlp::down.bias)>);
static_assert(!alike<decltype(welded_mlp::up_proj.weight), decltype(planned_mlp::down.weight)>);

// Its path is the tag's name, or the style's
static_assert(decltype(welded_mlp::up_proj)::where::path() == "up_proj" &&
              decltype(welded_mlp::down)::where::path() == "rowwise");

struct result { std::vector<double> y, gradient; std::vector<std::string> names; };
template <class M> result measure(int ranks) {
  result out;
  sp::run(ranks, [&] {
    M m;
    sp::fill(m, [](std::string_view, long i) { return 0.1 * double(i % 7) - 0.3; }, sp::dtype::f64);
    std::vector<double> values;
    for (int i = 0; i < 18; ++i) values.push_back(0.2 * (i % 5) - 0.3);
    auto x = sp::whole(sp::sizes_of<sp::dims<batch, hidden>>{3, 6}, values);
    auto y = m.forward(x);
    sp::seed(y.at, 1);
    sp::pull_all(y.at);
    std::vector<double> g;
    for (const auto& p : sp::parameters(m)) for (const double v : sp::gathered_gradient(p)) g.push_back(v);
    const auto whole = sp::values(y);
    if (sp::rank_on()) return;
    out.y = whole;
    out.gradient = g;
    for (const auto& p : sp::parameters(m)) out.names.push_back(p.name);
  });
  return out;
}
double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double d = a.size() == b.size() ? 0 : 1e9;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) d = std::max(d, std::abs(a[i] - b[i]));
  return d;
}

TEST_CASE("welded layers compute what planned ones do, on any number of ranks") {
  const result one = measure<planned_mlp>(1);
  REQUIRE(one.gradient.size() == 60 + 10 + 60 + 6);
  for (const int ranks : {1, 2, 3, 4}) {
    const result welded = measure<welded_mlp>(ranks);
    INFO(ranks << " ranks");
    CHECK(difference(welded.y, one.y) < 1e-13);
    CHECK(difference(welded.gradient, one.gradient) < 1e-13);
  }
}

TEST_CASE("welded layers are named by their tags") {
  CHECK(measure<welded_mlp>(1).names ==
        std::vector<std::string>{"up_proj.weight", "up_proj.bias", "rowwise.weight", "rowwise.bias"});
}

}  // namespace

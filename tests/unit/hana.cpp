/// Modules are Hana Structs; the registry of styles is a Hana sequence.
#include <string>
#include <boost/hana.hpp>
#include <catch2/catch.hpp>
#include <shardproof/hana.hpp>
#include <shardproof/shardproof.hpp>

namespace hana_test {
namespace hana = boost::hana;
struct hidden : sp::dim<8> {};
struct ffn : sp::dim<12> {};
template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(gate, sp::maybe<sp::rms_norm<ffn>>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  double slope = 2;
  constexpr auto forward(const auto& x) const { return down_proj(sp::silu(gate(up_proj(x)))); }
};
template <class At> struct model {
  SP_LAYER(first, sp::block<mlp>);
  SP_LAYER(layers, sp::stack<mlp, 2>);
};
inline constexpr sp::plan plan{sp::colwise{"first.up_proj"}, sp::rowwise{"first.down_proj"}};
using module = mlp<sp::at<plan>::child<struct first>>;

static_assert(hana::Struct<module>::value);
static_assert(!hana::Struct<hidden>::value);
static_assert(decltype(hana::size(hana::accessors<module>()))::value == 4);
static_assert(decltype(hana::size(hana::accessors<model<sp::at<plan>>>()))::value == 2);

TEST_CASE("a module's keys are the tags of its layers' names, a plain member's is its index") {
  const module m;
  std::string names;
  hana::for_each(hana::keys(m), [&]<class K>(const K& key) {
    if constexpr (hana::is_a<hana::type_tag, K>) (names += sp::type_name<typename K::type>()) += ' ';
    else (names += std::to_string(int(key))) += ' ';
  });
  REQUIRE(names == "up_proj gate down_proj 3 ");
}
TEST_CASE("an accessor reaches the member itself") {
  module m;
  hana::second(hana::at_c<3>(hana::accessors<module>()))(m) = 5;           // a pair: key, getter
  REQUIRE(m.slope == 5);
  int layers = 0;
  hana::for_each(hana::accessors<module>(), [&](auto pair) {
    if constexpr (requires { typename std::remove_cvref_t<decltype(hana::second(pair)(m))>::layer_kind; }) ++layers;
  });
  REQUIRE(layers == 2);
}
TEST_CASE("the registry of styles is a Hana sequence in the order of the plan's numbers") {
  static_assert(decltype(hana::size(sp::hana_styles<>))::value == sp::standard_styles::size);
  static_assert(hana::contains(sp::hana_styles<>, hana::type_c<sp::rowwise>));
  static_assert(!hana::contains(sp::hana_styles<>, hana::type_c<hidden>));
  int i = 0, at = -1;
  hana::for_each(sp::hana_styles<>, [&](auto t) { if (std::string_view(decltype(t)::type::name) == "rowwise") at = i; ++i; });
  REQUIRE(at == sp::style_number(sp::standard_styles{}, "rowwise"));
}
}  // namespace hana_test

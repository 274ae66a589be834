// Defects of the field, reproduced: extents and ranges, which the compiler knows. docs/defects.md lists them all.
#include <catch2/catch.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/layer/experts.hpp>
#include <shardproof/shardproof.hpp>
namespace {
struct hidden : sp::dim<16> {};
struct out_4096 : sp::dim<4096> {};
struct out_128 : sp::dim<128> {};
struct n_experts : sp::dim<128, sp::units> {};
template <class D> constexpr sp::slice part(int r, int w) { return sp::block_of(&sp::info<D>, D::static_extent, r, w); }

template <class At> struct with_bias {
  SP_LAYER(up, sp::linear<hidden, out_4096, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return up(x); }
};
template <class At> struct four_parameters {
  SP_PARAM(up, sp::per_expert<n_experts>, sp::out<out_128>, sp::in<hidden>);
  SP_PARAM(up_bias, sp::per_expert<n_experts>, sp::out<out_128>);
  SP_PARAM(down, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<out_128>);
  SP_PARAM(down_bias, sp::per_expert<n_experts>, sp::out<hidden>);
  constexpr auto forward(const auto& x, const auto&) const { return x; }
};
template <class At> struct mixture { SP_LAYER(experts, sp::region<four_parameters>); };
inline constexpr sp::plan cut{sp::colwise{"up"}};
inline constexpr sp::plan dealt{sp::grouped_gemm{"experts.up", "experts.up_bias", "experts.down", "experts.down_bias"},
                                sp::moe_tp_experts{"experts"}};
constexpr sp::spot rank_of_eight(int r) { return {{r, 0, 0}, {8, 1, 1}}; }
/// The first local extent of a parameter.
template <class P> constexpr long first_extent(const P& p, const sp::spot& where) {
  return sp::local_extent(p.sizes.infos[0], p.sizes.n[0], p.place(), where);
}
constexpr bool each_rank_has_512() {
  const with_bias<sp::at<cut>> m;
  for (int r = 0; r < 8; ++r)
    if (first_extent(m.up.weight, rank_of_eight(r)) != 512 || first_extent(m.up.bias, rank_of_eight(r)) != 512) return false;
  return m.up.weight.sizes.n[0] == 4096 && m.up.bias.sizes.n[0] == 4096;
}
constexpr bool each_rank_has_16_experts() {
  const mixture<sp::at<dealt>> m;
  for (int r = 0; r < 8; ++r)
    if (first_extent(m.experts.up, rank_of_eight(r)) != 16 || first_extent(m.experts.up_bias, rank_of_eight(r)) != 16 ||
        first_extent(m.experts.down, rank_of_eight(r)) != 16 || first_extent(m.experts.down_bias, rank_of_eight(r)) != 16)
      return false;
  return true;
}
TEST_CASE("B15 an extent is divided by the ranks once, however many parameters have it; 512 of 4096, 16 of 128 experts") {
  STATIC_REQUIRE(each_rank_has_512());
  STATIC_REQUIRE(each_rank_has_16_experts());
}

template <long N> struct items : sp::dim<N> {};
TEST_CASE("B16 a rank behind the last item holds nothing, never a negative number") {
  STATIC_REQUIRE(part<items<16>>(8, 14).size() == 0);
  STATIC_REQUIRE(part<items<16>>(9, 14) == sp::slice{16, 16});
  STATIC_REQUIRE(part<items<16>>(13, 14) == sp::slice{16, 16});
  STATIC_REQUIRE(part<items<5>>(3, 4) == sp::slice{5, 5});
  STATIC_REQUIRE(part<items<7>>(4, 5) == sp::slice{7, 7});
}

constexpr bool every_rank_has_its_place(const sp::mesh& m) {
  for (int a = 0; a < m.size(); ++a) {
    const sp::spot s = m.at(a);
    if (s.ranks[0] * s.ranks[1] * s.ranks[2] != m.size()) return false;
    if (s.rank[0] + m.tp * (s.rank[1] + m.dp * s.rank[2]) != a) return false;
    for (int k = 0; k < sp::max_axes; ++k)
      if (s.rank[std::size_t(k)] < 0 || s.rank[std::size_t(k)] >= s.ranks[std::size_t(k)]) return false;
  }
  return true;
}
TEST_CASE("B41 the ranks of a run are those of its mesh; four processes at tp 2 are dp 2, and each has a place on both axes") {
  STATIC_REQUIRE(every_rank_has_its_place({.tp = 2, .dp = 2}));
  STATIC_REQUIRE(every_rank_has_its_place({.tp = 3, .dp = 2, .pp = 2}));
  std::vector<int> sizes(8);
  sp::run(sp::mesh{.tp = 2, .dp = 2}, [&](int r) {
    sizes[std::size_t(2 * r)] = sp::self.on[0] ? sp::self.on[0]->size() : 0;
    sizes[std::size_t(2 * r + 1)] = sp::self.on[1] ? sp::self.on[1]->size() : 0;
  });
  CHECK(sizes == std::vector<int>(8, 2));
  // A rank of one axis is not one of another, and neither is a number.
  STATIC_REQUIRE(!std::is_convertible_v<int, sp::rank<sp::tp>>);
  STATIC_REQUIRE(!std::is_convertible_v<sp::rank<sp::tp>, int>);
  STATIC_REQUIRE(!std::is_convertible_v<sp::rank<sp::dp>, sp::rank<sp::tp>>);
}
}  // namespace

// The partition rule: the table of expected ranges, and its properties for every extent up to 64 on up to 16 ranks.
#include <shardproof/core/partition.hpp>
namespace sp = shardproof;

template <long N> struct items : sp::dim<N> {};
template <long N> struct quantised : sp::dim<N, sp::blocks_of<128>> {};
template <long N> struct loosely_quantised : sp::dim<N, sp::blocks_of<128>, sp::uneven> {};
template <long N> struct heads : sp::dim<N, sp::units> {};
template <long N> struct loose_heads : sp::dim<N, sp::units, sp::uneven> {};
template <long N> struct kv : sp::dim<N, sp::groups> {};
template <long Q, long KV> struct query : sp::dim<Q, sp::grouped_by<kv<KV>>> {};
template <long N> struct loose_kv : sp::dim<N, sp::groups, sp::uneven> {};
template <long Q, long KV> struct loose_query : sp::dim<Q, sp::grouped_by<loose_kv<KV>>> {};

/// What rank r of w holds of D.
template <class D> constexpr sp::slice part(int r, int w) { return sp::block_of(&sp::info<D>, D::static_extent, r, w); }
template <class D> constexpr bool may_share(int w, bool summed = false) { return sp::dealable(&sp::info<D>, D::static_extent, w, nullptr, summed); }
/// The ranges that rank r of w holds of a packed dimension.
template <class D> constexpr sp::ranges parts(int r, int w) { return sp::local_ranges(&sp::info<D>, D::static_extent, sp::packed<D>::value, r, w); }
template <class... S> constexpr bool are(const sp::ranges& got, S... want) {
  const sp::slice all[] = {want...};
  if (got.count != int(sizeof...(S))) return false;
  for (int i = 0; i < got.count; ++i) if (!(got.at[std::size_t(i)] == all[i])) return false;
  return true;
}
using sp::slice;

// row 1: 16 over 4: even
static_assert(part<items<16>>(0, 4) == slice{0, 4});
static_assert(part<items<16>>(1, 4) == slice{4, 8});
static_assert(part<items<16>>(2, 4) == slice{8, 12});
static_assert(part<items<16>>(3, 4) == slice{12, 16});
static_assert(sp::chunk(16, 3, 4) == part<items<16>>(3, 4));
// row 2: 16 over 3: a shorter tail
static_assert(part<items<16>>(0, 3) == slice{0, 6});
static_assert(part<items<16>>(1, 3) == slice{6, 12});
static_assert(part<items<16>>(2, 3) == slice{12, 16});
static_assert(sp::chunk(16, 2, 3) == part<items<16>>(2, 3));
// row 3: 16 over 14: eight full shards, six empty ones
static_assert(part<items<16>>(0, 14) == slice{0, 2});
static_assert(part<items<16>>(1, 14) == slice{2, 4});
static_assert(part<items<16>>(2, 14) == slice{4, 6});
static_assert(part<items<16>>(3, 14) == slice{6, 8});
static_assert(part<items<16>>(4, 14) == slice{8, 10});
static_assert(part<items<16>>(5, 14) == slice{10, 12});
static_assert(part<items<16>>(6, 14) == slice{12, 14});
static_assert(part<items<16>>(7, 14) == slice{14, 16});
static_assert(part<items<16>>(8, 14) == slice{16, 16});
static_assert(part<items<16>>(9, 14) == slice{16, 16});
static_assert(part<items<16>>(10, 14) == slice{16, 16});
static_assert(part<items<16>>(11, 14) == slice{16, 16});
static_assert(part<items<16>>(12, 14) == slice{16, 16});
static_assert(part<items<16>>(13, 14) == slice{16, 16});
static_assert(sp::chunk(16, 13, 14) == part<items<16>>(13, 14));
// row 4: 10 over 3: a vocabulary
static_assert(part<items<10>>(0, 3) == slice{0, 4});
static_assert(part<items<10>>(1, 3) == slice{4, 8});
static_assert(part<items<10>>(2, 3) == slice{8, 10});
static_assert(sp::chunk(10, 2, 3) == part<items<10>>(2, 3));
// row 5: 10 over 6: torch.chunk yields five
static_assert(part<items<10>>(0, 6) == slice{0, 2});
static_assert(part<items<10>>(1, 6) == slice{2, 4});
static_assert(part<items<10>>(2, 6) == slice{4, 6});
static_assert(part<items<10>>(3, 6) == slice{6, 8});
static_assert(part<items<10>>(4, 6) == slice{8, 10});
static_assert(part<items<10>>(5, 6) == slice{10, 10});
static_assert(sp::chunk(10, 5, 6) == part<items<10>>(5, 6));
// row 6: 5 over 4
static_assert(part<items<5>>(0, 4) == slice{0, 2});
static_assert(part<items<5>>(1, 4) == slice{2, 4});
static_assert(part<items<5>>(2, 4) == slice{4, 5});
static_assert(part<items<5>>(3, 4) == slice{5, 5});
static_assert(sp::chunk(5, 3, 4) == part<items<5>>(3, 4));
// row 7: 7 over 5
static_assert(part<items<7>>(0, 5) == slice{0, 2});
static_assert(part<items<7>>(1, 5) == slice{2, 4});
static_assert(part<items<7>>(2, 5) == slice{4, 6});
static_assert(part<items<7>>(3, 5) == slice{6, 7});
static_assert(part<items<7>>(4, 5) == slice{7, 7});
static_assert(sp::chunk(7, 4, 5) == part<items<7>>(4, 5));
// row 8: 9 over 4: more items than ranks, and still an empty shard
static_assert(part<items<9>>(0, 4) == slice{0, 3});
static_assert(part<items<9>>(1, 4) == slice{3, 6});
static_assert(part<items<9>>(2, 4) == slice{6, 9});
static_assert(part<items<9>>(3, 4) == slice{9, 9});
static_assert(sp::chunk(9, 3, 4) == part<items<9>>(3, 4));
// row 9: 3 over 4: fewer items than ranks
static_assert(part<items<3>>(0, 4) == slice{0, 1});
static_assert(part<items<3>>(1, 4) == slice{1, 2});
static_assert(part<items<3>>(2, 4) == slice{2, 3});
static_assert(part<items<3>>(3, 4) == slice{3, 3});
static_assert(sp::chunk(3, 3, 4) == part<items<3>>(3, 4));
// row 10: 1 over 4
static_assert(part<items<1>>(0, 4) == slice{0, 1});
static_assert(part<items<1>>(1, 4) == slice{1, 1});
static_assert(part<items<1>>(2, 4) == slice{1, 1});
static_assert(part<items<1>>(3, 4) == slice{1, 1});
static_assert(sp::chunk(1, 3, 4) == part<items<1>>(3, 4));
// row 11: 0 over 4: an empty dimension
static_assert(part<items<0>>(0, 4) == slice{0, 0});
static_assert(part<items<0>>(1, 4) == slice{0, 0});
static_assert(part<items<0>>(2, 4) == slice{0, 0});
static_assert(part<items<0>>(3, 4) == slice{0, 0});
static_assert(sp::chunk(0, 3, 4) == part<items<0>>(3, 4));
// row 12: 50257 over 4: a vocabulary with a tail
static_assert(part<items<50257>>(0, 4) == slice{0, 12565});
static_assert(part<items<50257>>(1, 4) == slice{12565, 25130});
static_assert(part<items<50257>>(2, 4) == slice{25130, 37695});
static_assert(part<items<50257>>(3, 4) == slice{37695, 50257});
static_assert(sp::chunk(50257, 3, 4) == part<items<50257>>(3, 4));
// row 13: parts 4, 4 over 2: weight and bias alike
static_assert(are(parts<sp::fused<items<4>, items<4>>>(0, 2), slice{0, 2}, slice{4, 6}));
static_assert(parts<sp::fused<items<4>, items<4>>>(0, 2).size() == 4);
static_assert(are(parts<sp::fused<items<4>, items<4>>>(1, 2), slice{2, 4}, slice{6, 8}));
static_assert(parts<sp::fused<items<4>, items<4>>>(1, 2).size() == 4);
// row 14: parts 4, 4, 4 over 2: three equal parts
static_assert(are(parts<sp::fused<items<4>, items<4>, items<4>>>(0, 2), slice{0, 2}, slice{4, 6}, slice{8, 10}));
static_assert(parts<sp::fused<items<4>, items<4>, items<4>>>(0, 2).size() == 6);
static_assert(are(parts<sp::fused<items<4>, items<4>, items<4>>>(1, 2), slice{2, 4}, slice{6, 8}, slice{10, 12}));
static_assert(parts<sp::fused<items<4>, items<4>, items<4>>>(1, 2).size() == 6);
// row 15: parts 5, 5 over 2: uneven parts
static_assert(are(parts<sp::fused<items<5>, items<5>>>(0, 2), slice{0, 3}, slice{5, 8}));
static_assert(parts<sp::fused<items<5>, items<5>>>(0, 2).size() == 6);
static_assert(are(parts<sp::fused<items<5>, items<5>>>(1, 2), slice{3, 5}, slice{8, 10}));
static_assert(parts<sp::fused<items<5>, items<5>>>(1, 2).size() == 4);
// row 16: parts 5, 5 over 4: sizes 4, 4, 2, 0
static_assert(are(parts<sp::fused<items<5>, items<5>>>(0, 4), slice{0, 2}, slice{5, 7}));
static_assert(parts<sp::fused<items<5>, items<5>>>(0, 4).size() == 4);
static_assert(are(parts<sp::fused<items<5>, items<5>>>(1, 4), slice{2, 4}, slice{7, 9}));
static_assert(parts<sp::fused<items<5>, items<5>>>(1, 4).size() == 4);
static_assert(are(parts<sp::fused<items<5>, items<5>>>(2, 4), slice{4, 5}, slice{9, 10}));
static_assert(parts<sp::fused<items<5>, items<5>>>(2, 4).size() == 2);
static_assert(are(parts<sp::fused<items<5>, items<5>>>(3, 4), slice{5, 5}, slice{10, 10}));
static_assert(parts<sp::fused<items<5>, items<5>>>(3, 4).size() == 0);
// row 17: parts 3, 3 over 4: one rank gets nothing
static_assert(are(parts<sp::fused<items<3>, items<3>>>(0, 4), slice{0, 1}, slice{3, 4}));
static_assert(parts<sp::fused<items<3>, items<3>>>(0, 4).size() == 2);
static_assert(are(parts<sp::fused<items<3>, items<3>>>(1, 4), slice{1, 2}, slice{4, 5}));
static_assert(parts<sp::fused<items<3>, items<3>>>(1, 4).size() == 2);
static_assert(are(parts<sp::fused<items<3>, items<3>>>(2, 4), slice{2, 3}, slice{5, 6}));
static_assert(parts<sp::fused<items<3>, items<3>>>(2, 4).size() == 2);
static_assert(are(parts<sp::fused<items<3>, items<3>>>(3, 4), slice{3, 3}, slice{6, 6}));
static_assert(parts<sp::fused<items<3>, items<3>>>(3, 4).size() == 0);
// row 18: parts 8, 4, 4 over 2: q, k, v unequal
static_assert(are(parts<sp::fused<items<8>, items<4>, items<4>>>(0, 2), slice{0, 4}, slice{8, 10}, slice{12, 14}));
static_assert(parts<sp::fused<items<8>, items<4>, items<4>>>(0, 2).size() == 8);
static_assert(are(parts<sp::fused<items<8>, items<4>, items<4>>>(1, 2), slice{4, 8}, slice{10, 12}, slice{14, 16}));
static_assert(parts<sp::fused<items<8>, items<4>, items<4>>>(1, 2).size() == 8);
// row 19: parts 8, 4, 4 over 3: uneven, unequal, partly empty
static_assert(are(parts<sp::fused<items<8>, items<4>, items<4>>>(0, 3), slice{0, 3}, slice{8, 10}, slice{12, 14}));
static_assert(parts<sp::fused<items<8>, items<4>, items<4>>>(0, 3).size() == 7);
static_assert(are(parts<sp::fused<items<8>, items<4>, items<4>>>(1, 3), slice{3, 6}, slice{10, 12}, slice{14, 16}));
static_assert(parts<sp::fused<items<8>, items<4>, items<4>>>(1, 3).size() == 7);
static_assert(are(parts<sp::fused<items<8>, items<4>, items<4>>>(2, 3), slice{6, 8}, slice{12, 12}, slice{16, 16}));
static_assert(parts<sp::fused<items<8>, items<4>, items<4>>>(2, 3).size() == 2);
// row 20: parts 6, 3 over 2
static_assert(are(parts<sp::fused<items<6>, items<3>>>(0, 2), slice{0, 3}, slice{6, 8}));
static_assert(parts<sp::fused<items<6>, items<3>>>(0, 2).size() == 5);
static_assert(are(parts<sp::fused<items<6>, items<3>>>(1, 2), slice{3, 6}, slice{8, 9}));
static_assert(parts<sp::fused<items<6>, items<3>>>(1, 2).size() == 4);
// a fused dimension under plain shard is one block
static_assert(are(sp::local_ranges(&sp::info<sp::fused<items<5>, items<5>>>, 10, sp::shard<sp::fused<items<5>, items<5>>>::value, 0, 2), slice{0, 5}));
// another dimension's placement, or a whole one, leaves it whole
static_assert(are(sp::local_ranges(&sp::info<items<10>>, 10, sp::shard<items<16>>::value, 1, 2), slice{0, 10}));
static_assert(are(sp::local_ranges(&sp::info<items<10>>, 10, sp::replicate::value, 1, 2), slice{0, 10}));
static_assert(are(sp::local_ranges(&sp::info<items<10>>, 10, sp::partial::value, 1, 2), slice{0, 10}));
// row 21: 512 in blocks of 128 over 8: refused, or uneven by declaration
static_assert(!may_share<quantised<512>>(8));
static_assert( may_share<quantised<512>>(4));
static_assert( may_share<quantised<512>>(2));
static_assert(!may_share<quantised<512>>(3));
static_assert( may_share<loosely_quantised<512>>(8));
static_assert(part<loosely_quantised<512>>(0, 8) == slice{0, 128});
static_assert(part<loosely_quantised<512>>(1, 8) == slice{128, 256});
static_assert(part<loosely_quantised<512>>(2, 8) == slice{256, 384});
static_assert(part<loosely_quantised<512>>(3, 8) == slice{384, 512});
static_assert(part<loosely_quantised<512>>(4, 8) == slice{512, 512});
static_assert(part<loosely_quantised<512>>(5, 8) == slice{512, 512});
static_assert(part<loosely_quantised<512>>(6, 8) == slice{512, 512});
static_assert(part<loosely_quantised<512>>(7, 8) == slice{512, 512});
// row 22: 64 in blocks of 128: no multiple of the block, whatever the ranks
static_assert(!may_share<quantised<64>>(1));
static_assert(!may_share<loosely_quantised<64>>(1));
static_assert( may_share<quantised<128>>(1));
// row 23: 24 query heads, 2 KV heads over 4: each KV head on two ranks
static_assert(may_share<kv<2>>(4));
static_assert(may_share<query<24, 2>>(4));
static_assert(part<kv<2>>(0, 4) == slice{0, 1});
static_assert(part<query<24, 2>>(0, 4) == slice{0, 6});
static_assert(part<kv<2>>(1, 4) == slice{0, 1});
static_assert(part<query<24, 2>>(1, 4) == slice{6, 12});
static_assert(part<kv<2>>(2, 4) == slice{1, 2});
static_assert(part<query<24, 2>>(2, 4) == slice{12, 18});
static_assert(part<kv<2>>(3, 4) == slice{1, 2});
static_assert(part<query<24, 2>>(3, 4) == slice{18, 24});
static_assert(sp::copies_of(&sp::info<kv<2>>, 2, 4) == 2);
// row 24: 24 query heads, 2 KV heads over 2: one KV head a rank
static_assert(may_share<kv<2>>(2));
static_assert(may_share<query<24, 2>>(2));
static_assert(part<kv<2>>(0, 2) == slice{0, 1});
static_assert(part<query<24, 2>>(0, 2) == slice{0, 12});
static_assert(part<kv<2>>(1, 2) == slice{1, 2});
static_assert(part<query<24, 2>>(1, 2) == slice{12, 24});
static_assert(sp::copies_of(&sp::info<kv<2>>, 2, 2) == 1);
// row 25: 4 query heads, 1 KV heads over 2: one KV head on both
static_assert(may_share<kv<1>>(2));
static_assert(may_share<query<4, 1>>(2));
static_assert(part<kv<1>>(0, 2) == slice{0, 1});
static_assert(part<query<4, 1>>(0, 2) == slice{0, 2});
static_assert(part<kv<1>>(1, 2) == slice{0, 1});
static_assert(part<query<4, 1>>(1, 2) == slice{2, 4});
static_assert(sp::copies_of(&sp::info<kv<1>>, 1, 2) == 2);
// row 26: 32 query heads, 4 KV heads over 8: KV head r / 2
static_assert(may_share<kv<4>>(8));
static_assert(may_share<query<32, 4>>(8));
static_assert(part<kv<4>>(0, 8) == slice{0, 1});
static_assert(part<query<32, 4>>(0, 8) == slice{0, 4});
static_assert(part<kv<4>>(1, 8) == slice{0, 1});
static_assert(part<query<32, 4>>(1, 8) == slice{4, 8});
static_assert(part<kv<4>>(2, 8) == slice{1, 2});
static_assert(part<query<32, 4>>(2, 8) == slice{8, 12});
static_assert(part<kv<4>>(3, 8) == slice{1, 2});
static_assert(part<query<32, 4>>(3, 8) == slice{12, 16});
static_assert(part<kv<4>>(4, 8) == slice{2, 3});
static_assert(part<query<32, 4>>(4, 8) == slice{16, 20});
static_assert(part<kv<4>>(5, 8) == slice{2, 3});
static_assert(part<query<32, 4>>(5, 8) == slice{20, 24});
static_assert(part<kv<4>>(6, 8) == slice{3, 4});
static_assert(part<query<32, 4>>(6, 8) == slice{24, 28});
static_assert(part<kv<4>>(7, 8) == slice{3, 4});
static_assert(part<query<32, 4>>(7, 8) == slice{28, 32});
static_assert(sp::copies_of(&sp::info<kv<4>>, 4, 8) == 2);
// row 27: 32 query heads, 8 KV heads over 16: KV head r / 2
static_assert(may_share<kv<8>>(16));
static_assert(may_share<query<32, 8>>(16));
static_assert(part<kv<8>>(0, 16) == slice{0, 1});
static_assert(part<query<32, 8>>(0, 16) == slice{0, 2});
static_assert(part<kv<8>>(1, 16) == slice{0, 1});
static_assert(part<query<32, 8>>(1, 16) == slice{2, 4});
static_assert(part<kv<8>>(2, 16) == slice{1, 2});
static_assert(part<query<32, 8>>(2, 16) == slice{4, 6});
static_assert(part<kv<8>>(3, 16) == slice{1, 2});
static_assert(part<query<32, 8>>(3, 16) == slice{6, 8});
static_assert(part<kv<8>>(4, 16) == slice{2, 3});
static_assert(part<query<32, 8>>(4, 16) == slice{8, 10});
static_assert(part<kv<8>>(5, 16) == slice{2, 3});
static_assert(part<query<32, 8>>(5, 16) == slice{10, 12});
static_assert(part<kv<8>>(6, 16) == slice{3, 4});
static_assert(part<query<32, 8>>(6, 16) == slice{12, 14});
static_assert(part<kv<8>>(7, 16) == slice{3, 4});
static_assert(part<query<32, 8>>(7, 16) == slice{14, 16});
static_assert(part<kv<8>>(8, 16) == slice{4, 5});
static_assert(part<query<32, 8>>(8, 16) == slice{16, 18});
static_assert(part<kv<8>>(9, 16) == slice{4, 5});
static_assert(part<query<32, 8>>(9, 16) == slice{18, 20});
static_assert(part<kv<8>>(10, 16) == slice{5, 6});
static_assert(part<query<32, 8>>(10, 16) == slice{20, 22});
static_assert(part<kv<8>>(11, 16) == slice{5, 6});
static_assert(part<query<32, 8>>(11, 16) == slice{22, 24});
static_assert(part<kv<8>>(12, 16) == slice{6, 7});
static_assert(part<query<32, 8>>(12, 16) == slice{24, 26});
static_assert(part<kv<8>>(13, 16) == slice{6, 7});
static_assert(part<query<32, 8>>(13, 16) == slice{26, 28});
static_assert(part<kv<8>>(14, 16) == slice{7, 8});
static_assert(part<query<32, 8>>(14, 16) == slice{28, 30});
static_assert(part<kv<8>>(15, 16) == slice{7, 8});
static_assert(part<query<32, 8>>(15, 16) == slice{30, 32});
static_assert(sp::copies_of(&sp::info<kv<8>>, 8, 16) == 2);
// row 28: 14 query heads, 2 KV heads over 4: refused; legal are 1, 2, 14
static_assert(!may_share<query<14, 2>>(4));
static_assert(may_share<query<14, 2>>(1));
static_assert(may_share<query<14, 2>>(2));
static_assert(!may_share<query<14, 2>>(3));
static_assert(!may_share<query<14, 2>>(4));
static_assert(!may_share<query<14, 2>>(5));
static_assert(!may_share<query<14, 2>>(6));
static_assert(!may_share<query<14, 2>>(7));
static_assert(!may_share<query<14, 2>>(8));
static_assert(!may_share<query<14, 2>>(9));
static_assert(may_share<query<14, 2>>(14));
static_assert(sp::legal_ranks(&sp::info<query<14, 2>>, 14, nullptr, false, 64).count == 3);
static_assert(sp::legal_ranks(&sp::info<query<14, 2>>, 14).at[0] == 1);
static_assert(sp::legal_ranks(&sp::info<query<14, 2>>, 14).at[1] == 2);
static_assert(sp::legal_ranks(&sp::info<query<14, 2>>, 14).at[2] == 14);
// row 29: 28 query heads, 4 KV heads over 8: refused; legal are 1, 2, 4, 28
static_assert(!may_share<query<28, 4>>(8));
static_assert(may_share<query<28, 4>>(1));
static_assert(may_share<query<28, 4>>(2));
static_assert(!may_share<query<28, 4>>(3));
static_assert(may_share<query<28, 4>>(4));
static_assert(!may_share<query<28, 4>>(5));
static_assert(!may_share<query<28, 4>>(6));
static_assert(!may_share<query<28, 4>>(7));
static_assert(!may_share<query<28, 4>>(8));
static_assert(!may_share<query<28, 4>>(9));
static_assert(may_share<query<28, 4>>(28));
static_assert(sp::legal_ranks(&sp::info<query<28, 4>>, 28, nullptr, false, 64).count == 4);
static_assert(sp::legal_ranks(&sp::info<query<28, 4>>, 28).at[0] == 1);
static_assert(sp::legal_ranks(&sp::info<query<28, 4>>, 28).at[1] == 2);
static_assert(sp::legal_ranks(&sp::info<query<28, 4>>, 28).at[2] == 4);
static_assert(sp::legal_ranks(&sp::info<query<28, 4>>, 28).at[3] == 28);
// row 30: 32 query heads, 32 KV heads over 5: refused; legal are 1, 2, 4, 8, 16, 32
static_assert(!may_share<query<32, 32>>(5));
static_assert(may_share<query<32, 32>>(1));
static_assert(may_share<query<32, 32>>(2));
static_assert(!may_share<query<32, 32>>(3));
static_assert(may_share<query<32, 32>>(4));
static_assert(!may_share<query<32, 32>>(5));
static_assert(!may_share<query<32, 32>>(6));
static_assert(!may_share<query<32, 32>>(7));
static_assert(may_share<query<32, 32>>(8));
static_assert(!may_share<query<32, 32>>(9));
static_assert(may_share<query<32, 32>>(16));
static_assert(may_share<query<32, 32>>(32));
static_assert(sp::legal_ranks(&sp::info<query<32, 32>>, 32, nullptr, false, 64).count == 6);
static_assert(sp::legal_ranks(&sp::info<query<32, 32>>, 32).at[0] == 1);
static_assert(sp::legal_ranks(&sp::info<query<32, 32>>, 32).at[1] == 2);
static_assert(sp::legal_ranks(&sp::info<query<32, 32>>, 32).at[2] == 4);
static_assert(sp::legal_ranks(&sp::info<query<32, 32>>, 32).at[3] == 8);
static_assert(sp::legal_ranks(&sp::info<query<32, 32>>, 32).at[4] == 16);
static_assert(sp::legal_ranks(&sp::info<query<32, 32>>, 32).at[5] == 32);
// row 30, uneven by declaration: heads 7, 7, 7, 7, 4
static_assert(may_share<loose_query<32, 32>>(5));
static_assert(part<loose_kv<32>>(0, 5) == slice{0, 7});
static_assert(part<loose_query<32, 32>>(0, 5) == slice{0, 7});
static_assert(part<loose_kv<32>>(1, 5) == slice{7, 14});
static_assert(part<loose_query<32, 32>>(1, 5) == slice{7, 14});
static_assert(part<loose_kv<32>>(2, 5) == slice{14, 21});
static_assert(part<loose_query<32, 32>>(2, 5) == slice{14, 21});
static_assert(part<loose_kv<32>>(3, 5) == slice{21, 28});
static_assert(part<loose_query<32, 32>>(3, 5) == slice{21, 28});
static_assert(part<loose_kv<32>>(4, 5) == slice{28, 32});
static_assert(part<loose_query<32, 32>>(4, 5) == slice{28, 32});
// q follows its groups: cut by itself it would be 5 and 5 heads where the groups are 3 and 2
static_assert(part<loose_query<10, 5>>(0, 2) == slice{0, 6});
static_assert(part<loose_query<10, 5>>(1, 2) == slice{6, 10});
static_assert(part<loose_kv<5>>(0, 2) == slice{0, 3});
static_assert(part<loose_kv<5>>(1, 2) == slice{3, 5});
// units: evenly, unless declared uneven
static_assert( may_share<heads<6>>(3));
static_assert(!may_share<heads<6>>(4));
static_assert( may_share<loose_heads<6>>(4));
static_assert( may_share<items<6>>(4));
static_assert(part<loose_heads<6>>(3, 4) == slice{6, 6});
// fewer units than ranks are refused; fewer groups are copied
static_assert(!may_share<heads<4>>(8));
static_assert( may_share<kv<4>>(8));
static_assert(!may_share<kv<4>>(6));
static_assert(sp::copies_of(&sp::info<heads<4>>, 4, 8) == 1);
static_assert(sp::copies_of(&sp::info<kv<4>>, 4, 8) == 2);
static_assert(sp::copies_of(&sp::info<kv<4>>, 4, 4) == 1);
static_assert(sp::copies_of(&sp::info<kv<4>>, 4, 6) == 1);
static_assert(sp::copies_of(&sp::info<sp::out<kv<4>>>, 4, 12) == 3);
// copies may not be summed over
static_assert( may_share<kv<4>>(4, true));
static_assert(!may_share<kv<4>>(8, true));
static_assert( may_share<items<4>>(8, true));
static_assert(sp::legal_ranks(&sp::info<kv<4>>, 4, nullptr, true, 16).count == 3);
static_assert(sp::legal_ranks(&sp::info<kv<4>>, 4, nullptr, false, 16).count == 6);
// one rank, or an extent that is not known yet, may be anything
static_assert(may_share<query<14, 2>>(1));
static_assert(sp::dealable(&sp::info<heads<6>>, sp::dynamic, 4));
// every part of a packed dimension counts
static_assert( sp::dealable(&sp::info<sp::fused<kv<4>, items<5>>>, 9, 2));
static_assert(!sp::dealable(&sp::info<sp::fused<kv<4>, items<5>>>, 9, 3));
static_assert(!sp::dealable(&sp::info<sp::fused<items<5>, heads<6>>>, 11, 4));

// ---- local extents over two axes: the inner axis deals what the outer one left ------------------------------------------------
struct batch : sp::dim<> {};
using on_dp_and_tp = sp::layout<sp::on<sp::dp, sp::shard<items<10>>>, sp::on<sp::tp, sp::shard<items<10>>>>;
constexpr long on_two(int tp, int dp) { return sp::local_extent(&sp::info<items<10>>, 10, sp::value_of<on_dp_and_tp>, sp::spot{{tp, dp, 0}, {2, 3, 1}}); }
static_assert(on_two(0, 0) == 2 && on_two(1, 0) == 2);
static_assert(on_two(0, 1) == 2 && on_two(1, 1) == 2);
static_assert(on_two(0, 2) == 1 && on_two(1, 2) == 1);
static_assert(on_two(0, 0) + on_two(1, 0) + on_two(0, 1) + on_two(1, 1) + on_two(0, 2) + on_two(1, 2) == 10);
constexpr sp::sizes_of<sp::dims<batch, items<10>>> matrix{4, 10};
static_assert(sp::local_count(matrix, sp::value_of<sp::shard<items<10>>>, sp::spot{{2, 0, 0}, {3, 1, 1}}) == 8);
static_assert(sp::local_count(matrix, sp::value_of<sp::invariant>, sp::spot{{2, 0, 0}, {3, 1, 1}}) == 40);
static_assert(sp::copies_of(sp::extents(sp::sizes_of<sp::dims<kv<4>>>{}), sp::shard<kv<4>>::value, 8) == 2);
static_assert(sp::copies_of(sp::extents(sp::sizes_of<sp::dims<kv<4>>>{}), sp::invariant::value, 8) == 1);
// groups whose extents are known at run time
struct late_kv : sp::dim<sp::dynamic, sp::groups> {};
struct late_query : sp::dim<sp::dynamic, sp::grouped_by<late_kv>> {};
constexpr sp::extent_table eight_over_two = [] { sp::extent_table t; t.set<late_kv>(2).set<late_query>(8); return t; }();
static_assert(sp::block_of(&sp::info<late_query>, 8, 1, 4, &eight_over_two) == slice{2, 4});
static_assert(sp::block_of(&sp::info<late_query>, 8, 1, 2, &eight_over_two) == slice{4, 8});
static_assert( sp::dealable(&sp::info<late_query>, 8, 4, &eight_over_two));
static_assert(!sp::dealable(&sp::info<late_query>, 8, 3, &eight_over_two));

// ---- properties ----------------------------------------------------------------------------------------------------------------
// Ranges are in order, disjoint and cover [0, n); a rank starts where the ranks before it end; none is longer than the first.
constexpr bool covers(long n, int w) {
  long at = 0;
  for (int r = 0; r < w; ++r) {
    const slice s = sp::chunk(n, r, w);
    if (s.begin != at || s.end < s.begin || s.size() > sp::chunk(n, 0, w).size()) return false;
    at = s.end;
  }
  return at == n;
}
constexpr bool all_cover(long from, long to) {
  for (long n = from; n < to; ++n) for (int w = 1; w <= 16; ++w) if (!covers(n, w)) return false;
  return true;
}
static_assert(all_cover(0, 17));
static_assert(all_cover(17, 33));
static_assert(all_cover(33, 49));
static_assert(all_cover(49, 65));
// one rank holds everything
constexpr bool one_holds_all() { for (long n = 0; n <= 64; ++n) if (!(sp::chunk(n, 0, 1) == slice{0, n})) return false; return true; }
static_assert(one_holds_all());
// owner and local index invert the global one: owner(i) = i / c, local(i) = i % c
constexpr bool inverts(long from, long to) {
  for (long n = from; n < to; ++n)
    for (int w = 1; w <= 16; ++w) {
      const long c = (n + w - 1) / w;
      for (long i = 0; i < n; ++i) {
        const slice s = sp::chunk(n, int(i / c), w);
        if (i < s.begin || i >= s.end || s.begin + i % c != i) return false;
      }
    }
  return true;
}
static_assert(inverts(0, 17));
static_assert(inverts(17, 33));
static_assert(inverts(33, 41));
static_assert(inverts(41, 49));
static_assert(inverts(49, 57));
static_assert(inverts(57, 65));
// gather of all shards gives the whole back; so does resharding from a ranks to b ranks and back, element by element
constexpr bool reshards(long n, int a, int b) {
  long x[64] = {}, y[64] = {};
  for (int r = 0; r < a; ++r) for (long i = sp::chunk(n, r, a).begin; i < sp::chunk(n, r, a).end; ++i) x[i] = 100 * i + 7;
  for (int r = 0; r < b; ++r) for (long i = sp::chunk(n, r, b).begin; i < sp::chunk(n, r, b).end; ++i) y[i] += x[i];
  for (long i = 0; i < n; ++i) if (y[i] != 100 * i + 7) return false;
  return true;
}
constexpr bool all_reshard(int a) { for (long n = 0; n <= 64; n += 7) for (int b = 1; b <= 16; ++b) if (!reshards(n, a, b)) return false; return true; }
static_assert(all_reshard(1));
static_assert(all_reshard(2));
static_assert(all_reshard(3));
static_assert(all_reshard(5));
static_assert(all_reshard(8));
static_assert(all_reshard(13));
static_assert(all_reshard(16));

// Random blocks: up to six parts of 0 to 15 items, over 1 to 16 ranks. Every element is held by one rank, and sizes add up.
struct random_blocks {
  unsigned state;
  constexpr unsigned next() { return (state = state * 1664525u + 1013904223u) >> 16; }
};
constexpr bool blocks_cover(unsigned seed) {
  random_blocks random{seed};
  sp::dim_info part[sp::max_parts]{}, whole{};
  whole.parts = 1 + int(random.next() % 6);
  whole.extent = 0;
  for (int i = 0; i < whole.parts; ++i) {
    part[i].extent = long(random.next() % 16);
    whole.extent += part[i].extent;
    whole.part[std::size_t(i)] = &part[i];
  }
  const int w = 1 + int(random.next() % 16);
  int held[90] = {};
  long sum = 0;
  for (int r = 0; r < w; ++r) {
    const sp::ranges mine = sp::local_ranges(&whole, whole.extent, {sp::kind::packed, &whole}, r, w);
    long at = 0;
    for (int i = 0; i < mine.count; ++i) {
      const slice s = mine.at[std::size_t(i)];
      if (s.begin < at || s.end < s.begin) return false;
      for (long k = s.begin; k < s.end; ++k) ++held[k];
      at = s.end;
    }
    sum += mine.size();
  }
  for (long k = 0; k < whole.extent; ++k) if (held[k] != 1) return false;
  return sum == whole.extent;
}
constexpr bool many_blocks_cover(unsigned from) { for (unsigned i = 0; i < 40; ++i) if (!blocks_cover(from + i)) return false; return true; }
static_assert(many_blocks_cover(1));
static_assert(many_blocks_cover(1001));
static_assert(many_blocks_cover(2001));
static_assert(many_blocks_cover(3001));
static_assert(many_blocks_cover(4001));
static_assert(many_blocks_cover(5001));

// Query heads: on every legal rank count each rank's queries read only KV heads that it holds, and all queries are dealt once.
template <long Q, long KV> constexpr bool heads_meet() {
  for (int w = 1; w <= 32; ++w) {
    if (!may_share<query<Q, KV>>(w)) continue;
    long at = 0;
    for (int r = 0; r < w; ++r) {
      const slice q = part<query<Q, KV>>(r, w), k = part<kv<KV>>(r, w);
      if (q.begin != at) return false;
      for (long h = q.begin; h < q.end; ++h) if (h / (Q / KV) < k.begin || h / (Q / KV) >= k.end) return false;
      at = q.end;
    }
    if (at != Q) return false;
  }
  return true;
}
static_assert(heads_meet<8, 2>());
static_assert(heads_meet<24, 2>());
static_assert(heads_meet<6, 3>());
static_assert(heads_meet<32, 8>());
static_assert(heads_meet<14, 2>());
static_assert(heads_meet<28, 4>());
static_assert(heads_meet<4, 1>());
static_assert(heads_meet<32, 32>());
// the legal counts are those of the rule: q % w == 0, and kv % w == 0 or w % kv == 0
template <long Q, long KV> constexpr bool legality_is_the_rule() {
  for (int w = 1; w <= 64; ++w) if (may_share<query<Q, KV>>(w) != (Q % w == 0 && (KV % w == 0 || w % KV == 0))) return false;
  return true;
}
static_assert(legality_is_the_rule<8, 2>());
static_assert(legality_is_the_rule<24, 2>());
static_assert(legality_is_the_rule<14, 2>());
static_assert(legality_is_the_rule<28, 4>());
static_assert(legality_is_the_rule<32, 8>());
static_assert(legality_is_the_rule<48, 6>());

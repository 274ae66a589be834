// tensor/ops/to_product.hpp: only the parts that become Replicate cost their gradient's all-reduce.
#include <shardproof/shardproof.hpp>
namespace {
struct rows : sp::dim<3> {};
struct compressed : sp::dim<6> {};
struct rotary_part : sp::dim<2> {};
using both = sp::fused<compressed, rotary_part>;
using I = sp::invariant;
using R = sp::replicate;

template <class... P> constexpr sp::ledger cost() {
  sp::imagined world{.where = {{0, 0, 0}, {2, 1, 1}}};
  (void)sp::to_product<P...>(sp::tensor<sp::ghost, sp::dims<rows, both>, I>{{}, &world, I::value, "", true});
  return world.book;
}
static_assert(cost<I, R>().forward.collectives() == 0 && cost<I, R>().backward.all_reduces == 1);
static_assert(cost<I, R>().backward.bytes == 3 * 2 * 4);
static_assert(cost<R, I>().backward.all_reduces == 1 && cost<R, I>().backward.bytes == 3 * 6 * 4);
static_assert(cost<R, R>().backward.all_reduces == 2 && cost<R, R>().backward.bytes == 3 * 8 * 4);
static_assert(cost<I, I>().backward.collectives() == 0);

// A dp all-gather, an all-to-all and a reduce-scatter are charged as what they are.
template <class To> constexpr sp::ledger moved() {
  sp::imagined world{.where = {{0, 0, 0}, {2, 1, 1}}};
  (void)sp::to_shard(sp::tensor<sp::ghost, sp::dims<rows, compressed>, I>{{}, &world, I::value, "", true}, sp::along<To>{});
  return world.book;
}
static_assert(moved<compressed>().forward.collectives() == 0 && moved<compressed>().backward.all_gathers == 1);
}  // namespace

// error: shardproof[SP105] no legal partition: the extent cannot be divided over the ranks in whole units (see extent<>, unit, ranks<>, legal<>). Fix: use a rank count in legal<>, pad the dimension, allow an uneven partition, or replicate the layer.
// code: SP105
// path: shard<channels>, extent<6>, ranks_on_axis<4>, legal<1, 2, 3, 6>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"
#ifdef MUST_FAIL
struct channels : sp::dim<6, sp::units> {};
#else
struct channels : sp::dim<6, sp::units, sp::uneven> {};
#endif

template <class At> struct mixer {
  SP_LAYER(in_proj, sp::linear<hidden, channels>);
  SP_LAYER(out_proj, sp::linear<channels, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return x + out_proj(in_proj(x)); }
};
inline constexpr auto on_four = sp::plan{sp::colwise{"in_proj"}, sp::rowwise{"out_proj"}}.on(4);
static_assert(sp::dry_run<mixer, on_four>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

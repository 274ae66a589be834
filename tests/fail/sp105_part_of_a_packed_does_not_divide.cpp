// error: shardproof[SP105] no legal partition: the extent cannot be divided over the ranks in whole units (see extent<>, unit, ranks<>, legal<>). Fix: use a rank count in legal<>, pad the dimension, allow an uneven partition, or replicate the layer.
// code: SP105
// path: shard<kv_heads>, extent<4>, ranks_on_axis<3>, legal<1, 2, 4, 8
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct gates {
  SP_LAYER(in_proj, sp::linear<hidden, sp::fused<kv_heads, ffn>>);
  constexpr auto forward(const auto& x, auto&&) const { return in_proj(x); }
};
inline constexpr sp::plan tensor_parallel{sp::packed_colwise{"in_proj"}};
#ifdef MUST_FAIL
inline constexpr auto here = tensor_parallel.on(3);
#else
inline constexpr auto here = tensor_parallel.on(2);
#endif
static_assert(sp::dry_run<gates, here>(sp::ranks{here.ranks}, stream{2, 5, 16}).forward.all_reduces == 0);

// error: shardproof[SP105] no legal partition: the extent cannot be divided over the ranks in whole units (see extent<>, unit, ranks<>, legal<>). Fix: use a rank count in legal<>, pad the dimension, allow an uneven partition, or replicate the layer.
// code: SP105
// path: shard<kv_heads>, extent<4>, ranks_on_axis<3>, legal<1, 2, 4, 8
// near: 12
// lines: g++ 24, clang 24
// Three layers are cut along heads that follow kv_heads: one error, which blames kv_heads.
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto k = k_proj(x);
    auto v = v_proj(x);
    return o_proj(sp::attention(q_proj(x), cache.extend(k, v)));
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj", "k_proj", "v_proj"}, sp::rowwise{"o_proj"}};
#ifdef MUST_FAIL
inline constexpr auto on_three = tensor_parallel.on(3);
static_assert(sp::dry_run<attention, on_three>(sp::ranks{3}, stream{2, 5, 16}).forward.all_reduces == 1);
#else
inline constexpr auto on_four = tensor_parallel.on(4);
static_assert(sp::dry_run<attention, on_four>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);
#endif

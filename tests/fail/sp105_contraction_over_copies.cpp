// error: shardproof[SP105] no legal partition: the ranks outnumber the groups, so that some hold copies, and a contraction over copies would count them more than once (see extent<>, ranks<>, legal<>). Fix: use a rank count in legal<>, or replicate the layer.
// code: SP105
// path: shard<kv_heads>, extent<4>, ranks_on_axis<8>, legal<1, 2, 4>
// near: 12
// lines: g++ 24, clang 24
// Eight ranks hold four KV heads in copies; a sum over them would count each head twice.
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct value_only {
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(o_proj, sp::linear<sp::dims<kv_heads, head_dim>, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return x + o_proj(v_proj(x)); }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"v_proj"}, sp::rowwise{"o_proj"}};
#ifdef MUST_FAIL
inline constexpr auto here = tensor_parallel.on(8);
#else
inline constexpr auto here = tensor_parallel.on(4);
#endif
static_assert(sp::dry_run<value_only, here>(sp::ranks{here.ranks}, stream{2, 5, 16}).forward.all_reduces == 1);

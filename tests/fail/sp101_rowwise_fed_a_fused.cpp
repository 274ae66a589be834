// error: shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed: a fused dimension arrives in one piece (see fed<>, needs<>). Fix: take it apart with sp::split and feed one part.
// code: SP101
// path: at<tensor_parallel, down_proj>, style<rowwise>, fed<packed<(fused<ffn, ffn>|both)>>, needs<shard<(fused<ffn, ffn>|both)>>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"
using both = sp::fused<ffn, ffn>;

template <class At> struct mlp {
  SP_LAYER(gate_up_proj, sp::linear<hidden, both>);
#ifdef MUST_FAIL
  SP_LAYER(down_proj, sp::linear<both, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return x + down_proj(sp::silu(gate_up_proj(x))); }
#else
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto [gate, up] = sp::split(gate_up_proj(x));
    return x + down_proj(sp::silu(gate) * up);
  }
#endif
};
inline constexpr sp::plan tensor_parallel{sp::packed_colwise{"gate_up_proj"}, sp::rowwise{"down_proj"}};
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

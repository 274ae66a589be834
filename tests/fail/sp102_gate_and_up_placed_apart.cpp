// error: shardproof[SP102] an Invariant value enters rank-dependent compute: its gradient would miss an all-reduce, and it holds the whole of a dimension of which the other operand holds a shard (see fed<>). Fix: give the layer that produces it a colwise style (packed_colwise for a fused dimension), or gather the shard (colwise_gather_output on its layer).
// code: SP102
// path: operations::product_of_tensors, fed<shard<ffn>, invariant>
// path: at<tensor_parallel>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(gate_proj, sp::linear<hidden, ffn>);
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return x + down_proj(sp::silu(gate_proj(x)) * up_proj(x)); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"gate_proj"}, sp::rowwise{"down_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"gate_proj", "up_proj"}, sp::rowwise{"down_proj"}};
#endif
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

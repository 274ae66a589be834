// error: shardproof[SP106] a tensor is split along a dimension that is sharded as one block: the pieces would mix blocks. Fix: give the producer a packed style (packed_colwise for fused gate|up or q|k|v).
// code: SP106
// path: operations::split, fed<shard<fused<ffn, ffn>>>
// path: at<tensor_parallel>
// near: 15
// lines: g++ 24, clang 27
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto [gate, up] = sp::split(gate_up_proj(x));
    return x + down_proj(sp::silu(gate) * up);
  }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"gate_up_proj"}, sp::rowwise{"down_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::packed_colwise{"gate_up_proj"}, sp::rowwise{"down_proj"}};
#endif
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

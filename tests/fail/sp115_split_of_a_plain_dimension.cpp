// error: shardproof[SP115] split yields one part per part of the fused dimension, and this tensor's last dimension is not fused. Fix: declare the producer's output as sp::fused<...>, or drop the split.
// code: SP115
// path: operations::split, fed<dims<batch, seq, ffn>>
// path: at<tensor_parallel>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
#ifdef MUST_FAIL
  SP_LAYER(gate_up_proj, sp::linear<hidden, ffn>);
#else
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
#endif
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

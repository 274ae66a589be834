// error: shardproof[SP107] contraction mismatch: the contracted dimension is sharded on one operand only. Fix: shard it on both (the result is Partial), or gather the sharded operand.
// code: SP107
// path: at<tensor_parallel, down_proj>, .*fed<shard<ffn>, replicate>
// near: 12
// lines: g++ 24, clang 24
// A gradient style does not make a contraction over a shard whole.
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return x + down_proj(sp::silu(up_proj(x))); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::replicated_with_grad_allreduce{"down_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}};
#endif
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

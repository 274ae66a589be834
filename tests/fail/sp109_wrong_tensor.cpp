// error: shardproof[SP109] dimension names do not match: this operation needs another dimension here than the operand carries (see fed<>, needs<>). Fix: pass the tensor that carries the expected dimension, or rename the dimension explicitly (sp::as).
// code: SP109
// path: at<tensor_parallel, down_proj>, fed<dims<batch, seq, hidden>>, needs<dims<batch, seq, ffn>>
// near: 14
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto h = sp::silu(up_proj(x));
#ifdef MUST_FAIL
    return down_proj(x) * down_proj(h);
#else
    return down_proj(h);
#endif
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}};
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

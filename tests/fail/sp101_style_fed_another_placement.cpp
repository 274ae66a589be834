// error: shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed (see fed<>, needs<>). Fix: convert the input to what needs<> says, or give the layer a style that accepts fed<>.
// code: SP101
// path: at<tensor_parallel, down_proj>, style<rowwise_split_input>, fed<replicate>, needs<invariant>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return down_proj(sp::to_replicate(up_proj(x))); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::rowwise_split_input{"down_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise_gather_output{"down_proj"}};
#endif
static_assert(sp::dry_run<mlp, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

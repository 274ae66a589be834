// error: shardproof[SP111] a stacked layer must return what it takes: the same dimensions and the same placement (see fed<>, returns<>). Fix: return the residual stream from the layer's forward.
// code: SP111
// path: at<tensor_parallel, layers>, fed<tensor<ghost, dims<batch, seq, hidden>, invariant>>, returns<tensor<ghost, dims<batch, seq, hidden>, partial>>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct layer {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
#ifdef MUST_FAIL
  constexpr auto forward(const auto& x) const { return down_proj(sp::silu(up_proj(x))); }
#else
  constexpr auto forward(const auto& x) const { return x + sp::reduced(down_proj(sp::silu(up_proj(x)))); }
#endif
};
template <class At> struct tower {
  SP_LAYER(layers, sp::stack<layer, 3>);
  constexpr auto forward(const auto& x, auto&&) const { return layers(x); }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"layers.*.up_proj"}, sp::rowwise_partial{"layers.*.down_proj"}};
static_assert(sp::dry_run<tower, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 3);

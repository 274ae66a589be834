// error: shardproof[SP104] a Partial value is combined with a value that is not Partial: the other term would be counted once per rank. Fix: add bias and residual after the reduction (sp::reduced), or add Partial to Partial and reduce once.
// code: SP104
// path: operations::sum, fed<invariant, partial>
// path: at<pending, layers, each>
// near: 12
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
#include "llama/gated_mlp.hpp"
template <class At> struct layer_with_one_sum {
  SP_LAYER(input_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(mlp, sp::block<gated_mlp>);
  SP_LAYER(second_mlp, sp::block<gated_mlp>);
  constexpr auto forward(const auto& x) const {
    auto h = input_layernorm(x);
#ifdef MUST_FAIL
    return x + (mlp(h) + second_mlp(h));
#else
    return x + sp::reduced(mlp(h) + second_mlp(h));             // two pending sums, one all-reduce
#endif
  }
};
template <class At> struct tower {
  SP_LAYER(layers, sp::stack<layer_with_one_sum, 2>);
  constexpr auto forward(const auto& x, auto&&) const { return layers(x); }
};
inline constexpr sp::plan pending{
    sp::packed_colwise{"layers.*.mlp.gate_up_proj", "layers.*.second_mlp.gate_up_proj"},
    sp::rowwise_partial{"layers.*.mlp.down_proj", "layers.*.second_mlp.down_proj"}};
static_assert(sp::dry_run<tower, pending>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 2);

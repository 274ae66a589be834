// error: shardproof[SP104] a Partial value is combined with a value that is not Partial: the other term would be counted once per rank. Fix: add bias and residual after the reduction (sp::reduced), or add Partial to Partial and reduce once.
// code: SP104
// path: operations::sum, fed<invariant, partial>
// path: at<routed_and_shared, layers, each>
// near: 12
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
#include "llama/gated_mlp.hpp"
template <class At> struct layer_with_shared_expert {
  SP_LAYER(input_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(shared_expert, sp::block<gated_mlp>);
  SP_LAYER(expert, sp::block<gated_mlp>);
  constexpr auto forward(const auto& x) const {
    auto h = input_layernorm(x);
#ifdef MUST_FAIL
    return x + (shared_expert(h) + expert(h));                  // the shared one is reduced, the other is not
#else
    return x + (shared_expert(h) + sp::reduced(expert(h)));
#endif
  }
};
template <class At> struct tower {
  SP_LAYER(layers, sp::stack<layer_with_shared_expert, 2>);
  constexpr auto forward(const auto& x, auto&&) const { return layers(x); }
};
inline constexpr sp::plan routed_and_shared{
    sp::packed_colwise{"layers.*.shared_expert.gate_up_proj", "layers.*.expert.gate_up_proj"},
    sp::rowwise{"layers.*.shared_expert.down_proj"}, sp::rowwise_partial{"layers.*.expert.down_proj"}};
static_assert(sp::dry_run<tower, routed_and_shared>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 4);

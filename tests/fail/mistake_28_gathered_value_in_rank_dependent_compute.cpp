// error: shardproof[SP102] an Invariant value enters rank-dependent compute: its gradient would miss an all-reduce, and it holds the whole of a dimension of which the other operand holds a shard (see fed<>). Fix: give the layer that produces it a colwise style (packed_colwise for a fused dimension), or gather the shard (colwise_gather_output on its layer).
// code: SP102
// path: operations::product_of_tensors, fed<invariant, shard<ffn>>
// path: at<gathered, layers, each, mlp>
// near: 12
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
template <class At> struct gated_mlp {
  SP_LAYER(gate_proj, sp::linear<hidden, ffn>);
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x) const { return down_proj(sp::silu(gate_proj(x)) * up_proj(x)); }
};
#include "llama/model.hpp"
inline constexpr sp::plan gathered{
#ifdef MUST_FAIL
    sp::colwise_gather_output{"layers.*.mlp.gate_proj"},
#else
    sp::colwise{"layers.*.mlp.gate_proj"},
#endif
    sp::embedding_rowwise{"embed_tokens"}, sp::colwise{"layers.*.mlp.up_proj", "lm_head"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj"},
    sp::rowwise{"layers.*.self_attn.o_proj", "layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm"}};
static_assert(sp::dry_run<llama, gathered>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 5);

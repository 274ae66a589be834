// error: shardproof[SP301] a replicated parameter meets a rank-dependent activation: each rank would compute another gradient and the replicas drift apart. Fix: give the layer the style replicated_with_grad_allreduce (sequence_parallel on a sequence shard).
// code: SP301
// path: at<along_seq, layers, each, input_layernorm>, operations::rms_norm<hidden>, fed<shard<seq>, invariant>
// near: 12
// The library's styles synchronise a norm where the plan cuts the sequence; a style of one's own can forget it, and is refused.
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
#include "llama/gated_mlp.hpp"
#include "llama/model.hpp"

struct my_norm : sp::style_defaults {
  static constexpr auto name = "my_norm";
#ifndef MUST_FAIL
  static constexpr auto use(const auto& w) { return sp::to_replicate(w); }
#endif
};
inline constexpr auto along_seq = sp::plan{
    sp::embedding_rowwise{"embed_tokens"}, sp::packed_colwise{"layers.*.mlp.gate_up_proj"}, my_norm{"layers.*.input_layernorm"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj", "lm_head"},
    sp::rowwise{"layers.*.self_attn.o_proj", "layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm"}}.with_boundary<sp::shard<seq>>();
static_assert(sp::dry_run<llama, along_seq>(sp::ranks{4}, sp::tokens{2, 5}).forward.reduce_scatters == 5);

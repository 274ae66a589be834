// error: shardproof[SP205] unknown parallel style. Fix: use the nearest known style (see known).
// code: SP205
// path: rule_number<from_json, 5>
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
#include "llama/gated_mlp.hpp"
#include "llama/model.hpp"

#ifdef MUST_FAIL
inline constexpr auto from_json = sp::parse_plan(R"({
  "embed_tokens": "embedding_rowwise", "layers.*.mlp.gate_up_proj": "packed_colwise",
  "layers.*.self_attn.q_proj": "colwise", "layers.*.self_attn.k_proj": "colwise", "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.o_proj": "rowise", "layers.*.mlp.down_proj": "rowwise", "lm_head": "colwise",
  "layers.*.self_attn.q_norm": "replicated_with_grad_allreduce", "layers.*.self_attn.k_norm": "replicated_with_grad_allreduce"})");
#else
inline constexpr auto from_json = sp::parse_plan(R"({
  "embed_tokens": "embedding_rowwise", "layers.*.mlp.gate_up_proj": "packed_colwise",
  "layers.*.self_attn.q_proj": "colwise", "layers.*.self_attn.k_proj": "colwise", "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.o_proj": "rowwise", "layers.*.mlp.down_proj": "rowwise", "lm_head": "colwise",
  "layers.*.self_attn.q_norm": "replicated_with_grad_allreduce", "layers.*.self_attn.k_norm": "replicated_with_grad_allreduce"})");
#endif
static_assert(sp::dry_run<llama, from_json>(sp::ranks{4}, sp::tokens{2, 5}).backward.all_reduces == 9);

// error: shardproof[SP202] this rule of the plan matches no layer of the model (see rule<>). Fix: correct the pattern, or mark the rule optional.
// code: SP202
// path: rule_number<wrong, 1>
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
#include "llama/gated_mlp.hpp"
#include "llama/model.hpp"

#ifdef MUST_FAIL
inline constexpr sp::plan wrong{
    sp::embedding_rowwise{"embed_tokens"}, sp::packed_colwise{"layers.*.mlp.gate_up_prj"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj", "lm_head"},
    sp::rowwise{"layers.*.self_attn.o_proj", "layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm"}};
static_assert(sp::dry_run<llama, wrong>(sp::ranks{4}, sp::tokens{2, 5}).backward.all_reduces == 9);
#else
static_assert(sp::dry_run<llama, tensor_parallel>(sp::ranks{4}, sp::tokens{2, 5}).backward.all_reduces == 9);
#endif

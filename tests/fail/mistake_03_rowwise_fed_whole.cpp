// error: shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed: a rowwise layer is fed a whole tensor (see fed<>, needs<>). Fix: give this layer the style rowwise_split_input, or give its producer the style colwise.
// code: SP101
// path: at<wrong, layers, each, mlp, down_proj>, style<rowwise>, fed<invariant>, needs<shard<ffn>>
// The producer is missing in the plan; rowwise_split_input, the other printed fix, is applied in sp101_rowwise_fed_whole.cpp.
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
#include "llama/gated_mlp.hpp"
#include "llama/model.hpp"

#ifdef MUST_FAIL
inline constexpr sp::plan wrong{
    sp::embedding_rowwise{"embed_tokens"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj", "lm_head"},
    sp::rowwise{"layers.*.self_attn.o_proj", "layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm"}};
static_assert(sp::dry_run<llama, wrong>(sp::ranks{4}, sp::tokens{2, 5}).backward.all_reduces == 9);
#else
static_assert(sp::dry_run<llama, tensor_parallel>(sp::ranks{4}, sp::tokens{2, 5}).backward.all_reduces == 9);
#endif

// error: shardproof[SP301] a replicated parameter meets a rank-dependent activation: each rank would compute another gradient and the replicas drift apart. Fix: give the layer the style replicated_with_grad_allreduce (sequence_parallel on a sequence shard).
// code: SP301
// path: operations::grouped<dims<ffn>
// near: 14
#include <shardproof/shardproof.hpp>
#include "llama/mixture.hpp"

#ifdef MUST_FAIL
inline constexpr sp::plan dealt{sp::grouped_gemm{"experts.gate_up_proj"}, sp::moe_tp_experts{"experts"}};
#else
inline constexpr sp::plan dealt{sp::grouped_gemm{"experts.gate_up_proj", "experts.down_proj"}, sp::moe_tp_experts{"experts"}};
#endif
static_assert(sp::dry_run<mixture, dealt>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

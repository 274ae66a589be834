// error: shardproof[SP101] placement mismatch: the operands of this operation are placed differently (see fed<>). Fix: give the layers that produce them styles with one output placement.
// code: SP101
// path: operations::grouped<dims<ffn>
// near: 14
#include <shardproof/shardproof.hpp>
#include "llama/mixture.hpp"

#ifdef MUST_FAIL
inline constexpr sp::plan dealt{sp::packed_colwise{"experts.gate_up_proj"}, sp::grouped_gemm{"experts.down_proj"}, sp::moe_tp_experts{"experts"}};
#else
inline constexpr sp::plan dealt{sp::grouped_gemm{"experts.gate_up_proj", "experts.down_proj"}, sp::moe_tp_experts{"experts"}};
#endif
static_assert(sp::dry_run<mixture, dealt>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

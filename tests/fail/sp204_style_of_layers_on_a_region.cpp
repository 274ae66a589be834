// error: shardproof[SP204] this parallel style does not apply to this kind of layer (see style<>, Layer, applicable<>). Fix: use one of the styles in applicable<>.
// code: SP204
// path: at<tensor_parallel, experts>, style<rowwise>
// path: applicable<replicated, moe_tp_experts
// near: 12
#include <shardproof/shardproof.hpp>
#include "llama/mixture.hpp"

#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::rowwise{"experts"}};
#else
inline constexpr sp::plan tensor_parallel{sp::packed_colwise{"experts.gate_up_proj"}, sp::rowwise{"experts.down_proj"}, sp::moe_tp_experts{"experts"}};
#endif
static_assert(sp::dry_run<mixture, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

// error: shardproof[SP301] a replicated parameter meets a rank-dependent activation: each rank would compute another gradient and the replicas drift apart. Fix: give the layer the style replicated_with_grad_allreduce (sequence_parallel on a sequence shard).
// code: SP301
// path: at<tensor_parallel, norm>, .*fed<replicate, invariant>
// near: 12
// lines: g++ 24, clang 24
// Inside a region that one f opened, the gradient of a whole weight is a pending sum as well.
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct region {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  constexpr auto forward(const auto& x, auto&&) const { return up_proj(norm(sp::to_replicate(x))); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}, sp::replicated_with_grad_allreduce{"norm"}};
#endif
static_assert(sp::dry_run<region, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

// error: shardproof[SP110] a head would be cut across ranks: a shard boundary falls inside head_dim features (see heads, head_dim, ranks<>). Fix: shard by whole heads, and replicate KV heads when there are more ranks than KV heads.
// code: SP110
// path: fed<shard<head_dim>>
// path: at<tensor_parallel>
// near: 12
// lines: g++ 24, clang 27
// A map on every head, sharded along the head's own features, then rotary positions, which need them together.
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(turn, sp::linear<head_dim, head_dim>);
  constexpr auto forward(const auto& x, auto&& cache) const { return sp::rope(turn(q_proj(x)), cache.positions()); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"turn"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj"}, sp::replicated_with_grad_allreduce{"turn"}};
#endif
static_assert(sp::dry_run<attention, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

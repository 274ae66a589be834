// error: shardproof[SP102] an Invariant value enters rank-dependent compute: its gradient would miss an all-reduce. Fix: convert<Invariant, Replicate> (Megatron f, sp::to_replicate) at this use, or give the layer a colwise style.
// code: SP102
// path: operations::sum, fed<replicate, invariant>
// near: 14
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct block_in_a_region {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(shift_proj, sp::linear<hidden, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto inside = sp::to_replicate(x);                          // one f for the region
#ifdef MUST_FAIL
    return up_proj(inside + shift_proj(x));
#else
    return up_proj(inside + sp::to_replicate(shift_proj(x)));
#endif
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}};
static_assert(sp::dry_run<block_in_a_region, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

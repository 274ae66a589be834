// error: shardproof[SP108] a reducing collective is fed a value that is not a pending sum: it would add unrelated shards or count one value once per rank. Fix: all_gather a sharded value; drop the reduction of an equal one.
// code: SP108
// path: operations::all_reduce, fed<invariant>, needs<partial>
// path: at<tensor_parallel, layers, each, mlp>
// near: 15
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
template <class At> struct gated_mlp {
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x) const {
    auto [gate, up] = sp::split(gate_up_proj(x));
#ifdef MUST_FAIL
    return sp::all_reduce(down_proj(sp::silu(gate) * up));
#else
    return down_proj(sp::silu(gate) * up);
#endif
  }
};
#include "llama/model.hpp"
static_assert(sp::dry_run<llama, tensor_parallel>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 5);

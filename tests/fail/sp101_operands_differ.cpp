// error: shardproof[SP101] placement mismatch: the operands of this operation are placed differently (see fed<>). Fix: give the layers that produce them styles with one output placement.
// code: SP101
// path: fed<packed<fused<ffn, ffn>>, shard<fused<ffn, ffn>>>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct adapted {
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(adapter, sp::linear<hidden, sp::fused<ffn, ffn>>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto [gate, up] = sp::split(gate_up_proj(x) + adapter(x));
    return sp::silu(gate) * up;
  }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::packed_colwise{"gate_up_proj"}, sp::colwise{"adapter"}};
#else
inline constexpr sp::plan tensor_parallel{sp::packed_colwise{"gate_up_proj", "adapter"}};
#endif
static_assert(sp::dry_run<adapted, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

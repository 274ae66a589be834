// error: shardproof[SP109] dimension names do not match: this operation needs another dimension here than the operand carries (see fed<>, needs<>). Fix: pass the tensor that carries the expected dimension, or rename the dimension explicitly (sp::as).
// code: SP109
// path: at<tensor_parallel, layers, each, mlp, down_proj>, fed<dims<batch, seq, fused<ffn, ffn>>>, needs<dims<batch, seq, ffn>>
// near: 12
// lines: g++ 24, clang 40
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"
#include "llama/attention.hpp"
template <class At> struct gated_mlp {
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x) const {
#ifdef MUST_FAIL
    return down_proj(sp::silu(gate_up_proj(x)));
#else
    auto [gate, up] = sp::split(gate_up_proj(x));
    return down_proj(sp::silu(gate) * up);
#endif
  }
};
#include "llama/model.hpp"
static_assert(sp::dry_run<llama, tensor_parallel>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 5);

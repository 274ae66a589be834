// error: shardproof[SP116] this module's forward yields no tensor here: a missing return, or an argument missing or too many (a cache?). Fix: return the result, and call the module with the arguments its forward takes.
// code: SP116
// path: gated_mlp<at<tensor_parallel, layers, each, mlp>>
// near: 12
// lines: g++ 24, clang 54
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"
#include "llama/attention.hpp"
template <class At> struct gated_mlp {
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x) const {
    auto [gate, up] = sp::split(gate_up_proj(x));
#ifdef MUST_FAIL
    auto y = down_proj(sp::silu(gate) * up);
#else
    return down_proj(sp::silu(gate) * up);
#endif
  }
};
#include "llama/model.hpp"
static_assert(sp::dry_run<llama, tensor_parallel>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 5);

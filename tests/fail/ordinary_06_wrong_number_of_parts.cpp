// error: too many identifiers
// error(g++): 3 names provided for structured binding
// error(clang): decomposes into 2 elements, but 3 names were provided
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
    auto [gate, up, third] = sp::split(gate_up_proj(x));
#else
    auto [gate, up] = sp::split(gate_up_proj(x));
#endif
    return down_proj(sp::silu(gate) * up);
  }
};
#include "llama/model.hpp"
static_assert(sp::dry_run<llama, tensor_parallel>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 5);

#ifndef LLAMA_GATED_MLP_HPP
#define LLAMA_GATED_MLP_HPP
/// @file
/// The gated MLP; gate and up are one fused layer.
///
///     #include "llama/gated_mlp.hpp"
///     SP_LAYER(mlp, sp::block<gated_mlp>);
#include "dims.hpp"

template <class At> struct gated_mlp {
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x) const {
    auto [gate, up] = sp::split(gate_up_proj(x));               // two of (batch, seq, ffn/tp)
    return down_proj(sp::silu(gate) * up);                      // (batch, seq, hidden), after one all-reduce
  }
};
#endif

// error: shardproof[SP116] this module's forward yields no tensor here: a missing return, or an argument missing or too many (a cache?). Fix: return the result, and call the module with the arguments its forward takes.
// code: SP116
// path: gated_mlp<at<tensor_parallel, mlp>>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"
#include "llama/gated_mlp.hpp"

template <class At> struct outer {
  SP_LAYER(mlp, sp::block<gated_mlp>);
#ifdef MUST_FAIL
  constexpr auto forward(const auto& x, auto&& cache) const { return x + mlp(x, cache); }
#else
  constexpr auto forward(const auto& x, auto&&) const { return x + mlp(x); }
#endif
};
inline constexpr sp::plan tensor_parallel{sp::packed_colwise{"mlp.gate_up_proj"}, sp::rowwise{"mlp.down_proj"}};
static_assert(sp::dry_run<outer, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

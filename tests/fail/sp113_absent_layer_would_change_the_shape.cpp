// error: shardproof[SP113] a layer that may be absent (maybe<>) hands its input on, so it must return what it takes (see fed<>, returns<>). Fix: give it the output dimensions and the placement of its input, or use one_of.
// code: SP113
// path: at<tensor_parallel, proj>, fed<tensor<ghost, dims<batch, seq, hidden>, invariant>>, returns<tensor<ghost, dims<batch, seq, ffn>, shard<ffn>>>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct optional {
#ifdef MUST_FAIL
  SP_LAYER(proj, sp::maybe<sp::linear<hidden, ffn>>);
#else
  SP_LAYER(proj, sp::maybe<sp::linear<hidden, hidden>>);
#endif
  constexpr auto forward(const auto& x, auto&&) const { return proj(x); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise_gather_output{"proj"}};
#endif
static_assert(sp::dry_run<optional, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

// error: shardproof[SP204] this parallel style does not apply to this kind of layer (see style<>, Layer, applicable<>). Fix: use one of the styles in applicable<>.
// code: SP204
// path: at<tensor_parallel, up_proj>, style<packed_colwise>, linear<hidden, ffn>, applicable<replicated, colwise, rowwise, colwise_gather_output
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct up {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  constexpr auto forward(const auto& x, auto&&) const { return up_proj(x); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::packed_colwise{"up_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}};
#endif
static_assert(sp::dry_run<up, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

// error: shardproof[SP204] this parallel style does not apply to this kind of layer (see style<>, Layer, applicable<>). Fix: use one of the styles in applicable<>.
// code: SP204
// path: at<tensor_parallel, norm>, style<rowwise>, rms_norm<hidden>, applicable<replicated, replicated_with_grad_allreduce
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct normed {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return norm(x); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::rowwise{"norm"}};
#else
inline constexpr sp::plan tensor_parallel{sp::replicated{"norm"}};
#endif
static_assert(sp::dry_run<normed, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

// error: shardproof[SP112] the alternatives of one_of must return one type (see returns<>). Fix: give them the same output dimensions, and styles with the same output placement.
// code: SP112
// path: at<tensor_parallel, up>, returns<tensor<ghost, dims<batch, seq, ffn>, shard<ffn>>, tensor<ghost, dims<batch, seq, ffn>, invariant>>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct dense { SP_LAYER(up_proj, sp::linear<hidden, ffn>); constexpr auto forward(const auto& x) const { return up_proj(x); } };
template <class At> struct other { SP_LAYER(proj, sp::linear<hidden, ffn>); constexpr auto forward(const auto& x) const { return proj(x); } };
template <class At> struct either {
  SP_LAYER(up, sp::one_of<sp::block<dense>, sp::block<other>>);
  constexpr auto forward(const auto& x, auto&&) const { return up(x); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"up.up_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::colwise{"up.up_proj", "up.proj"}};
#endif
static_assert(sp::dry_run<either, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

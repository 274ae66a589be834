// error: shardproof[SP101] placement mismatch: this operation works over a dimension of which each rank holds only a shard (see fed<>). Fix: all_gather that dimension first, shard another one, or declare a norm over a list (sp::rms_norm<sp::dims<...>>) and give it the style sharded_norm.
// code: SP101
// path: at<tensor_parallel, norm>, .*fed<shard<ffn>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct normed {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(norm, sp::rms_norm<ffn>);
  constexpr auto forward(const auto& x, auto&&) const {
#ifdef MUST_FAIL
    return norm(up_proj(x));
#else
    return norm(sp::all_gather(up_proj(x)));
#endif
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj"}};
static_assert(sp::dry_run<normed, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

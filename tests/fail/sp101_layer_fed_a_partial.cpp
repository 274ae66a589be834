// error: shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed: a pending sum (partial) arrives (see fed<>, needs<>). Fix: reduce it first with sp::reduced, or give its producer the style rowwise.
// code: SP101
// path: at<tensor_parallel, head>, style<colwise>, fed<partial>, needs<invariant>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct scorer {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  SP_LAYER(head, sp::linear<hidden, vocab>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto y = down_proj(sp::silu(up_proj(x)));                   // a pending sum
#ifdef MUST_FAIL
    return head(y);
#else
    return head(sp::reduced(y));
#endif
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"up_proj", "head"}, sp::rowwise_partial{"down_proj"}};
static_assert(sp::dry_run<scorer, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

// error: shardproof[SP109] dimension names do not match: this tensor would carry one dimension twice (see fed<>). Fix: rename one of the two explicitly (sp::as<name, dimension>).
// code: SP109
// path: at<tensor_parallel, mix>, fed<dims<batch, hidden, hidden>>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"
struct mixed;

template <class At> struct mixing {
#ifdef MUST_FAIL
  SP_LAYER(mix, sp::linear<ffn, hidden>);
#else
  SP_LAYER(mix, sp::linear<ffn, sp::as<mixed, hidden>>);
#endif
  constexpr auto forward(const auto& x, auto&&) const { return mix(x); }
};
inline constexpr sp::plan tensor_parallel{sp::replicated{"mix"}};
static_assert(sp::dry_run<mixing, tensor_parallel>(sp::ranks{4}, sp::sizes_of<sp::dims<batch, hidden, ffn>>{2, 16, 24}).forward.all_reduces == 0);

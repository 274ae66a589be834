// error: shardproof[SP109] dimension names do not match: this operation needs another dimension here than the operand carries (see fed<>, needs<>). Fix: pass the tensor that carries the expected dimension, or rename the dimension explicitly (sp::as).
// code: SP109
// path: fed<dims<batch, seq, hidden>>, needs<dims<ffn>>
// near: 12
// lines: g++ 16, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class X> constexpr auto own_features(const X& x) {
#ifdef MUST_FAIL
  return sp::to_shard(x, sp::along<ffn>{});
#else
  return sp::to_shard(x, sp::along<hidden>{});
#endif
}
inline constexpr sp::plan alone{};
template <class At> struct model {
  constexpr auto forward(const auto& x, auto&&) const { return own_features(x); }
};
static_assert(sp::dry_run<model, alone>(sp::ranks{4}, stream{2, 5, 16}).forward.all_gathers == 0);

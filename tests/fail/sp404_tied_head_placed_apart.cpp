// error: shardproof[SP404] two layers share one tensor but their styles place it differently (see fed<>, needs<>). Fix: use styles with one weight placement (embedding_rowwise with a colwise head), or untie the tensors.
// code: SP404
// path: at<tensor_parallel, lm_head>, style<replicated>, fed<shard<rows<vocab>>>, needs<invariant>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct tied {
  SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
  SP_LAYER(lm_head, sp::tied_linear<hidden, vocab>);
  constexpr auto forward(const auto& ids, auto&&) const { return lm_head(embed_tokens(ids), embed_tokens.weight); }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::embedding_rowwise{"embed_tokens"}};
#else
inline constexpr sp::plan tensor_parallel{sp::embedding_rowwise{"embed_tokens"}, sp::colwise{"lm_head"}};
#endif
static_assert(sp::dry_run<tied, tensor_parallel>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 1);

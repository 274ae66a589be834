// error: shardproof[SP109] dimension names do not match: this operation needs another dimension here than the operand carries (see fed<>, needs<>). Fix: pass the tensor that carries the expected dimension, or rename the dimension explicitly (sp::as).
// code: SP109
// path: operations::loss, fed<dims<batch, seq, vocab>>, needs<dims<batch>>
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct classifier {
  SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
  SP_LAYER(lm_head, sp::linear<hidden, vocab>);
  constexpr auto forward(const auto& ids, auto&&) const {
    auto logits = lm_head(embed_tokens(ids));
#ifdef MUST_FAIL
    return sp::cross_entropy(ids, logits);
#else
    return sp::cross_entropy(logits, ids);
#endif
  }
};
inline constexpr sp::plan vocabulary{sp::embedding_rowwise{"embed_tokens"}, sp::colwise{"lm_head"}};
static_assert(sp::dry_run<classifier, vocabulary>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 3);

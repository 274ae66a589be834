// error: shardproof[SP114] these arguments do not fit this operation (see fed<>, needs<>). Fix: pass what needs<> lists, in that order.
// code: SP114
// path: at<alone, lm_head>
// path: needs<tensor<.*>, detail::table_of_another_layer>
// near: 14
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct tied {
  SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
  SP_LAYER(lm_head, sp::tied_linear<hidden, vocab>);
  constexpr auto forward(const auto& ids, auto&&) const {
#ifdef MUST_FAIL
    return lm_head(embed_tokens(ids));
#else
    return lm_head(embed_tokens(ids), embed_tokens.weight);
#endif
  }
};
inline constexpr sp::plan alone{sp::replicated{"embed_tokens"}};
static_assert(sp::dry_run<tied, alone>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 0);

// error: shardproof[SP401] backward is called on a Replicate or Varying loss: the initial gradient would be counted wrongly. Fix: reduce the loss to Invariant on tp (Partial on dp and cp) first.
// code: SP401
// path: fed<replicate>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

using logits = sp::tensor<sp::data, sp::dims<batch, seq, vocab>>;
using labels = sp::tensor<sp::data, sp::dims<batch, seq>>;
void step(const logits& y, const labels& t) {
#ifdef MUST_FAIL
  sp::backward(sp::cross_entropy(sp::to_replicate(y), t));
#else
  sp::backward(sp::cross_entropy(y, t));
#endif
}

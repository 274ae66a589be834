// error: shardproof[SP401] backward is called on a Replicate or Varying loss: the initial gradient would be counted wrongly. Fix: reduce the loss to Invariant on tp (Partial on dp and cp) first.
// code: SP401
// path: fed<partial>
// near: 12
// lines: g++ 24, clang 24
// Every rank has the loss of its own rows only.
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

using logits = sp::tensor<sp::data, sp::dims<batch, seq, vocab>, sp::shard<batch>>;
using labels = sp::tensor<sp::data, sp::dims<batch, seq>, sp::shard<batch>>;
void step(const logits& y, const labels& t) {
  auto loss = sp::cross_entropy(y, t);
#ifdef MUST_FAIL
  sp::backward(loss);
#else
  sp::backward(sp::reduced(loss));
#endif
}

// error: shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed (see fed<>, needs<>). Fix: convert the input to what needs<> says, or give the layer a style that accepts fed<>.
// code: SP101
// path: at<on_a_mesh, embed_tokens>, style<embedding_rowwise>, fed<shard<batch>>, needs<invariant>
// near: 12
// The styles speak of tp; what a plan says of another axis must not name it.
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
#include "llama/gated_mlp.hpp"
#include "llama/model.hpp"

#ifdef MUST_FAIL
using axis_of_the_batch = sp::tp;
#else
using axis_of_the_batch = sp::dp;
#endif
inline constexpr auto on_a_mesh = tensor_parallel.with_axis<axis_of_the_batch, sp::shard<batch>>();
static_assert(sp::dry_run<llama, on_a_mesh>(sp::ranks{4, 2}, sp::tokens{2, 5}).forward.all_reduces == 5);

// error: shardproof[SP105] no legal partition: the extent cannot be divided over the ranks in whole units (see extent<>, unit, ranks<>, legal<>). Fix: use a rank count in legal<>, pad the dimension, allow an uneven partition, or replicate the layer.
// code: SP105
// path: shard<kv_heads>, extent<4>, ranks_on_axis<3>, legal<1, 2, 4, 8
// Four KV heads on three ranks. (On eight ranks each head is held twice, and nothing is cut.)
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
#include "llama/gated_mlp.hpp"
#include "llama/model.hpp"

#ifdef MUST_FAIL
inline constexpr auto on_three = tensor_parallel.on(3);
static_assert(sp::dry_run<llama, on_three>(sp::ranks{3}, sp::tokens{2, 5}).backward.all_reduces == 9);
#else
inline constexpr auto on_eight = tensor_parallel.on(8);
static_assert(sp::dry_run<llama, on_eight>(sp::ranks{8}, sp::tokens{2, 5}).backward.all_reduces == 9);
#endif

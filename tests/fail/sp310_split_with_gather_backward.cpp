// error: shardproof[SP310] the declared adjoint is ill-typed: it must map dual<dst> to dual<src> (see Op)
// code: SP310
// path: fed<shard<ffn>, invariant>, needs<shard<ffn>, partial>
// Mutant 6: the split of a Replicate value with an all-gather backward.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
#ifdef MUST_FAIL
struct my_split : primitive::declare<my_split, replicate, shard<ffn>, primitive::all_gather<shard<ffn>, invariant>> {};
#else
struct my_split : primitive::declare<my_split, replicate, shard<ffn>, primitive::adjoint_of<my_split>> {};
#endif

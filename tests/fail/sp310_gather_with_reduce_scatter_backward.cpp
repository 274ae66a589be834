// error: shardproof[SP310] the declared adjoint is ill-typed: it must map dual<dst> to dual<src> (see Op)
// code: SP310
// path: needs<invariant, shard<ffn>>
// Mutant 5: an all-gather to an Invariant value with a reduce-scatter backward.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
#ifdef MUST_FAIL
struct my_gather : primitive::declare<my_gather, shard<ffn>, invariant, primitive::reduce_scatter<partial, shard<ffn>>> {};
#else
struct my_gather : primitive::declare<my_gather, shard<ffn>, invariant, primitive::adjoint_of<my_gather>> {};
#endif

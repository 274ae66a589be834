// error: shardproof[SP310] the declared adjoint is ill-typed: it must map dual<dst> to dual<src> (see Op)
// code: SP310
// path: fed<invariant, shard<seq>>, needs<invariant, shard<ffn>>
// The gradient would be sharded along another dimension than the value.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
struct seq : dim<> {};
#ifdef MUST_FAIL
struct my_gather : primitive::declare<my_gather, shard<ffn>, invariant, primitive::convert<invariant, shard<seq>>> {};
#else
struct my_gather : primitive::declare<my_gather, shard<ffn>, invariant, primitive::adjoint_of<my_gather>> {};
#endif

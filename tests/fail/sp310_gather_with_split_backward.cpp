// error: shardproof[SP310] the declared adjoint is ill-typed: it must map dual<dst> to dual<src> (see Op)
// code: SP310
// path: fed<invariant, shard<ffn>>, needs<partial, shard<ffn>>
// Mutant 4: an all-gather that feeds rank-dependent compute, with the split as backward.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
struct my_gather;
#ifdef MUST_FAIL
struct my_gather : primitive::declare<my_gather, shard<ffn>, replicate, primitive::convert<invariant, shard<ffn>>> {};
#else
struct my_scatter;
struct my_gather : primitive::declare<my_gather, shard<ffn>, replicate, my_scatter> {};
struct my_scatter : primitive::declare<my_scatter, partial, shard<ffn>, my_gather> {};
#endif

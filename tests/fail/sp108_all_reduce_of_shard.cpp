// error: shardproof[SP108] a reducing collective is fed a value that is not a pending sum
// code: SP108
// path: fed<shard<ffn>>, needs<partial>
// Mutant 9: an all-reduce of a Shard adds unrelated features.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
#ifdef MUST_FAIL
using g = primitive::all_reduce<shard<ffn>, invariant>;
using back = g::adjoint::dst;
#else
using g = primitive::all_gather<shard<ffn>, invariant>;
using back = g::adjoint::dst;
#endif

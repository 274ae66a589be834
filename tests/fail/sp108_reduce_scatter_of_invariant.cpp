// error: shardproof[SP108] a reducing collective is fed a value that is not a pending sum
// code: SP108
// path: fed<invariant>, needs<partial>
// Mutant 8: a reduce-scatter of an Invariant value counts it once per rank.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
#ifdef MUST_FAIL
using rs = primitive::reduce_scatter<invariant, shard<ffn>>;
static_assert(primitive::obeys_laws<rs>);
#else
using rs = primitive::reduce_scatter<partial, shard<ffn>>;
static_assert(primitive::obeys_laws<rs>);
#endif

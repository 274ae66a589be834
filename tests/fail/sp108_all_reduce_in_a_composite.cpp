// error: shardproof[SP108] a reducing collective is fed a value that is not a pending sum
// code: SP108
// path: all_reduce<shard<ffn>, invariant>
// The wrong step is reported, not the composite that contains it.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
#ifdef MUST_FAIL
using h = primitive::then<primitive::convert<replicate, shard<ffn>>, primitive::all_reduce<shard<ffn>, invariant>>;
static_assert(primitive::obeys_laws<h>);
#else
using h = primitive::then<primitive::convert<replicate, shard<ffn>>, primitive::all_gather<shard<ffn>, invariant>>;
static_assert(primitive::obeys_laws<h>);
#endif

// error: shardproof[SP303] these communication steps do not compose: the first produces another placement than the second consumes (see first<>, second<>)
// code: SP303
// path: first<primitive::all_gather<shard<ffn>, invariant>, invariant>, primitive::second<primitive::reduce_scatter<partial, shard<ffn>>, partial>|first<.*invariant>, .*second<.*partial>
// An all-gathered value is no pending sum, so that it may not be scattered by a reduction.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
#ifdef MUST_FAIL
using h = primitive::then<primitive::all_gather<shard<ffn>, invariant>, primitive::reduce_scatter<partial, shard<ffn>>>;
static_assert(primitive::obeys_laws<h>);
#else
using h = primitive::then<primitive::all_gather<shard<ffn>, invariant>, primitive::convert<invariant, shard<ffn>>>;
static_assert(primitive::obeys_laws<h>);
#endif

// error: shardproof[SP303] these communication steps do not compose: the first produces another placement than the second consumes (see first<>, second<>)
// code: SP303
// path: first<.*invariant>, .*second<.*replicate>
// Composites are checked where they meet, whatever is inside them.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
using to_whole = primitive::then<primitive::reduce_scatter<partial, shard<ffn>>, primitive::all_gather<shard<ffn>, invariant>>;
using to_sum = primitive::then<primitive::convert<replicate, shard<ffn>>, primitive::convert<shard<ffn>, partial>>;
#ifdef MUST_FAIL
using h = primitive::then<to_whole, to_sum>;
static_assert(h::keeps_value);
#else
using h = primitive::then<to_whole, primitive::then<primitive::convert<invariant, replicate>, to_sum>>;
static_assert(h::keeps_value && primitive::obeys_laws<h>);
#endif

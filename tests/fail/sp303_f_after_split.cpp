// error: shardproof[SP303] these communication steps do not compose: the first produces another placement than the second consumes (see first<>, second<>)
// code: SP303
// path: first<.*shard<ffn>>, .*second<.*invariant>
// f is applied to what a split has sharded already (the scores after an expert router).
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
#ifdef MUST_FAIL
using h = primitive::then<primitive::convert<invariant, shard<ffn>>, primitive::convert<invariant, replicate>>;
static_assert(!h::src::value.splits());
#else
using h = primitive::then<primitive::convert<invariant, replicate>, primitive::convert<replicate, shard<ffn>>>;
static_assert(!h::src::value.splits());
#endif

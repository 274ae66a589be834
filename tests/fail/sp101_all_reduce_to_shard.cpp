// error: shardproof[SP101] placement mismatch: this conversion starts from another placement than it is fed (see fed<>, needs<>)
// code: SP101
// path: fed<partial>, .*yields<invariant, replicate>
// An all-reduce leaves no shard behind.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
#ifdef MUST_FAIL
static_assert(primitive::obeys_laws<primitive::all_reduce<partial, shard<ffn>>>);
#else
static_assert(primitive::obeys_laws<primitive::reduce_scatter<partial, shard<ffn>>>);
#endif

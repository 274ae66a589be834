// error: shardproof[SP101] placement mismatch: this conversion starts from another placement than it is fed (see fed<>, needs<>)
// code: SP101
// path: fed<partial>, needs<replicate>
// A pending sum becomes a value without being summed.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

#ifdef MUST_FAIL
using g = primitive::convert<partial, invariant>;
static_assert(primitive::lawful<g>::ok);
#else
using g = primitive::all_reduce<partial, invariant>;
static_assert(primitive::lawful<g>::ok);
#endif

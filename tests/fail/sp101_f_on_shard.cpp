// error: shardproof[SP101] placement mismatch: this conversion starts from another placement than it is fed (see fed<>, needs<>)
// code: SP101
// path: fed<shard<ffn>>, needs<invariant>
// Mutant 10: f applied to a sharded value.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
#ifdef MUST_FAIL
using f = primitive::convert<shard<ffn>, replicate>;
using back = f::adjoint;
#else
using f = primitive::all_gather<shard<ffn>, replicate>;
using back = f::adjoint;
#endif

// error: shardproof[SP311] the adjoint of the declared adjoint is not this primitive (see Op)
// code: SP311
// path: my_sum
// The placements fit, but the adjoint belongs to another pair, whose forward need not be this one's backward.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

#ifdef MUST_FAIL
struct my_sum : primitive::declare<my_sum, partial, invariant, primitive::convert<invariant, replicate>> {};
#else
struct my_sum : primitive::declare<my_sum, partial, invariant, primitive::adjoint_of<my_sum>> {};
#endif

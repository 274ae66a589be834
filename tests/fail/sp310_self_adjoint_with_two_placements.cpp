// error: shardproof[SP310] the declared adjoint is ill-typed: it must map dual<dst> to dual<src> (see Op)
// code: SP310
// path: my_sum
// Only a map from P to its dual can be its own adjoint.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

#ifdef MUST_FAIL
struct my_sum : primitive::declare<my_sum, partial, invariant, my_sum> {};
static_assert(my_sum::id < 0);
#else
struct my_sum : primitive::declare<my_sum, partial, replicate, my_sum> {};
static_assert(my_sum::id < 0);
#endif

// error: shardproof[SP310] the declared adjoint is ill-typed: it must map dual<dst> to dual<src> (see Op)
// code: SP310
// path: fed<int>, needs<invariant, replicate>
// The adjoint is no primitive at all.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

#ifdef MUST_FAIL
struct my_sum : primitive::declare<my_sum, partial, invariant, int> {};
#else
struct my_sum : primitive::declare<my_sum, partial, invariant, primitive::adjoint_of<my_sum>> {};
#endif

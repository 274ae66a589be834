// error: shardproof[SP310] the declared adjoint is ill-typed: it must map dual<dst> to dual<src> (see Op)
// code: SP310
// path: fed<invariant, replicate>, needs<partial, replicate>
// Mutant 3: g said to give a Replicate value, with the identity as backward.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct my_g;
#ifdef MUST_FAIL
struct my_g : primitive::declare<my_g, partial, replicate, primitive::convert<invariant, replicate>> {};
#else
struct my_g : primitive::declare<my_g, partial, replicate, my_g> {};
#endif

// error: shardproof[SP310] the declared adjoint is ill-typed: it must map dual<dst> to dual<src> (see Op)
// code: SP310
// path: fed<replicate, partial>, needs<replicate, invariant>
// Mutant 11: an Invariant value divided among the ranks, with the same division backward.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

#ifdef MUST_FAIL
struct my_share : primitive::declare<my_share, invariant, partial, primitive::convert<replicate, partial>> {};
#else
struct my_share : primitive::declare<my_share, replicate, partial, my_share> {};
#endif

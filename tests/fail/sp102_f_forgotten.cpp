// error: shardproof[SP102] an Invariant value enters rank-dependent compute: its gradient would miss an all-reduce
// code: SP102
// path: fed<invariant>, needs<replicate>
// Mutant 1: f is forgotten, an Invariant value is used as a Replicate one with the identity as backward.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

#ifdef MUST_FAIL
using f = primitive::unsafe::reinterpret<invariant, replicate>;
static_assert(!f::keeps_value);
#else
using f = primitive::convert<invariant, replicate>;
static_assert(f::keeps_value);
#endif

// error: shardproof[SP108] a reducing collective is fed a value that is not a pending sum
// code: SP108
// path: fed<replicate>, needs<partial>
// A value that is equal on all ranks is reduced: it would be counted once per rank.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

#ifdef MUST_FAIL
static_assert(primitive::all_reduce<replicate, invariant>::keeps_value || true);
#else
static_assert(primitive::convert<replicate, invariant>::keeps_value);
#endif

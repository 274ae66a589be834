// error: shardproof[SP311] the adjoint of the declared adjoint is not this primitive (see Op)
// code: SP311
// path: gather
// Three primitives name each other in a ring. The first is checked where it is used, since its adjoint came later.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
struct scatter;
struct gather : primitive::declare<gather, shard<ffn>, replicate, scatter> {};
#ifdef MUST_FAIL
struct other : primitive::declare<other, shard<ffn>, replicate, scatter> {};
struct scatter : primitive::declare<scatter, partial, shard<ffn>, other> {};
static_assert(primitive::then<gather, primitive::convert<replicate, partial>>::id < 0);
#else
struct scatter : primitive::declare<scatter, partial, shard<ffn>, gather> {};
static_assert(primitive::then<gather, primitive::convert<replicate, partial>>::id < 0);
#endif

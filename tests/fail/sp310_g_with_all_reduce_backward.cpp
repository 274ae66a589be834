// error: shardproof[SP310] the declared adjoint is ill-typed: it must map dual<dst> to dual<src> (see Op)
// code: SP310
// path: fed<partial, replicate>, needs<invariant, replicate>
// Mutant 2: g with an all-reduce backward (the behaviour of torch.distributed.nn.all_reduce).
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct my_g;
#ifdef MUST_FAIL
struct my_g : primitive::declare<my_g, partial, invariant, primitive::all_reduce<partial, replicate>> {};
#else
struct my_g_back : primitive::declare<my_g_back, invariant, replicate, my_g> {};
struct my_g : primitive::declare<my_g, partial, invariant, my_g_back> {};
#endif

// error: shardproof[SP310] the declared adjoint is ill-typed: it must map dual<dst> to dual<src> (see Op)
// code: SP310
// path: fed<invariant, replicate>, needs<invariant, partial>
// Mutant 1 as a pair of one's own: the second definition meets a complete adjoint and is refused.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct my_f;
#ifdef MUST_FAIL
struct my_f_back;
struct my_f : primitive::declare<my_f, invariant, replicate, my_f_back> {};
struct my_f_back : primitive::declare<my_f_back, replicate, invariant, my_f> {};
#else
struct my_f_back;
struct my_f : primitive::declare<my_f, invariant, replicate, my_f_back> {};
struct my_f_back : primitive::declare<my_f_back, partial, invariant, my_f> {};
#endif

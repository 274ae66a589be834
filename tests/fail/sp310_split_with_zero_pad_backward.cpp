// error: shardproof[SP310] the declared adjoint is ill-typed: it must map dual<dst> to dual<src> (see Op)
// code: SP310
// path: fed<shard<ffn>, partial>, needs<shard<ffn>, invariant>
// Mutant 7: plain slicing of an Invariant value, whose backward pads with zeros.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
#ifdef MUST_FAIL
struct my_split : primitive::declare<my_split, invariant, shard<ffn>, primitive::convert<shard<ffn>, partial>> {};
#else
struct my_split : primitive::declare<my_split, invariant, shard<ffn>, primitive::adjoint_of<my_split>> {};
#endif

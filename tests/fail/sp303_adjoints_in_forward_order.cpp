// error: shardproof[SP303] these communication steps do not compose: the first produces another placement than the second consumes (see first<>, second<>)
// code: SP303
// path: first<.*replicate>, .*second<.*shard<ffn>
// The adjoint of a composite runs the adjoints in reverse order.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
using a = primitive::all_reduce<partial, replicate>;
using b = primitive::convert<replicate, shard<ffn>>;
#ifdef MUST_FAIL
using back = primitive::then<a::adjoint, b::adjoint>;
static_assert(primitive::obeys_laws<back>);
#else
using back = primitive::then<b::adjoint, a::adjoint>;
static_assert(primitive::obeys_laws<back> && std::is_same_v<back, primitive::then<a, b>::adjoint>);
#endif

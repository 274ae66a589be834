// error: shardproof[SP101] placement mismatch: this conversion starts from another placement than it is fed (see fed<>, needs<>)
// code: SP101
// path: fed<varying>, needs<invariant>
// A value that differs per rank is claimed to be equal on all of them.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

#ifdef MUST_FAIL
constexpr int row = primitive::convert<varying, replicate>::id;
#else
constexpr int row = primitive::broadcast<varying, replicate>::id;
static_assert(row == primitive::broadcast_v_r);
#endif

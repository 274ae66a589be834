// error: shardproof[SP108] a reducing collective is fed a value that is not a pending sum
// code: SP108
// path: fed<packed<.*needs<partial>
// Parts of a fused dimension are no pending sum.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct ffn : dim<> {};
struct seq : dim<> {};
using gate_up = fused<ffn, ffn>;
#ifdef MUST_FAIL
using rs = primitive::reduce_scatter<packed<gate_up>, shard<seq>>;
static_assert(rs::id < 0);
#else
using a2a = primitive::all_to_all<packed<gate_up>, shard<seq>>;
static_assert(a2a::id == primitive::all_to_all_s_s);
#endif

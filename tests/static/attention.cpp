// Attention with sinks: the sinks lie as the query heads do, or are whole for each rank's own rows.
#include <shardproof/tensor/ops/attention.hpp>
namespace sp = shardproof;
using sp::code;
using sp::placement;

struct batch : sp::dim<> {};
struct seq : sp::dim<> {};
struct kv_heads : sp::dim<4, sp::groups> {};
struct q_heads : sp::dim<8, sp::grouped_by<kv_heads>> {};
struct head_dim : sp::dim<4> {};
using op = sp::operations::attention<q_heads, kv_heads, seq, head_dim>;
constexpr placement I, R = sp::replicate::value, q = sp::shard<q_heads>::value, kv = sp::shard<kv_heads>::value, b = sp::shard<batch>::value;
constexpr code of(placement a, placement k, placement sinks) { return op::rule(a, k, k, sinks).broken; }

static_assert(of(I, I, I) == code::ok);
static_assert(of(R, R, R) == code::ok);
static_assert(of(q, kv, q) == code::ok);
static_assert(of(b, b, R) == code::ok);                                  // rows are dealt out: each rank adds its own gradient
static_assert(of(q, kv, I) == code::drifting_parameter);                 // the gradient would miss a sum
static_assert(of(b, b, I) == code::drifting_parameter);
static_assert(of(q, kv, R) == code::heads_differ);                       // a rank has some of the heads and all of the sinks
static_assert(of(I, I, R) == code::heads_differ);
static_assert(of(I, I, q) == code::heads_differ);
static_assert(of(q, I, q) == code::heads_differ);                        // what is wrong without sinks stays wrong
static_assert(op::rule(q, kv, kv, q).to == q);
static_assert(op::rule(b, b, b, R).to == b);

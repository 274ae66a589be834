/// @file
/// The code of docs/placements.md.
#include "pages.hpp"
#include <shardproof/types.hpp>

namespace {

struct batch : sp::dim<> {};
struct seq : sp::dim<> {};
struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
struct kv_heads : sp::dim<2, sp::groups> {};
struct q_heads : sp::dim<8, sp::grouped_by<kv_heads>> {};
using gate_up = sp::fused<ffn, ffn>;

//! [dual]
static_assert(sp::dual(sp::replicate::value) == sp::partial::value);             // the gradient of Replicate is a pending sum
static_assert(sp::dual(sp::partial::value) == sp::replicate::value);
static_assert(sp::dual(sp::invariant::value) == sp::invariant::value);
static_assert(sp::dual(sp::shard<ffn>::value) == sp::shard<ffn>::value);
static_assert(std::is_same_v<sp::dual_of<sp::dual_of<sp::replicate>>, sp::replicate>);
//! [dual]

//! [rules]
constexpr sp::placement I = sp::invariant::value, R = sp::replicate::value, P = sp::partial::value, S = sp::shard<ffn>::value;
static_assert(sp::rules::add(P, P).to == P);                                     // two pending sums are one
static_assert(sp::rules::add(P, I).broken == sp::code::partial_with_whole);      // SP104
static_assert(sp::rules::nonlinear(P).broken == sp::code::nonlinear_partial);    // SP103
static_assert(sp::rules::multiply(I, S).broken == sp::code::needs_shard);        // SP102
static_assert(sp::rules::contract(R, sp::shard<sp::out<ffn>>::value, &sp::info<hidden>).to == S);        // colwise
static_assert(sp::rules::contract(S, sp::shard<sp::in<ffn>>::value, &sp::info<ffn>).to == P);            // rowwise
static_assert(sp::rules::part(sp::packed<gate_up>::value, &sp::info<gate_up>, 0).to == S);
static_assert(sp::rules::part(sp::shard<gate_up>::value, &sp::info<gate_up>, 0).broken == sp::code::split_needs_packed);
//! [rules]

//! [partition]
static_assert(sp::chunk(10, 2, 3) == sp::slice{8, 10});                          // rank 2 of 3: the sizes of torch.chunk
static_assert(sp::chunk(5, 3, 4).size() == 0);                                   // uneven and empty parts are legal
static_assert(sp::local_ranges(&sp::info<gate_up>, 48, sp::packed<gate_up>::value, 1, 2).at[1] == sp::slice{36, 48});
static_assert(sp::block_of(&sp::info<kv_heads>, 2, 3, 4) == sp::slice{1, 2});    // 4 ranks, 2 KV heads: each in two copies
static_assert(sp::block_of(&sp::info<q_heads>, 8, 3, 4) == sp::slice{6, 8});
static_assert(!sp::dealable(&sp::info<q_heads>, 8, 3));                          // SP105
static_assert(sp::legal_ranks(&sp::info<q_heads>, 8).count == 4);                // 1, 2, 4, 8
//! [partition]

//! [layouts]
using activation = sp::layout<sp::on<sp::dp, sp::shard<batch>>, sp::on<sp::tp, sp::invariant>>;
static_assert(std::is_same_v<sp::on_axis<activation, sp::dp>, sp::shard<batch>>);
static_assert(sp::mesh{.tp = 4, .dp = 2}.at(5).rank[0] == 1);                    // world rank 5 is tp rank 1 of dp group 1
//! [layouts]

//! [primitives]
using f = sp::primitive::convert<sp::invariant, sp::replicate>;                  // identity; backward: all_reduce
using g = sp::primitive::all_reduce<sp::partial, sp::invariant>;                 // all_reduce; backward: identity
static_assert(std::is_same_v<f::adjoint, g> && std::is_same_v<g::adjoint, f>);
static_assert(sp::primitive::backward(f::id) == sp::primitive::physical::all_reduce);

// A pending sum made whole in two steps; its adjoint is made of the adjoints, in reverse order.
using whole = sp::primitive::then<sp::primitive::reduce_scatter<sp::partial, sp::shard<ffn>>,
                                  sp::primitive::all_gather<sp::shard<ffn>, sp::invariant>>;
static_assert(std::is_same_v<whole::adjoint::src, sp::invariant> && std::is_same_v<whole::adjoint::dst, sp::replicate>);
static_assert(sp::primitive::obeys_laws<whole>);
//! [primitives]

//! [declare]
/// A primitive of one's own, its own adjoint; SP310 and SP311 if that were not lawful.
struct my_sum : sp::primitive::declare<my_sum, sp::partial, sp::replicate, my_sum> {};
static_assert(sp::primitive::obeys_laws<my_sum>);
//! [declare]

}  // namespace

bool placements() { return true; }

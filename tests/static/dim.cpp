// Dimensions: names, extents, how they are dealt, roles, lists.
#include <shardproof/core/dim.hpp>
namespace sp = shardproof;

struct batch : sp::dim<> {};
struct seq : sp::dim<> {};
struct hidden : sp::dim<4096> {};
struct ffn : sp::dim<11008> {};
struct gate_bias : sp::dim<3> {};
struct kv_heads : sp::dim<2, sp::groups> {};
struct q_heads : sp::dim<8, sp::grouped_by<kv_heads>> {};
struct head_dim : sp::dim<128> {};
struct loose_kv : sp::dim<3, sp::groups, sp::uneven> {};
struct loose_q : sp::dim<12, sp::grouped_by<loose_kv>> {};
struct n_experts : sp::dim<16, sp::units> {};
struct quantised : sp::dim<512, sp::blocks_of<128>> {};
struct late_kv : sp::dim<sp::dynamic, sp::groups> {};
struct late_q : sp::dim<sp::dynamic, sp::grouped_by<late_kv>> {};
namespace outer::inner {
struct width : sp::dim<7> {};
template <int N> struct numbered : sp::dim<N> {};
template <class A, class B> struct pair_of : sp::dim<2> {};
}  // namespace outer::inner
using gate_up = sp::fused<ffn, ffn>;
using qkv = sp::fused<q_heads, kv_heads, kv_heads>;
using keys = sp::as<struct keys_tag, seq>;

// names are as written, without their namespaces
static_assert(sp::type_name<hidden>() == "hidden");
static_assert(sp::type_name<outer::inner::width>() == "width");
static_assert(sp::type_name<struct declared_here>() == "declared_here");
static_assert(sp::info<hidden>.name == "hidden");
static_assert(sp::info<outer::inner::width>.name == "width");
static_assert(sp::info<gate_bias>.name == "gate_bias");
static_assert(sp::info<hidden>.name != sp::info<ffn>.name);
// a template's name keeps its arguments, and only its own scope is dropped
static_assert(sp::type_name<outer::inner::numbered<3>>() == "numbered<3>");
static_assert(sp::type_name<outer::inner::numbered<3>>() != sp::type_name<outer::inner::numbered<4>>());
static_assert(sp::type_name<outer::inner::pair_of<hidden, ffn>>().substr(0, 15) == "pair_of<hidden,");
// a role does not change the name
static_assert(sp::info<sp::out<hidden>>.name == "hidden");
static_assert(sp::info<sp::in<hidden>>.name == "hidden");
static_assert(sp::info<sp::rows<hidden>>.name == "hidden");
static_assert(sp::info<sp::width<hidden>>.name == "hidden");
static_assert(sp::info<sp::per_expert<n_experts>>.name == "n_experts");
// a fused dimension is called so; a renamed one by its new name
static_assert(sp::info<gate_up>.name == "fused");
static_assert(sp::info<keys>.name == "keys_tag");
static_assert(sp::info<keys>.name != sp::info<seq>.name);

// extents: a constant, or known later
static_assert(sp::info<hidden>.extent == 4096);
static_assert(sp::info<seq>.extent == sp::dynamic);
static_assert(seq::static_extent == sp::dynamic);
static_assert(hidden::static_extent == 4096);
static_assert(sp::info<sp::out<hidden>>.extent == 4096);
static_assert(sp::info<sp::in<seq>>.extent == sp::dynamic);
// a fused extent is the sum of its parts, if all are known
static_assert(gate_up::static_extent == 22016);
static_assert(qkv::static_extent == 12);
static_assert(sp::fused<hidden, seq>::static_extent == sp::dynamic);
static_assert(sp::fused<ffn, gate_bias>::static_extent == 11011);
static_assert(sp::fused<>::static_extent == 0);
// a renamed dimension has the extent of the one it renames
static_assert(keys::static_extent == sp::dynamic);
static_assert(sp::as<struct other_hidden, hidden>::static_extent == 4096);
static_assert(sp::info<sp::as<struct other_hidden, hidden>>.extent == 4096);

// parts
static_assert(sp::info<gate_up>.parts == 2);
static_assert(sp::info<qkv>.parts == 3);
static_assert(sp::info<hidden>.parts == 0);
static_assert(sp::info<gate_up>.part[0] == &sp::info<ffn>);
static_assert(sp::info<gate_up>.part[1] == &sp::info<ffn>);
static_assert(sp::info<qkv>.part[0] == &sp::info<q_heads>);
static_assert(sp::info<qkv>.part[1] == &sp::info<kv_heads>);
static_assert(sp::info<qkv>.part[2] == &sp::info<kv_heads>);
static_assert(sp::info<qkv>.part[3] == nullptr);
static_assert(sp::info<sp::out<gate_up>>.parts == 2);
static_assert(std::is_same_v<gate_up::parts, sp::dims<ffn, ffn>>);

// how a dimension is dealt
static_assert(sp::info<hidden>.dealt == sp::deal::items);
static_assert(sp::info<seq>.dealt == sp::deal::items);
static_assert(sp::info<kv_heads>.dealt == sp::deal::groups);
static_assert(sp::info<q_heads>.dealt == sp::deal::grouped);
static_assert(sp::info<n_experts>.dealt == sp::deal::units);
static_assert(sp::info<quantised>.dealt == sp::deal::units);
static_assert(sp::info<gate_up>.dealt == sp::deal::items);
static_assert(sp::info<sp::out<kv_heads>>.dealt == sp::deal::groups);
static_assert(sp::info<sp::in<q_heads>>.dealt == sp::deal::grouped);
// groups
static_assert(sp::info<q_heads>.group == &sp::info<kv_heads>);
static_assert(sp::info<kv_heads>.group == nullptr);
static_assert(sp::info<hidden>.group == nullptr);
static_assert(sp::info<sp::out<q_heads>>.group == &sp::info<kv_heads>);
static_assert(std::is_same_v<q_heads::group, kv_heads>);
static_assert(std::is_void_v<hidden::group>);
static_assert(sp::info<late_q>.group == &sp::info<late_kv>);
// blocks
static_assert(sp::info<quantised>.block == 128);
static_assert(sp::info<hidden>.block == 1);
static_assert(sp::info<n_experts>.block == 1);
// uneven by declaration, or because the group is
static_assert(sp::info<loose_kv>.uneven);
static_assert(sp::info<loose_q>.uneven);
static_assert(!sp::info<kv_heads>.uneven);
static_assert(!sp::info<q_heads>.uneven);
static_assert(!sp::info<hidden>.uneven);
static_assert(sp::info<sp::in<loose_q>>.uneven);

// roles
static_assert(sp::info<hidden>.is == sp::role::none);
static_assert(sp::info<sp::out<hidden>>.is == sp::role::out);
static_assert(sp::info<sp::in<hidden>>.is == sp::role::in);
static_assert(sp::info<sp::rows<hidden>>.is == sp::role::rows);
static_assert(sp::info<sp::width<hidden>>.is == sp::role::width);
static_assert(sp::info<sp::per_expert<n_experts>>.is == sp::role::experts);
// one dimension in two roles is two dimensions with one base
static_assert(&sp::info<sp::out<hidden>> != &sp::info<sp::in<hidden>>);
static_assert(&sp::info<sp::out<hidden>> != &sp::info<hidden>);
static_assert(sp::base_of(&sp::info<sp::out<hidden>>) == &sp::info<hidden>);
static_assert(sp::base_of(&sp::info<sp::in<hidden>>) == &sp::info<hidden>);
static_assert(sp::base_of(&sp::info<hidden>) == &sp::info<hidden>);
static_assert(sp::base_of(nullptr) == nullptr);
static_assert(sp::info<sp::out<hidden>>.base == &sp::info<hidden>);
static_assert(sp::info<hidden>.base == nullptr);
// a renamed dimension is another one
static_assert(&sp::info<keys> != &sp::info<seq>);
static_assert(sp::info<keys>.renamed == &sp::info<seq>);
static_assert(sp::info<seq>.renamed == nullptr);
static_assert(sp::base_of(&sp::info<keys>) == &sp::info<keys>);

// lists
static_assert(sp::dims<batch, seq, hidden>::rank == 3);
static_assert(sp::dims<>::rank == 0);
static_assert(std::is_same_v<sp::as_dims<hidden>, sp::dims<hidden>>);
static_assert(std::is_same_v<sp::as_dims<sp::dims<q_heads, head_dim>>, sp::dims<q_heads, head_dim>>);
static_assert(std::is_same_v<sp::concat<hidden, ffn>, sp::dims<hidden, ffn>>);
static_assert(std::is_same_v<sp::concat<sp::dims<batch, seq>, hidden>, sp::dims<batch, seq, hidden>>);
static_assert(std::is_same_v<sp::concat<sp::dims<batch>, sp::dims<>, sp::dims<seq, hidden>>, sp::dims<batch, seq, hidden>>);
static_assert(!std::is_same_v<sp::concat<hidden, ffn>, sp::dims<ffn, hidden>>);
static_assert(std::is_same_v<sp::roled<sp::out, sp::dims<q_heads, head_dim>>, sp::dims<sp::out<q_heads>, sp::out<head_dim>>>);
static_assert(std::is_same_v<sp::roled<sp::in, hidden>, sp::dims<sp::in<hidden>>>);
static_assert(std::is_same_v<sp::plain<sp::out<hidden>>, hidden>);
static_assert(std::is_same_v<sp::plain<hidden>, hidden>);
static_assert(std::is_same_v<sp::plain<sp::dims<sp::out<q_heads>, sp::in<hidden>>>, sp::dims<q_heads, hidden>>);
static_assert(std::is_same_v<sp::nth<1, batch, seq, hidden>, seq>);
static_assert(std::is_same_v<sp::nth_dim<sp::dims<batch, seq, hidden>, 0>, batch>);
static_assert(std::is_same_v<sp::nth_dim<sp::dims<batch, seq, hidden>, 2>, hidden>);
static_assert(std::is_same_v<sp::nth_dim<sp::dims<batch, seq, hidden>, -1>, hidden>);
static_assert(std::is_same_v<sp::nth_dim<sp::dims<batch, seq, hidden>, -3>, batch>);
static_assert(std::is_same_v<sp::first_of<sp::dims<q_heads, head_dim>>, q_heads>);
static_assert(std::is_same_v<sp::first_of<hidden>, hidden>);
static_assert(std::is_same_v<sp::last_of<sp::dims<q_heads, head_dim>>, head_dim>);
// dropping a tail: void where the list does not end in it
static_assert(std::is_same_v<sp::drop_back<sp::dims<batch, seq, hidden>, hidden>, sp::dims<batch, seq>>);
static_assert(std::is_same_v<sp::drop_back<sp::dims<batch, seq, q_heads, head_dim>, sp::dims<q_heads, head_dim>>, sp::dims<batch, seq>>);
static_assert(std::is_same_v<sp::drop_back<sp::dims<hidden>, hidden>, sp::dims<>>);
static_assert(std::is_same_v<sp::drop_back<sp::dims<batch, seq>, sp::dims<>>, sp::dims<batch, seq>>);
static_assert(std::is_void_v<sp::drop_back<sp::dims<batch, seq, hidden>, seq>>);
static_assert(std::is_void_v<sp::drop_back<sp::dims<batch, seq, hidden>, ffn>>);
static_assert(std::is_void_v<sp::drop_back<sp::dims<hidden>, sp::dims<seq, hidden>>>);
static_assert(std::is_void_v<sp::drop_back<sp::dims<batch, head_dim, q_heads>, sp::dims<q_heads, head_dim>>>);
static_assert(std::is_same_v<sp::chop<sp::dims<batch, seq, hidden>, 1>, sp::dims<batch, seq>>);
static_assert(std::is_same_v<sp::chop<sp::dims<batch, seq, hidden>, 0>, sp::dims<batch, seq, hidden>>);
static_assert(std::is_same_v<sp::chop<sp::dims<batch, seq, hidden>, 3>, sp::dims<>>);
// carrying
static_assert( sp::carries<sp::dims<batch, seq, hidden>, seq>);
static_assert(!sp::carries<sp::dims<batch, seq, hidden>, ffn>);
static_assert(!sp::carries<sp::dims<sp::out<hidden>>, hidden>);
static_assert( sp::names_once<sp::dims<batch, seq, hidden>>);
static_assert(!sp::names_once<sp::dims<batch, seq, seq>>);
static_assert( sp::names_once<sp::dims<batch, seq, keys>>);
static_assert( sp::names_once<sp::dims<sp::out<hidden>, sp::in<hidden>>>);
static_assert( sp::names_once<sp::dims<>>);

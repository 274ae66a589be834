// Layouts: one placement per axis of the mesh; and the mesh.
#include <shardproof/core/layout.hpp>
namespace sp = shardproof;

struct batch : sp::dim<> {};
struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
using I = sp::invariant;
using R = sp::replicate;
using P = sp::partial;
using on_both = sp::layout<sp::on<sp::dp, sp::shard<batch>>, sp::on<sp::tp, sp::shard<ffn>>>;
using weights = sp::layout<sp::on<sp::dp, R>, sp::on<sp::tp, sp::shard<sp::out<ffn>>>>;

// a bare placement is the layout of tp
static_assert(sp::value_of<I>.on[0] == I::value);
static_assert(sp::value_of<sp::shard<ffn>>.on[0] == sp::shard<ffn>::value);
static_assert(sp::value_of<sp::shard<ffn>>.on[1] == I::value);
static_assert(sp::value_of<P>.on[2] == I::value);
static_assert(sp::value_of<I> == sp::invariant_everywhere);
static_assert(!(sp::value_of<R> == sp::invariant_everywhere));
// a layout names each axis
static_assert(sp::value_of<on_both>.on[sp::tp::id] == sp::shard<ffn>::value);
static_assert(sp::value_of<on_both>.on[sp::dp::id] == sp::shard<batch>::value);
static_assert(sp::value_of<on_both>.on[sp::pp::id] == I::value);
static_assert(sp::value_of<weights>.on[sp::dp::id] == R::value);
static_assert(!(sp::value_of<on_both> == sp::value_of<sp::shard<ffn>>));
static_assert( sp::is_layout<on_both>);
static_assert(!sp::is_layout<sp::shard<ffn>>);

// the placement on one axis
static_assert(std::is_same_v<sp::on_axis<on_both>, sp::shard<ffn>>);
static_assert(std::is_same_v<sp::on_axis<on_both, sp::tp>, sp::shard<ffn>>);
static_assert(std::is_same_v<sp::on_axis<on_both, sp::dp>, sp::shard<batch>>);
static_assert(std::is_same_v<sp::on_axis<on_both, sp::pp>, I>);
static_assert(std::is_same_v<sp::on_axis<P>, P>);
static_assert(std::is_same_v<sp::on_axis<P, sp::dp>, I>);
static_assert(std::is_same_v<sp::on_axis<sp::layout<>, sp::tp>, I>);
// another placement on one axis
static_assert(std::is_same_v<sp::put<on_both, I>, sp::layout<sp::on<sp::dp, sp::shard<batch>>, sp::on<sp::tp, I>>>);
static_assert(std::is_same_v<sp::put<on_both, R, sp::dp>, sp::layout<sp::on<sp::dp, R>, sp::on<sp::tp, sp::shard<ffn>>>>);
static_assert(std::is_same_v<sp::put<I, P>, P>);
// which axes a result names: the first operand that is a layout
static_assert(std::is_same_v<sp::axes_of<I, on_both>, on_both>);
static_assert(std::is_same_v<sp::axes_of<on_both, I>, on_both>);
static_assert(std::is_same_v<sp::axes_of<I, R>, R>);
static_assert(std::is_same_v<sp::axes_of<P>, P>);
static_assert(std::is_same_v<sp::axes_of<weights, on_both>, weights>);
// without roles
static_assert(std::is_same_v<sp::bare_of<weights>, sp::layout<sp::on<sp::dp, R>, sp::on<sp::tp, sp::shard<ffn>>>>);
static_assert(std::is_same_v<sp::bare_of<sp::shard<sp::in<ffn>>>, sp::shard<ffn>>);
static_assert(std::is_same_v<sp::bare_of<sp::packed<sp::out<sp::fused<ffn, ffn>>>>, sp::packed<sp::fused<ffn, ffn>>>);
static_assert(std::is_same_v<sp::bare_of<I>, I>);
static_assert(sp::bare(sp::value_of<weights>).on[0] == sp::shard<ffn>::value);
static_assert(sp::bare(sp::value_of<weights>).on[1] == R::value);

// the mesh: neighbours in world rank share a tp group
constexpr sp::mesh m{.tp = 4, .dp = 2};
static_assert(m.size() == 8);
static_assert(m.at(0) == sp::spot{{0, 0, 0}, {4, 2, 1}});
static_assert(m.at(3) == sp::spot{{3, 0, 0}, {4, 2, 1}});
static_assert(m.at(4) == sp::spot{{0, 1, 0}, {4, 2, 1}});
static_assert(m.at(5) == sp::spot{{1, 1, 0}, {4, 2, 1}});
static_assert(m.at(7) == sp::spot{{3, 1, 0}, {4, 2, 1}});
static_assert(!(m.at(4) == m.at(1)));
static_assert(sp::mesh{.tp = 2, .dp = 2, .pp = 2}.at(7) == sp::spot{{1, 1, 1}, {2, 2, 2}});
static_assert(sp::mesh{}.size() == 1);
// axes are ordered and named
static_assert(sp::tp::id == 0 && sp::dp::id == 1 && sp::pp::id == 2);
static_assert(sp::axis_names[sp::tp::id][0] == 't' && sp::axis_names[sp::dp::id][0] == 'd');
// a rank is of one axis, and no device index
static_assert( std::is_constructible_v<sp::rank<sp::tp>, int>);
static_assert(!std::is_convertible_v<int, sp::rank<sp::tp>>);
static_assert(!std::is_convertible_v<sp::rank<sp::tp>, int>);
static_assert(!std::is_constructible_v<sp::rank<sp::tp>, sp::rank<sp::dp>>);
static_assert(sp::rank<sp::tp>{3} == sp::rank<sp::tp>{3});

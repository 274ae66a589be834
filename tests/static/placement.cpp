// Placements: values, types, the duality of values and gradients.
#include <shardproof/core/placement.hpp>
namespace sp = shardproof;

struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
struct latent : sp::dim<8> {};
using gate_up = sp::fused<ffn, ffn>;
using I = sp::invariant;
using R = sp::replicate;
using V = sp::varying;
using P = sp::partial;
using S = sp::shard<ffn>;
using K = sp::packed<gate_up>;
using M = sp::product<sp::fused<latent, hidden>, I, R>;

// every type has its value
static_assert(I::value.k == sp::kind::invariant);
static_assert(R::value.k == sp::kind::replicate);
static_assert(V::value.k == sp::kind::varying);
static_assert(P::value.k == sp::kind::partial);
static_assert(S::value.k == sp::kind::shard);
static_assert(K::value.k == sp::kind::packed);
static_assert(M::value.k == sp::kind::product);
static_assert(S::value.d == &sp::info<ffn>);
static_assert(K::value.d == &sp::info<gate_up>);
static_assert(I::value.d == nullptr);
static_assert(M::value.part[0] == sp::kind::invariant);
static_assert(M::value.part[1] == sp::kind::replicate);
// a placement is Invariant unless told otherwise
static_assert(sp::placement{} == I::value);
// values compare by kind, dimension and parts
static_assert(S::value == sp::shard<ffn>::value);
static_assert(!(S::value == sp::shard<hidden>::value));
static_assert(!(S::value == sp::packed<ffn>::value));
static_assert(!(I::value == R::value));
static_assert(!(sp::shard<ffn>::value == sp::shard<sp::out<ffn>>::value));
static_assert(!(sp::product<gate_up, I, R>::value == sp::product<gate_up, R, I>::value));

// dual: Replicate and Partial change places, the others are their own
static_assert(std::is_same_v<sp::dual_of<R>, P>);
static_assert(std::is_same_v<sp::dual_of<P>, R>);
static_assert(std::is_same_v<sp::dual_of<I>, I>);
static_assert(std::is_same_v<sp::dual_of<V>, V>);
static_assert(std::is_same_v<sp::dual_of<S>, S>);
static_assert(std::is_same_v<sp::dual_of<K>, K>);
static_assert(!std::is_same_v<sp::dual_of<I>, P>);
static_assert(!std::is_same_v<sp::dual_of<R>, R>);
static_assert(sp::dual(R::value) == P::value);
static_assert(sp::dual(P::value) == R::value);
static_assert(sp::dual(I::value) == I::value);
static_assert(sp::dual(V::value) == V::value);
static_assert(sp::dual(S::value) == S::value);
static_assert(sp::dual(K::value) == K::value);
static_assert(sp::dual(M::value).part[1] == sp::kind::partial);
static_assert(sp::dual(M::value).part[0] == sp::kind::invariant);
static_assert(std::is_same_v<sp::dual_of<M>, sp::product<sp::fused<latent, hidden>, I, P>>);
static_assert(sp::dual_of<M>::value == sp::dual(M::value));
// dual of dual
static_assert(sp::dual(sp::dual(R::value)) == R::value);
static_assert(sp::dual(sp::dual(P::value)) == P::value);
static_assert(sp::dual(sp::dual(M::value)) == M::value);

// classes
static_assert( S::value.splits());
static_assert( K::value.splits());
static_assert(!I::value.splits());
static_assert(!M::value.splits());
static_assert(!V::value.splits());
static_assert( V::value.rank_dependent());
static_assert( S::value.rank_dependent());
static_assert(!R::value.rank_dependent());
static_assert(!P::value.rank_dependent());
static_assert( I::value.whole());
static_assert( R::value.whole());
static_assert(!P::value.whole());
static_assert(!S::value.whole());
static_assert(!M::value.whole());

// a role ends where the parameter is used
static_assert(sp::bare(sp::shard<sp::out<ffn>>::value) == S::value);
static_assert(sp::bare(sp::packed<sp::in<gate_up>>::value) == K::value);
static_assert(sp::bare(S::value) == S::value);
static_assert(sp::bare(P::value) == P::value);
static_assert(sp::bare(sp::shard<sp::rows<ffn>>::value) == sp::bare(sp::shard<sp::out<ffn>>::value));

// known at run time
static_assert( sp::is_any<sp::any>);
static_assert(!sp::is_any<I>);
static_assert(!sp::is_any<S>);
// two words: a placement travels in registers
static_assert(sizeof(sp::placement) == 16);

// The signature of every style is the composition of its parts, and its backward is the adjoint of that composition: placements at both
// ends, the laws of the composite, and the collectives that a dry run of one layer is charged, forward and backward.
#include <shardproof/shardproof.hpp>
#include <shardproof/core/primitives.hpp>
#include <shardproof/layer/experts.hpp>
#include <shardproof/layer/with.hpp>

struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
struct vocab : sp::dim<37> {};
struct kv_heads : sp::dim<4, sp::groups> {};
struct q_heads : sp::dim<8, sp::grouped_by<kv_heads>> {};
struct head_dim : sp::dim<4> {};
struct n_experts : sp::dim<8> {};
using sp::batch, sp::seq;
using gate_up = sp::fused<ffn, ffn>;
using I = sp::invariant;
using R = sp::replicate;
using P = sp::partial;
template <class D> using S = sp::shard<D>;
template <class D> using PS = sp::packed<D>;
namespace pr = sp::primitive;

/// What a layer computes between its conversions: no communication either way.
template <class A, class B> struct local : pr::declare<local<A, B>, A, B, pr::adjoint_of<local<A, B>>> {};
template <class... Steps> struct chain_of;
template <class A> struct chain_of<A> { using type = A; };
template <class A, class B, class... C> struct chain_of<A, B, C...> : chain_of<pr::then<A, B>, C...> {};
/// The steps one after the other. @error SP303 they do not compose.
template <class... Steps> using chain = typename chain_of<Steps...>::type;
using f = pr::convert<I, R>;
using g = pr::all_reduce<P, I>;
struct nothing_else {};                                ///< no step beside the way of x
template <class... Steps> struct each_of {};           ///< steps of several values

constexpr sp::collective collective_of(pr::communication c) {
  using enum pr::communication;
  switch (c) {
    case all_gather: case gather: return sp::collective::all_gather;
    case reduce_scatter: case scatter: return sp::collective::reduce_scatter;
    case all_to_all: return sp::collective::all_to_all;
    case broadcast: return sp::collective::broadcast;
    default: return sp::collective::all_reduce;
  }
}
/// How many collectives of a kind the steps make.
template <class Op> struct made { static constexpr int of(sp::collective c) {
  if constexpr (requires { requires Op::id >= 0; }) {
    constexpr auto travels = pr::communication_of(pr::forward(Op::id));
    return travels != pr::communication::none && collective_of(travels) == c;
  } else return 0;
} };
template <class A, class B> struct made<pr::then<A, B>> { static constexpr int of(sp::collective c) { return made<A>::of(c) + made<B>::of(c); } };
template <class Op> struct made<pr::adjoint_of<Op>> { static constexpr int of(sp::collective) { return 0; } };
template <class... S_> struct made<each_of<S_...>> { static constexpr int of(sp::collective c) { return (0 + ... + made<S_>::of(c)); } };
template <> struct made<nothing_else> { static constexpr int of(sp::collective) { return 0; } };
template <class Op> struct adjoint { using type = typename Op::adjoint; };
template <> struct adjoint<nothing_else> { using type = nothing_else; };
/// How many rows travel is told first; integers have no gradient.
struct counts_of_rows { using adjoint = nothing_else; };
template <> struct made<counts_of_rows> { static constexpr int of(sp::collective c) { return c == sp::collective::all_to_all; } };
template <class... S_> struct adjoint<each_of<S_...>> { using type = each_of<typename S_::adjoint...>; };

template <class L, class... D> using x = sp::tensor<sp::ghost, sp::dims<batch, seq, D...>, L>;
/// On four ranks. Way: the steps of x; Beside: those of the layer's own parameters, or of numbers it makes.
template <class Layer, class X, class Way, class Beside = nothing_else> constexpr bool composed() {
  using Y = decltype(std::declval<const Layer&>()(std::declval<const X&>()));
  static_assert(std::is_same_v<sp::place_in<X>, typename Way::src>);
  static_assert(std::is_same_v<sp::place_in<Y>, typename Way::dst>);
  static_assert(pr::obeys_laws<Way>);
  static_assert(std::is_same_v<typename Way::adjoint::src, sp::dual_of<sp::place_in<Y>>>);
  static_assert(std::is_same_v<typename Way::adjoint::dst, sp::dual_of<sp::place_in<X>>>);
  sp::imagined w{.where = {{}, {4, 1, 1}}};
  X in{};
  in.at = &w;
  in.sizes.n[0] = 2, in.sizes.n[1] = 8;
  in.wants_gradient = true;
  const Layer layer{};
  (void)layer(in);
  using back = typename Way::adjoint;
  const auto same = [](const sp::pass& p, auto way, auto beside) {
    const int charged[] = {p.all_reduces, p.all_gathers, p.reduce_scatters, p.all_to_alls, p.broadcasts};
    const sp::collective kinds[] = {sp::collective::all_reduce, sp::collective::all_gather, sp::collective::reduce_scatter, sp::collective::all_to_all, sp::collective::broadcast};
    for (int k = 0; k < 5; ++k) if (charged[k] != way.of(kinds[k]) + beside.of(kinds[k])) return false;
    return true;
  };
  return same(w.book.forward, made<Way>{}, made<Beside>{}) && same(w.book.backward, made<back>{}, made<typename adjoint<Beside>::type>{});
}

using whole = sp::settings<I>;
using cut = sp::settings<S<seq>>;
template <class Style, class Set> struct under { static constexpr sp::welded<Style, Set> plan{}; };
template <class Style, class Kind, class Set = whole> using layer = sp::layer<sp::at<under<Style, Set>::plan>, Style, Kind>;

using up = sp::linear<hidden, ffn>;
using biased = sp::linear<hidden, ffn, sp::with_bias>;
using down = sp::linear<ffn, hidden>;
using biased_down = sp::linear<ffn, hidden, sp::with_bias>;
using fused_up = sp::linear<hidden, gate_up>;
using fused_down = sp::linear<gate_up, hidden>;
using hidden_norm = sp::rms_norm<hidden>;
using head_norm = sp::rms_norm<head_dim>;
using list_norm = sp::rms_norm<sp::dims<q_heads, head_dim>>;
using table = sp::embedding<vocab, hidden>;
using ids = sp::tensor<sp::ghost, sp::dims<batch, seq>, I>;

// ---- linear layers -------------------------------------------------------------------------------------------------------
static_assert(composed<layer<sp::colwise, up>, x<I, hidden>, chain<f, local<R, S<ffn>>>>());
static_assert(composed<layer<sp::colwise, biased>, x<I, hidden>, chain<f, local<R, S<ffn>>>>());
static_assert(composed<layer<sp::colwise, up>, x<R, hidden>, local<R, S<ffn>>>());
static_assert(composed<layer<sp::colwise, up, cut>, x<S<seq>, hidden>, chain<pr::all_gather<S<seq>, R>, local<R, S<ffn>>>>());
static_assert(composed<layer<sp::colwise, up, cut>, x<I, hidden>, chain<f, local<R, S<ffn>>>>());
static_assert(composed<layer<sp::packed_colwise, fused_up>, x<I, hidden>, chain<f, local<R, PS<gate_up>>>>());
static_assert(composed<layer<sp::colwise_gather_output, up>, x<I, hidden>, chain<f, local<R, S<ffn>>, pr::all_gather<S<ffn>, I>>>());
static_assert(composed<layer<sp::rowwise, down>, x<S<ffn>, ffn>, chain<local<S<ffn>, P>, g>>());
static_assert(composed<layer<sp::rowwise, biased_down>, x<S<ffn>, ffn>, chain<local<S<ffn>, P>, g>>());
static_assert(composed<layer<sp::rowwise, down, cut>, x<S<ffn>, ffn>, chain<local<S<ffn>, P>, pr::reduce_scatter<P, S<seq>>>>());
static_assert(composed<layer<sp::rowwise, biased_down, cut>, x<S<ffn>, ffn>, chain<local<S<ffn>, P>, pr::reduce_scatter<P, S<seq>>>, f>());
static_assert(composed<layer<sp::packed_rowwise, fused_down>, x<PS<gate_up>, gate_up>, chain<local<PS<gate_up>, P>, g>>());
static_assert(composed<layer<sp::rowwise_split_input, down>, x<I, ffn>, chain<pr::convert<I, S<ffn>>, local<S<ffn>, P>, g>>());
static_assert(composed<layer<sp::rowwise_partial, down>, x<S<ffn>, ffn>, local<S<ffn>, P>>());
static_assert(composed<layer<sp::rowwise_partial, biased_down>, x<S<ffn>, ffn>, local<S<ffn>, P>>());
static_assert(composed<layer<sp::replicated, up>, x<I, hidden>, local<I, I>>());
static_assert(composed<layer<sp::replicated, up, cut>, x<S<seq>, hidden>, local<S<seq>, S<seq>>, f>());
static_assert(composed<layer<sp::replicated, biased, cut>, x<S<seq>, hidden>, local<S<seq>, S<seq>>, each_of<f, f>>());                // weight and bias
static_assert(composed<layer<sp::replicate_output, up>, x<I, hidden>, chain<local<I, I>, f>>());
static_assert(composed<layer<sp::replicate_output, up, cut>, x<S<seq>, hidden>, chain<local<S<seq>, S<seq>>, pr::all_gather<S<seq>, R>>, f>());

// ---- norms ---------------------------------------------------------------------------------------------------------------
static_assert(composed<layer<sp::replicated, hidden_norm>, x<I, hidden>, local<I, I>>());
static_assert(composed<layer<sp::replicated, hidden_norm, cut>, x<S<seq>, hidden>, local<S<seq>, S<seq>>, f>());
static_assert(composed<layer<sp::sequence_parallel, hidden_norm, cut>, x<S<seq>, hidden>, local<S<seq>, S<seq>>, f>());
static_assert(composed<layer<sp::replicated_with_grad_allreduce, head_norm>, x<S<q_heads>, q_heads, head_dim>, local<S<q_heads>, S<q_heads>>, f>());
static_assert(composed<layer<sp::sharded_norm, list_norm>, x<S<q_heads>, q_heads, head_dim>, local<S<q_heads>, S<q_heads>>, chain<g, f>>());

// ---- tables --------------------------------------------------------------------------------------------------------------
static_assert(composed<layer<sp::embedding_rowwise, table>, ids, chain<local<I, P>, g>>());
static_assert(composed<layer<sp::embedding_rowwise, table, cut>, ids, chain<local<I, P>, pr::reduce_scatter<P, S<seq>>>>());
static_assert(composed<layer<sp::embedding_colwise, table>, ids, chain<local<I, S<hidden>>, pr::all_gather<S<hidden>, I>>>());
static_assert(composed<layer<sp::embedding_colwise, table, cut>, ids, chain<local<I, S<hidden>>, pr::all_gather<S<hidden>, I>, pr::convert<I, S<seq>>>>());
static_assert(composed<layer<sp::replicated, table>, ids, local<I, I>>());
static_assert(composed<layer<sp::replicated, table, cut>, ids, chain<local<I, I>, pr::convert<I, S<seq>>>>());

// ---- regions -------------------------------------------------------------------------------------------------------------
template <class At> struct pending {                   // a module that leaves its sum to its region
  SP_LAYER(first, up);
  SP_LAYER(second, down);
  constexpr auto forward(const auto& x) const { return second(sp::silu(first(x))); }
};
template <class At> struct itself {
  constexpr auto forward(const auto& x) const { return x; }
};
template <class Region, class Set> struct region_plan {
  static constexpr sp::plan plain{Region{"block"}, sp::colwise{"block.first"}, sp::rowwise_partial{"block.second"}};
  static constexpr auto plan = plain.template with_boundary<typename Set::boundary>();
};
template <class Region, template <class> class M, class Set = whole> using region = sp::layer<sp::at<region_plan<Region, Set>::plan>, struct block, sp::region<M>>;
using between = local<R, P>;
static_assert(composed<region<sp::all_reduce_region, pending>, x<I, hidden>, chain<f, between, g>>());
static_assert(composed<region<sp::all_reduce_region, pending, cut>, x<S<seq>, hidden>, chain<pr::all_gather<S<seq>, R>, between, pr::reduce_scatter<P, S<seq>>>>());
static_assert(composed<region<sp::moe_tp_experts, pending>, x<I, hidden>, chain<f, between, g>>());
static_assert(composed<region<sp::moe_tp_experts, pending>, x<R, hidden>, chain<between, g>>());
static_assert(composed<region<sp::moe_tp_experts_partial, pending>, x<I, hidden>, chain<f, between>>());
static_assert(composed<region<sp::moe_identity_expert, itself>, x<R, hidden>, pr::convert<R, P>>());
static_assert(composed<region<sp::replicated, itself>, x<I, hidden>, local<I, I>>());

// Tokens to dealt experts: masked, f on tokens and weights and one sum; or travelling, there and back, forward and backward.
template <class At> struct one_matrix {
  SP_PARAM(w, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<hidden>);
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch(x, chosen, w);
    return to.combine(to.grouped(to.rows, w));
  }
};
template <class At> struct mixture {
  SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
  SP_LAYER(experts, sp::region<one_matrix>);
  constexpr auto forward(const auto& x) const { return experts(x, gate(x)); }
};
inline constexpr sp::plan masked{sp::grouped_gemm{"mlp.experts.w"}, sp::moe_tp_experts{"mlp.experts"}};
inline constexpr sp::plan by_router{sp::grouped_gemm{"mlp.experts.w"}, sp::moe_tp_experts{"mlp.experts"}, sp::ep_router{"mlp.gate"}};
inline constexpr sp::plan travelling{sp::grouped_gemm{"mlp.experts.w"}, sp::ep_dispatch_experts{"mlp.experts"}};
template <const auto& Plan> using mixed = sp::layer<sp::at<Plan>, struct mlp, sp::block<mixture>>;
static_assert(composed<mixed<masked>, x<I, hidden>, chain<f, between, g>, f>());           // beside: the weights' f
static_assert(composed<mixed<by_router>, x<I, hidden>, chain<f, between, g>, f>());
using there = pr::all_to_all<S<seq>, S<n_experts>>;
using back = pr::all_to_all<S<n_experts>, S<seq>>;
static_assert(composed<mixed<travelling>, x<I, hidden>, chain<pr::convert<I, S<seq>>, there, local<S<n_experts>, S<n_experts>>, back, pr::all_gather<S<seq>, I>>,
                       each_of<pr::convert<I, S<seq>>, counts_of_rows>>());                // beside: the weights' own part

// ---- a style of one's own, outside the library ---------------------------------------------------------------------------
struct rowwise_replicate : sp::rowwise {               // S(in) -> R: the sum enters rank-dependent compute at once
  static constexpr auto name = "rowwise_replicate";
  static constexpr auto after(const auto& y, const auto& bias) { return sp::to_replicate(sp::all_reduce(y) + bias); }
};
static_assert(composed<layer<rowwise_replicate, down>, x<S<ffn>, ffn>, chain<local<S<ffn>, P>, g, f>>());
// The law can fail: the same style has not the signature of one that makes a sum less on its way back.
static_assert(!composed<layer<rowwise_replicate, down>, x<S<ffn>, ffn>, chain<local<S<ffn>, P>, g, local<I, R>>>());

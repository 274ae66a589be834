// Styles: what each one is fed, where it puts parameters and biases, what comes out, and which kinds it suits; the result is the one
// that the rules deduce, so it is compared with the signature in the documentation.
#include <shardproof/shardproof.hpp>
#include <shardproof/layer/experts.hpp>
#include <shardproof/layer/with.hpp>

struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
struct vocab : sp::dim<37> {};
struct kv_heads : sp::dim<4, sp::groups> {};
struct q_heads : sp::dim<8, sp::grouped_by<kv_heads>> {};
struct head_dim : sp::dim<4> {};
using sp::batch, sp::seq;
using gate_up = sp::fused<ffn, ffn>;
using I = sp::invariant;
using R = sp::replicate;
using V = sp::varying;
using P = sp::partial;
template <class D> using S = sp::shard<D>;
template <class D> using PS = sp::packed<D>;

template <class L, class... D> using x = sp::tensor<sp::ghost, sp::dims<batch, seq, D...>, L>;
using ids = sp::tensor<sp::ghost, sp::dims<batch, seq>>;
/// What a layer makes of an input: its placement, its dimensions.
template <class Layer, class X> using result = decltype(std::declval<const Layer&>()(std::declval<const X&>()));
template <class Layer, class X> using placed = sp::place_in<result<Layer, X>>;
template <class Layer> using weight = typename decltype(std::declval<Layer>().weight)::placement_type;
template <class Layer> using bias = typename decltype(std::declval<Layer>().bias)::placement_type;
/// The code that refuses an input; ok if nothing does.
template <class T> inline constexpr sp::code code_in = sp::code::ok;
template <sp::code C, class... F> inline constexpr sp::code code_in<sp::refused<sp::verdict<C, F...>>> = C;
template <class Layer, class X> inline constexpr sp::code refusal = code_in<decltype(std::declval<const Layer&>().judged(std::declval<const X&>()))>;

using up = sp::linear<hidden, ffn>;
using biased = sp::linear<hidden, ffn, sp::with_bias>;
using maybe_biased = sp::linear<hidden, ffn, sp::maybe_bias>;
using down = sp::linear<ffn, hidden>;
using biased_down = sp::linear<ffn, hidden, sp::with_bias>;
using fused_up = sp::linear<hidden, gate_up>;
using biased_fused = sp::linear<hidden, gate_up, sp::with_bias>;
using queries = sp::linear<hidden, sp::dims<q_heads, head_dim>>;
using output = sp::linear<sp::dims<q_heads, head_dim>, hidden>;
using square = sp::linear<hidden, hidden>;
using hidden_norm = sp::rms_norm<hidden>;
using head_norm = sp::rms_norm<head_dim>;
using table = sp::embedding<vocab, hidden>;
using head = sp::tied_linear<hidden, vocab>;

// ---- colwise: I -> S(out), f before; R -> S(out) without one -----------------------------------------------------------------
using colwise = sp::with<sp::colwise, up>;
static_assert(std::is_same_v<placed<colwise, x<I, hidden>>, S<ffn>>);
static_assert(std::is_same_v<placed<colwise, x<R, hidden>>, S<ffn>>);
static_assert(std::is_same_v<sp::dims_in<result<colwise, x<I, hidden>>>, sp::dims<batch, seq, ffn>>);
static_assert(std::is_same_v<weight<colwise>, S<sp::out<ffn>>>);
static_assert(std::is_same_v<bias<sp::with<sp::colwise, biased>>, S<sp::out<ffn>>>);
static_assert(std::is_same_v<bias<sp::with<sp::colwise, maybe_biased>>, S<sp::out<ffn>>>);
static_assert(std::is_same_v<placed<sp::with<sp::colwise, biased>, x<I, hidden>>, S<ffn>>);
static_assert(std::is_same_v<placed<sp::with<sp::colwise, maybe_biased>, x<I, hidden>>, S<ffn>>);
static_assert(std::is_same_v<placed<sp::with<sp::colwise, queries>, x<I, hidden>>, S<q_heads>>);
static_assert(std::is_same_v<sp::dims_in<result<sp::with<sp::colwise, queries>, x<I, hidden>>>, sp::dims<batch, seq, q_heads, head_dim>>);
static_assert(std::is_same_v<placed<sp::with<sp::colwise, square>, x<I, hidden>>, S<hidden>>);
static_assert(std::is_same_v<weight<sp::with<sp::colwise, square>>, S<sp::out<hidden>>>);
static_assert(std::is_same_v<placed<sp::with<sp::colwise, fused_up>, x<I, hidden>>, S<gate_up>>);
static_assert( sp::accepts<colwise, x<I, hidden>>);
static_assert( sp::accepts<colwise, x<R, hidden>>);
static_assert(!sp::accepts<colwise, x<S<hidden>, hidden>>);
static_assert(!sp::accepts<colwise, x<P, hidden>>);
static_assert(!sp::accepts<colwise, x<V, hidden>>);
static_assert(!sp::accepts<colwise, x<S<seq>, hidden>>);
static_assert(!sp::accepts<colwise, x<I, ffn>>);
static_assert(refusal<colwise, x<I, hidden>> == sp::code::ok);
static_assert(refusal<colwise, x<S<hidden>, hidden>> == sp::code::shard_into_colwise);
static_assert(refusal<sp::with<sp::colwise, output>, x<S<q_heads>, q_heads, head_dim>> == sp::code::shard_into_colwise);
static_assert(refusal<colwise, x<P, hidden>> == sp::code::partial_into_layer);
static_assert(refusal<colwise, x<V, hidden>> == sp::code::input_placement);
static_assert(refusal<colwise, x<S<seq>, hidden>> == sp::code::input_placement);
static_assert(refusal<colwise, x<I, ffn>> == sp::code::dims_differ);

// ---- colwise_gather_output: I -> I ------------------------------------------------------------------------------------------
using gathered = sp::with<sp::colwise_gather_output, up>;
static_assert(std::is_same_v<placed<gathered, x<I, hidden>>, I>);
static_assert(std::is_same_v<placed<gathered, x<R, hidden>>, I>);
static_assert(std::is_same_v<weight<gathered>, S<sp::out<ffn>>>);
static_assert(std::is_same_v<bias<sp::with<sp::colwise_gather_output, biased>>, S<sp::out<ffn>>>);
static_assert(std::is_same_v<placed<sp::with<sp::colwise_gather_output, biased>, x<I, hidden>>, I>);
static_assert(refusal<gathered, x<S<hidden>, hidden>> == sp::code::shard_into_colwise);
static_assert(refusal<gathered, x<P, hidden>> == sp::code::partial_into_layer);

// ---- packed_colwise: I -> PS(out, parts...) -------------------------------------------------------------------------------
using packed = sp::with<sp::packed_colwise, fused_up>;
static_assert(std::is_same_v<placed<packed, x<I, hidden>>, PS<gate_up>>);
static_assert(std::is_same_v<placed<packed, x<R, hidden>>, PS<gate_up>>);
static_assert(std::is_same_v<weight<packed>, PS<sp::out<gate_up>>>);
static_assert(std::is_same_v<bias<sp::with<sp::packed_colwise, biased_fused>>, PS<sp::out<gate_up>>>);      // weight and bias alike
static_assert(std::is_same_v<placed<sp::with<sp::packed_colwise, biased_fused>, x<I, hidden>>, PS<gate_up>>);
static_assert(refusal<packed, x<S<hidden>, hidden>> == sp::code::shard_into_colwise);
static_assert(refusal<packed, x<P, hidden>> == sp::code::partial_into_layer);
// only split takes it apart, and then each part is sharded by itself
using halves = decltype(sp::split(std::declval<result<packed, x<I, hidden>>>()));
static_assert(std::is_same_v<sp::place_in<decltype(halves::first)>, S<ffn>>);
static_assert(std::is_same_v<sp::place_in<decltype(halves::second)>, S<ffn>>);
static_assert(std::is_same_v<sp::dims_in<decltype(halves::first)>, sp::dims<batch, seq, ffn>>);

// ---- rowwise: S(in) -> I, g after, then a whole bias ---------------------------------------------------------------------
using rowwise = sp::with<sp::rowwise, down>;
static_assert(std::is_same_v<placed<rowwise, x<S<ffn>, ffn>>, I>);
static_assert(std::is_same_v<weight<rowwise>, S<sp::in<ffn>>>);
static_assert(std::is_same_v<bias<sp::with<sp::rowwise, biased_down>>, I>);
static_assert(std::is_same_v<placed<sp::with<sp::rowwise, biased_down>, x<S<ffn>, ffn>>, I>);
static_assert(std::is_same_v<placed<sp::with<sp::rowwise, output>, x<S<q_heads>, q_heads, head_dim>>, I>);
static_assert(std::is_same_v<weight<sp::with<sp::rowwise, output>>, S<sp::in<q_heads>>>);
static_assert(std::is_same_v<placed<sp::with<sp::rowwise, square>, x<S<hidden>, hidden>>, I>);
static_assert(std::is_same_v<weight<sp::with<sp::rowwise, square>>, S<sp::in<hidden>>>);
static_assert( sp::accepts<rowwise, x<S<ffn>, ffn>>);
static_assert(!sp::accepts<rowwise, x<I, ffn>>);
static_assert(!sp::accepts<rowwise, x<R, ffn>>);
static_assert(!sp::accepts<rowwise, x<P, ffn>>);
static_assert(refusal<rowwise, x<I, ffn>> == sp::code::whole_into_rowwise);
static_assert(refusal<rowwise, x<R, ffn>> == sp::code::whole_into_rowwise);
static_assert(refusal<rowwise, x<P, ffn>> == sp::code::partial_into_layer);
static_assert(refusal<rowwise, x<V, ffn>> == sp::code::input_placement);
static_assert(refusal<rowwise, x<S<batch>, ffn>> == sp::code::input_placement);
static_assert(refusal<sp::with<sp::rowwise, sp::linear<gate_up, hidden>>, x<PS<gate_up>, gate_up>> == sp::code::fused_into_rowwise);

// ---- rowwise_split_input: I -> I ------------------------------------------------------------------------------------------
using split_first = sp::with<sp::rowwise_split_input, down>;
static_assert(std::is_same_v<placed<split_first, x<I, ffn>>, I>);
static_assert(std::is_same_v<weight<split_first>, S<sp::in<ffn>>>);
static_assert(std::is_same_v<bias<sp::with<sp::rowwise_split_input, biased_down>>, I>);
static_assert(std::is_same_v<placed<sp::with<sp::rowwise_split_input, output>, x<I, q_heads, head_dim>>, I>);
static_assert(refusal<split_first, x<R, ffn>> == sp::code::input_placement);
static_assert(refusal<split_first, x<S<ffn>, ffn>> == sp::code::shard_into_colwise);
static_assert(refusal<split_first, x<P, ffn>> == sp::code::partial_into_layer);

// ---- rowwise_partial: S(in) -> P --------------------------------------------------------------------------------------------
using pending = sp::with<sp::rowwise_partial, down>;
static_assert(std::is_same_v<placed<pending, x<S<ffn>, ffn>>, P>);
static_assert(std::is_same_v<weight<pending>, S<sp::in<ffn>>>);
static_assert(std::is_same_v<sp::place_in<decltype(sp::reduced(std::declval<result<pending, x<S<ffn>, ffn>>>()))>, I>);
static_assert(refusal<pending, x<I, ffn>> == sp::code::whole_into_rowwise);
// two of them share one reduction
static_assert( sp::can_add<x<P, hidden>, x<P, hidden>>);
static_assert(!sp::can_add<x<P, hidden>, x<I, hidden>>);
static_assert(std::is_same_v<sp::place_in<decltype(std::declval<x<P, hidden>>() + std::declval<x<P, hidden>>())>, P>);

// ---- replicated: I -> I -----------------------------------------------------------------------------------------------------
using whole = sp::with<sp::replicated, up>;
static_assert(std::is_same_v<placed<whole, x<I, hidden>>, I>);
static_assert(std::is_same_v<weight<whole>, I>);
static_assert(std::is_same_v<bias<sp::with<sp::replicated, biased>>, I>);
static_assert(std::is_same_v<placed<sp::with<sp::replicated, hidden_norm>, x<I, hidden>>, I>);
static_assert(std::is_same_v<weight<sp::with<sp::replicated, hidden_norm>>, I>);
static_assert(std::is_same_v<placed<sp::with<sp::replicated, table>, ids>, I>);
static_assert(refusal<whole, x<S<hidden>, hidden>> == sp::code::shard_into_replicated);
static_assert(refusal<sp::with<sp::replicated, output>, x<S<q_heads>, q_heads, head_dim>> == sp::code::shard_into_replicated);
static_assert(refusal<whole, x<S<batch>, hidden>> == sp::code::drifting_parameter);
static_assert(refusal<whole, x<R, hidden>> == sp::code::drifting_parameter);
static_assert(refusal<whole, x<V, hidden>> == sp::code::drifting_parameter);
static_assert(refusal<whole, x<P, hidden>> == sp::code::partial_with_whole);
static_assert(refusal<sp::with<sp::replicated, head_norm>, x<S<q_heads>, q_heads, head_dim>> == sp::code::drifting_parameter);
static_assert(refusal<sp::with<sp::replicated, hidden_norm>, x<R, hidden>> == sp::code::drifting_parameter);
static_assert(refusal<sp::with<sp::replicated, hidden_norm>, x<S<hidden>, hidden>> == sp::code::reduced_over_shard);
static_assert(refusal<sp::with<sp::replicated, hidden_norm>, x<P, hidden>> == sp::code::nonlinear_partial);
static_assert(refusal<sp::with<sp::replicated, hidden_norm>, x<I, ffn>> == sp::code::dims_differ);

// ---- replicated_with_grad_allreduce: S -> S, its parameters through f -----------------------------------------------------
using synced = sp::with<sp::replicated_with_grad_allreduce, head_norm>;
static_assert(std::is_same_v<placed<synced, x<S<q_heads>, q_heads, head_dim>>, S<q_heads>>);
static_assert(std::is_same_v<placed<synced, x<R, q_heads, head_dim>>, R>);
static_assert(std::is_same_v<weight<synced>, I>);
static_assert(std::is_same_v<bias<sp::with<sp::replicated_with_grad_allreduce, sp::linear<head_dim, head_dim, sp::with_bias>>>, I>);
static_assert(std::is_same_v<placed<sp::with<sp::replicated_with_grad_allreduce, sp::linear<head_dim, head_dim, sp::with_bias>>, x<S<q_heads>, q_heads, head_dim>>, S<q_heads>>);
static_assert(refusal<synced, x<I, q_heads, head_dim>> == sp::code::needs_f);
static_assert(refusal<synced, x<P, q_heads, head_dim>> == sp::code::nonlinear_partial);
static_assert(refusal<synced, x<S<head_dim>, q_heads, head_dim>> == sp::code::reduced_over_shard);
static_assert(refusal<sp::with<sp::replicated_with_grad_allreduce, up>, x<S<hidden>, hidden>> == sp::code::contraction);

// ---- embedding_rowwise: ids I -> I --------------------------------------------------------------------------------------------
using lookup = sp::with<sp::embedding_rowwise, table>;
static_assert(std::is_same_v<placed<lookup, ids>, I>);
static_assert(std::is_same_v<sp::dims_in<result<lookup, ids>>, sp::dims<batch, seq, hidden>>);
static_assert(std::is_same_v<weight<lookup>, S<sp::rows<vocab>>>);
static_assert( sp::accepts<lookup, ids>);
static_assert(!sp::accepts<lookup, sp::tensor<sp::ghost, sp::dims<batch, seq>, S<batch>>>);
static_assert(!sp::accepts<lookup, sp::tensor<sp::ghost, sp::dims<batch, seq>, P>>);

// ---- a tied head: the table's rows are its outputs -----------------------------------------------------------------------------
template <class Style, class Table> using tied_result =
    decltype(std::declval<const sp::with<Style, head>&>().judged(std::declval<const x<I, hidden>&>(), std::declval<const Table&>().weight));
static_assert(std::is_same_v<sp::place_in<tied_result<sp::colwise, lookup>>, S<vocab>>);
static_assert(std::is_same_v<sp::place_in<tied_result<sp::colwise_gather_output, lookup>>, I>);
static_assert(std::is_same_v<sp::place_in<tied_result<sp::replicated, sp::with<sp::replicated, table>>>, I>);
static_assert(code_in<tied_result<sp::replicated, lookup>> == sp::code::tied_apart);
static_assert(code_in<tied_result<sp::colwise, sp::with<sp::replicated, table>>> == sp::code::tied_apart);

// ---- which styles suit which kinds: a style needs the role it shards -----------------------------------------------------------
// A bias behind a table would be added by every rank, or by one to what others hold: a table with one takes no style of tables.
struct biased_table : table { using bias = sp::with_bias; };
static_assert( sp::suits<sp::embedding_rowwise, table>() && sp::suits<sp::embedding_colwise, table>());
static_assert(!sp::suits<sp::embedding_rowwise, biased_table>() && !sp::suits<sp::embedding_colwise, biased_table>());
static_assert( sp::suits<sp::colwise, up>());
static_assert( sp::suits<sp::rowwise, up>());
static_assert( sp::suits<sp::colwise_gather_output, up>());
static_assert( sp::suits<sp::rowwise_split_input, up>());
static_assert( sp::suits<sp::rowwise_partial, up>());
static_assert( sp::suits<sp::replicated, up>());
static_assert( sp::suits<sp::replicated_with_grad_allreduce, up>());
static_assert(!sp::suits<sp::embedding_rowwise, up>());
static_assert(!sp::suits<sp::packed_colwise, up>());
static_assert( sp::suits<sp::packed_colwise, fused_up>());
static_assert( sp::suits<sp::colwise, fused_up>());
static_assert( sp::suits<sp::colwise, queries>());
static_assert( sp::suits<sp::rowwise, output>());
static_assert( sp::suits<sp::replicated, hidden_norm>());
static_assert( sp::suits<sp::replicated_with_grad_allreduce, hidden_norm>());
static_assert(!sp::suits<sp::colwise, hidden_norm>());
static_assert(!sp::suits<sp::rowwise, hidden_norm>());
static_assert(!sp::suits<sp::packed_colwise, hidden_norm>());
static_assert(!sp::suits<sp::embedding_rowwise, hidden_norm>());
static_assert( sp::suits<sp::embedding_rowwise, table>());
static_assert( sp::suits<sp::replicated, table>());
static_assert(!sp::suits<sp::colwise, table>());
static_assert(!sp::suits<sp::rowwise, table>());
static_assert( sp::suits<sp::colwise, head>());
static_assert( sp::suits<sp::replicated, head>());
static_assert(!sp::suits<sp::embedding_rowwise, head>());
// one rank adds the bias of a pending sum
static_assert( sp::suits<sp::rowwise_partial, biased_down>());
static_assert( sp::suits<sp::rowwise_partial, down>());
static_assert( sp::suits<sp::rowwise, biased_down>());

// ---- styles of experts, regions and tables --------------------------------------------------------------------------------------
struct n_experts : sp::dim<6, sp::units, sp::uneven> {};
using router = sp::topk_router<hidden, n_experts>;
using expert_up = sp::detail::free_kind<sp::dims<sp::per_expert<n_experts>, sp::out<sp::fused<ffn, ffn>>, sp::in<hidden>>>;
using expert_down = sp::detail::free_kind<sp::dims<sp::per_expert<n_experts>, sp::out<hidden>, sp::in<ffn>>>;
using region = sp::detail::region_kind;
static_assert( sp::suits<sp::grouped_gemm, expert_up>());
static_assert( sp::suits<sp::grouped_gemm, expert_down>());
static_assert( sp::suits<sp::packed_colwise, expert_up>());
static_assert( sp::suits<sp::rowwise, expert_down>());
static_assert( sp::suits<sp::replicated_as_partial, expert_down>());
static_assert(!sp::suits<sp::packed_colwise, expert_down>());
static_assert(!sp::suits<sp::grouped_gemm, up>());
static_assert(!sp::suits<sp::moe_tp_experts, expert_up>());
static_assert(!sp::suits<sp::moe_tp_experts, up>());
static_assert(!sp::suits<sp::ep_dispatch_experts, up>());
static_assert(!sp::suits<sp::moe_identity_expert, hidden_norm>());
static_assert(!sp::suits<sp::all_reduce_region, up>());
static_assert( sp::suits<sp::moe_tp_experts, region>());
static_assert( sp::suits<sp::moe_tp_experts_partial, region>());
static_assert( sp::suits<sp::ep_dispatch_experts, region>());
static_assert( sp::suits<sp::replicated, router>() && sp::suits<sp::replicated, region>());
static_assert(!sp::suits<sp::replicate_output, router>() && !sp::suits<sp::replicate_output, region>());
static_assert(!sp::suits<sp::mla_kv_a_proj, router>() && !sp::suits<sp::mla_kv_a_proj, region>());
static_assert( sp::suits<sp::moe_identity_expert, region>());
static_assert( sp::suits<sp::all_reduce_region, region>());
static_assert( sp::suits<sp::replicated, region>());
static_assert(!sp::suits<sp::replicated_with_grad_allreduce, region>());
static_assert(!sp::suits<sp::colwise, region>());
static_assert(!sp::suits<sp::ep_router, region>());
static_assert( sp::suits<sp::ep_router, router>());
static_assert( sp::suits<sp::replicated, router>());
static_assert(!sp::suits<sp::colwise, router>());
static_assert(!sp::suits<sp::rowwise, router>());
static_assert(!sp::suits<sp::ep_router, up>());
static_assert( sp::suits<sp::embedding_colwise, table>());
static_assert(!sp::suits<sp::embedding_colwise, up>());
static_assert( sp::suits<sp::mla_kv_a_proj, fused_up>());
static_assert(!sp::suits<sp::mla_kv_a_proj, up>());
static_assert(!sp::suits<sp::packed_rowwise, up>());
static_assert( sp::suits<sp::packed_rowwise, sp::linear<sp::fused<ffn, ffn>, hidden>>());

// ---- experts: rows are where their matrices are ---------------------------------------------------------------------------------
struct rows_of_tokens : sp::dim<> {};
constexpr auto I_ = sp::invariant::value, R_ = sp::replicate::value, P_ = sp::partial::value, V_ = sp::varying::value;
constexpr auto tokens_cut = S<seq>::value, features_cut = S<hidden>::value, rows_cut = sp::shard<sp::routed>::value;
constexpr auto dealt = sp::shard<sp::per_expert<n_experts>>::value, inside = sp::packed<sp::out<sp::fused<ffn, ffn>>>::value, inside_down = sp::shard<sp::in<ffn>>::value;
constexpr sp::outcome sent(sp::placement x, sp::placement weights, sp::placement w) { return sp::rules::dispatch(x, weights, w, &sp::info<hidden>, &sp::info<sp::routed>); }
static_assert(sent(I_, I_, I_).to == I_ && sent(R_, R_, inside).to == R_ && sent(R_, R_, dealt).to == rows_cut && sent(tokens_cut, tokens_cut, dealt).to == rows_cut);
static_assert(sent(tokens_cut, tokens_cut, R_).to == rows_cut && sent(features_cut, R_, R_).to == features_cut && sent(V_, V_, R_).to == V_);
static_assert(sent(I_, I_, dealt).broken == sp::code::needs_f && sent(I_, R_, dealt).broken == sp::code::needs_f && sent(R_, I_, inside).broken == sp::code::needs_f);
static_assert(sent(P_, R_, dealt).broken == sp::code::nonlinear_partial && sent(R_, P_, dealt).broken == sp::code::nonlinear_partial);
static_assert(sent(tokens_cut, R_, dealt).broken == sp::code::operands_differ && sent(R_, tokens_cut, dealt).broken == sp::code::operands_differ);
static_assert(sent(features_cut, R_, dealt).broken == sp::code::operands_differ && sent(features_cut, I_, R_).broken == sp::code::operands_differ && sent(V_, V_, dealt).broken == sp::code::operands_differ);
constexpr sp::outcome times(sp::placement x, sp::placement w, bool lie_dealt = true) { return sp::rules::grouped(x, w, &sp::info<ffn>, &sp::info<sp::routed>, lie_dealt); }
static_assert(times(rows_cut, dealt).to == rows_cut && times(R_, inside).to == sp::packed<sp::fused<ffn, ffn>>::value && times(S<ffn>::value, inside_down).to == P_ && times(I_, I_).to == I_);
static_assert(times(rows_cut, R_, false).to == rows_cut && times(R_, R_).to == R_);
static_assert(times(rows_cut, R_).broken == sp::code::operands_differ && times(rows_cut, dealt, false).broken == sp::code::operands_differ);      // rows of other experts
static_assert(times(I_, dealt).broken == sp::code::needs_f && times(R_, dealt).broken == sp::code::operands_differ && times(P_, dealt).broken == sp::code::nonlinear_partial && times(S<ffn>::value, dealt).broken == sp::code::operands_differ);
static_assert(times(rows_cut, I_).broken == sp::code::drifting_parameter && times(rows_cut, inside).broken == sp::code::operands_differ && times(R_, inside_down).broken == sp::code::contraction);
constexpr sp::outcome summed(sp::placement x, sp::placement weights) { return sp::rules::combine(x, weights, &sp::info<sp::routed>); }
static_assert(summed(I_, I_).to == I_ && summed(R_, R_).to == R_ && summed(P_, R_).to == P_ && summed(rows_cut, R_).to == P_ && summed(rows_cut, tokens_cut).to == tokens_cut);
static_assert(summed(rows_cut, I_).broken == sp::code::needs_f && summed(rows_cut, P_).broken == sp::code::nonlinear_partial && summed(rows_cut, V_).broken == sp::code::operands_differ);
static_assert(summed(P_, I_).broken == sp::code::partial_with_whole && summed(R_, I_).broken == sp::code::needs_f && summed(P_, P_).broken == sp::code::nonlinear_partial);
constexpr sp::outcome plus(sp::placement x, sp::placement b, bool lie_dealt = true) { return sp::rules::grouped_bias(x, b, &sp::info<sp::routed>, lie_dealt); }
static_assert(plus(rows_cut, R_).broken == sp::code::operands_differ && plus(rows_cut, dealt, false).broken == sp::code::operands_differ);
static_assert(plus(rows_cut, dealt).to == rows_cut && plus(I_, I_).to == I_ && plus(P_, P_).to == P_ && plus(rows_cut, R_, false).to == rows_cut && plus(S<ffn>::value, sp::shard<sp::out<ffn>>::value).to == S<ffn>::value);
static_assert(plus(P_, I_).broken == sp::code::partial_with_whole && plus(P_, dealt).broken == sp::code::partial_with_whole && plus(R_, dealt).broken == sp::code::operands_differ);
static_assert(plus(rows_cut, I_).broken == sp::code::drifting_parameter && plus(S<ffn>::value, R_).broken == sp::code::operands_differ);

// ---- sequence parallelism: the boundary is S(seq), and the same styles follow it -------------------------------------------------
inline constexpr auto along_seq = sp::plan{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}, sp::embedding_rowwise{"embed_tokens"}, sp::packed_colwise{"gate_up_proj"}}.with_boundary<S<seq>>();
template <class Tag, class Kind> using member = sp::layer<sp::at<along_seq>, Tag, Kind>;
static_assert(std::is_same_v<placed<member<struct up_proj, up>, x<S<seq>, hidden>>, S<ffn>>);
static_assert(std::is_same_v<placed<member<struct gate_up_proj, fused_up>, x<S<seq>, hidden>>, PS<gate_up>>);
static_assert(std::is_same_v<placed<member<struct down_proj, down>, x<S<ffn>, ffn>>, S<seq>>);
static_assert(std::is_same_v<placed<member<struct down_proj, biased_down>, x<S<ffn>, ffn>>, S<seq>>);
static_assert(std::is_same_v<placed<member<struct embed_tokens, table>, ids>, S<seq>>);
static_assert(std::is_same_v<placed<member<struct layer_norm, hidden_norm>, x<S<seq>, hidden>>, S<seq>>);
static_assert(std::is_same_v<placed<member<struct up_proj, up>, x<I, hidden>>, S<ffn>>);            // f, where something whole is at hand
static_assert(refusal<member<struct layer_norm, hidden_norm>, x<S<hidden>, hidden>> == sp::code::reduced_over_shard);

// ---- data parallelism beside it: parameters Replicate on dp, activations stay where they are ---------------------------------------
inline constexpr auto two_axes = sp::plan{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}}.with_axis<sp::dp, S<batch>>();
template <class L> using on_dp = sp::layout<sp::on<sp::dp, S<batch>>, sp::on<sp::tp, L>>;
template <class Tag, class Kind> using beside = sp::layer<sp::at<two_axes>, Tag, Kind>;
static_assert(std::is_same_v<placed<beside<struct up_proj, up>, x<on_dp<I>, hidden>>, on_dp<S<ffn>>>);
static_assert(std::is_same_v<placed<beside<struct down_proj, down>, x<on_dp<S<ffn>>, ffn>>, on_dp<I>>);
static_assert(std::is_same_v<placed<beside<struct layer_norm, hidden_norm>, x<on_dp<I>, hidden>>, on_dp<I>>);
static_assert(std::is_same_v<weight<beside<struct up_proj, up>>, sp::layout<sp::on<sp::dp, R>, sp::on<sp::tp, S<sp::out<ffn>>>>>);
static_assert(std::is_same_v<weight<beside<struct layer_norm, hidden_norm>>, sp::layout<sp::on<sp::dp, R>, sp::on<sp::tp, I>>>);
static_assert(refusal<beside<struct down_proj, down>, x<on_dp<I>, ffn>> == sp::code::whole_into_rowwise);
static_assert(refusal<beside<struct layer_norm, head_norm>, x<on_dp<S<q_heads>>, q_heads, head_dim>> == sp::code::drifting_parameter);

// ---- probes on bare operations -----------------------------------------------------------------------------------------------------
static_assert( sp::can_add<x<I, hidden>, x<I, hidden>>);
static_assert( sp::can_add<x<sp::any, hidden>, x<sp::any, hidden>>);              // asked when it is called
static_assert( sp::can_multiply<x<sp::any, hidden>, x<I, hidden>>);
static_assert(!sp::can_add<x<sp::any, hidden>, x<sp::any, ffn>>);
static_assert( sp::can_add<x<S<ffn>, ffn>, x<S<ffn>, ffn>>);
static_assert( sp::can_add<x<R, hidden>, x<V, hidden>>);
static_assert(!sp::can_add<x<I, hidden>, x<R, hidden>>);
static_assert(!sp::can_add<x<I, ffn>, x<S<ffn>, ffn>>);
static_assert(!sp::can_add<x<I, hidden>, x<I, ffn>>);
static_assert(!sp::can_add<x<on_dp<I>, hidden>, x<on_dp<P>, hidden>>);
static_assert( sp::can_add<x<on_dp<P>, hidden>, x<on_dp<P>, hidden>>);
static_assert( sp::can_multiply<x<P, hidden>, x<R, hidden>>);
static_assert( sp::can_multiply<x<S<ffn>, ffn>, x<S<ffn>, ffn>>);
static_assert(!sp::can_multiply<x<P, hidden>, x<P, hidden>>);
static_assert(!sp::can_multiply<x<P, hidden>, x<I, hidden>>);
static_assert(!sp::can_multiply<x<R, ffn>, x<S<ffn>, ffn>>);
static_assert( sp::can_multiply<x<S<batch>, hidden>, sp::tensor<sp::ghost, sp::dims<hidden>, R>>);      // a whole weight lacks what is cut
static_assert(!sp::can_multiply<x<S<batch>, hidden>, sp::tensor<sp::ghost, sp::dims<hidden>, I>>);      // but needs f

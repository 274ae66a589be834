#pragma once
/// @file
/// One compile-time diagnostic per broken rule.
///
///     constexpr sp::outcome r = sp::rules::nonlinear(sp::partial::value);
///     static_assert(sp::verdict<r.broken, at<...>, sp::fed<sp::partial>>::ok);     // SP103, with the facts beside it
///
/// The specialisations are written out: made by a macro, each would cost the reader of an error a line of expansion notes.
/// Their condition depends on a template parameter, else g++ 12, clang 14 and nvcc 13 report it without any use.
#include <shardproof/core/code.hpp>
namespace shardproof {

template <class...> inline constexpr bool never = false;

// Facts of a diagnostic: never defined, only printed.
template <class... Placement> struct fed;                  ///< what arrived, operand by operand
template <class... Placement> struct needs;                ///< what the rule or the style wants
template <class... Tensor> struct returns;                 ///< what a module's forward yields
template <class Style> struct style;                       ///< the parallel style of the layer
template <class... Style> struct applicable;               ///< styles that would suit this kind of layer
template <long N> struct extent;                           ///< global extent of the dimension
template <int N> struct ranks_on_axis;                     ///< ranks that share it
template <int... N> struct legal;                          ///< rank counts that would do
template <const auto& Plan, int I> struct rule_number;     ///< the rule, counted from 0 in the plan
template <char... C> struct spelled;                       ///< a name, letter by letter

/// `ok` unless C names a broken rule; then instantiating it is the error, and `Where` and `Facts` say the rest.
template <code C, class Where, class... Facts> struct verdict { static constexpr bool ok = true; };

// clang-format off
template <class W, class... F> struct verdict<code::input_placement, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_input_placement); };
template <class W, class... F> struct verdict<code::whole_into_rowwise, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_whole_into_rowwise); };
template <class W, class... F> struct verdict<code::shard_into_colwise, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_shard_into_colwise); };
template <class W, class... F> struct verdict<code::partial_into_layer, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_partial_into_layer); };
template <class W, class... F> struct verdict<code::fused_into_rowwise, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_fused_into_rowwise); };
template <class W, class... F> struct verdict<code::shard_into_replicated, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_shard_into_replicated); };
template <class W, class... F> struct verdict<code::reduced_over_shard, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_reduced_over_shard); };
template <class W, class... F> struct verdict<code::operands_differ, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_operands_differ); };
template <class W, class... F> struct verdict<code::heads_differ, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_heads_differ); };
template <class W, class... F> struct verdict<code::conversion, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_conversion); };
template <class W, class... F> struct verdict<code::needs_f, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_needs_f); };
template <class W, class... F> struct verdict<code::needs_shard, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_needs_shard); };
template <class W, class... F> struct verdict<code::nonlinear_partial, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_nonlinear_partial); };
template <class W, class... F> struct verdict<code::partial_with_whole, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_partial_with_whole); };
template <class W, class... F> struct verdict<code::no_partition, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_no_partition); };
template <class W, class... F> struct verdict<code::grouped_wrongly, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_grouped_wrongly); };
template <class W, class... F> struct verdict<code::copied_contraction, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_copied_contraction); };
template <class W, class... F> struct verdict<code::heads_not_grouped, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_heads_not_grouped); };
template <class W, class... F> struct verdict<code::split_needs_packed, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_split_needs_packed); };
template <class W, class... F> struct verdict<code::contraction, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_contraction); };
template <class W, class... F> struct verdict<code::reduced_twice, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_reduced_twice); };
template <class W, class... F> struct verdict<code::dims_differ, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_dims_differ); };
template <class W, class... F> struct verdict<code::dim_twice, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_dim_twice); };
template <class W, class... F> struct verdict<code::head_cut, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_head_cut); };
template <class W, class... F> struct verdict<code::stack_returns, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_stack_returns); };
template <class W, class... F> struct verdict<code::alternatives_differ, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_alternatives_differ); };
template <class W, class... F> struct verdict<code::absent_must_pass, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_absent_must_pass); };
template <class W, class... F> struct verdict<code::wrong_arguments, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_wrong_arguments); };
template <class W, class... F> struct verdict<code::wrong_parts, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_wrong_parts); };
template <class W, class... F> struct verdict<code::no_result, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_no_result); };
template <class W, class... F> struct verdict<code::unmatched_layer, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_unmatched_layer); };
template <class W, class... F> struct verdict<code::unmatched_rule, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_unmatched_rule); };
template <class W, class... F> struct verdict<code::two_rules, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_two_rules); };
template <class W, class... F> struct verdict<code::unsuited_style, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_unsuited_style); };
template <class W, class... F> struct verdict<code::unknown_style, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_unknown_style); };
template <class W, class... F> struct verdict<code::malformed_pattern, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_malformed_pattern); };
template <class W, class... F> struct verdict<code::numbered_pattern, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_numbered_pattern); };
template <class W, class... F> struct verdict<code::malformed_plan, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_malformed_plan); };
template <class W, class... F> struct verdict<code::incomplete_experts, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_incomplete_experts); };
template <class W, class... F> struct verdict<code::drifting_parameter, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_drifting_parameter); };
template <class W, class... F> struct verdict<code::no_such_axis, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_no_such_axis); };
template <class W, class... F> struct verdict<code::steps_do_not_compose, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_steps_do_not_compose); };
template <class W, class... F> struct verdict<code::ill_typed_adjoint, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_ill_typed_adjoint); };
template <class W, class... F> struct verdict<code::adjoint_not_mutual, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_adjoint_not_mutual); };
template <class W, class... F> struct verdict<code::loss_not_invariant, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_loss_not_invariant); };
template <class W, class... F> struct verdict<code::nothing_to_save, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_nothing_to_save); };
template <class W, class... F> struct verdict<code::gradient_placement, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_gradient_placement); };
template <class W, class... F> struct verdict<code::tied_apart, W, F...> { static constexpr bool ok = true; static_assert(never<W, F...>, SHARDPROOF_SAYS_tied_apart); };
// clang-format on

}  // namespace shardproof

#pragma once
/// @file
/// The error catalogue: one stable number per rule, one sentence per case, the same text at compile time and at run time.
///
///     static_assert(sp::number(sp::code::split_needs_packed) == 106);
///     std::puts(sp::sentence(sp::code::split_needs_packed));      // shardproof[SP106] a tensor is split along ...
#include <shardproof/core/sentences.hpp>
namespace shardproof {

/// A code's value is its SP number times ten plus the case, so that several sentences may share one number.
enum class code : unsigned short {
  ok = 0,
  input_placement = 1010,
  whole_into_rowwise = 1011,
  shard_into_colwise = 1012,
  partial_into_layer = 1013,
  fused_into_rowwise = 1014,
  shard_into_replicated = 1015,
  reduced_over_shard = 1016,
  operands_differ = 1017,
  heads_differ = 1018,
  conversion = 1019,
  needs_f = 1020,
  needs_shard = 1021,
  nonlinear_partial = 1030,
  partial_with_whole = 1040,
  no_partition = 1050,
  grouped_wrongly = 1051,
  copied_contraction = 1052,
  heads_not_grouped = 1053,
  split_needs_packed = 1060,
  contraction = 1070,
  reduced_twice = 1080,
  dims_differ = 1090,
  dim_twice = 1091,
  head_cut = 1100,
  stack_returns = 1110,
  alternatives_differ = 1120,
  absent_must_pass = 1130,
  wrong_arguments = 1140,
  wrong_parts = 1150,
  no_result = 1160,
  unmatched_layer = 2010,
  unmatched_rule = 2020,
  two_rules = 2030,
  unsuited_style = 2040,
  unknown_style = 2050,
  malformed_pattern = 2060,
  numbered_pattern = 2061,
  malformed_plan = 2062,
  incomplete_experts = 2070,
  drifting_parameter = 3010,
  no_such_axis = 3020,
  steps_do_not_compose = 3030,
  ill_typed_adjoint = 3100,
  adjoint_not_mutual = 3110,
  loss_not_invariant = 4010,
  nothing_to_save = 4020,
  gradient_placement = 4030,
  tied_apart = 4040,
  schedules_differ = 5010,
  rank_lost = 5020,
  no_launcher = 5030,
  no_device = 5040,
  no_backend = 5050,
  device_failed = 5060,
  malformed_file = 6010,
  missing_tensor = 6020,
  wrong_shape = 6030,
  wrong_configuration = 6040,
  unknown_family = 6050,
  unsupported_value = 6060,
  unknown_key = 6070,
  io_failed = 6080,
  usage = 10,
};

/// The stable number printed as SPnnn.
constexpr int number(code c) { return int(c) / 10; }

/// "shardproof[SPnnn] what. Fix: how."; "ok" for code::ok.
constexpr const char* sentence(code c) {
  switch (c) {
    case code::input_placement: return SHARDPROOF_SAYS_input_placement;
    case code::whole_into_rowwise: return SHARDPROOF_SAYS_whole_into_rowwise;
    case code::shard_into_colwise: return SHARDPROOF_SAYS_shard_into_colwise;
    case code::partial_into_layer: return SHARDPROOF_SAYS_partial_into_layer;
    case code::fused_into_rowwise: return SHARDPROOF_SAYS_fused_into_rowwise;
    case code::shard_into_replicated: return SHARDPROOF_SAYS_shard_into_replicated;
    case code::reduced_over_shard: return SHARDPROOF_SAYS_reduced_over_shard;
    case code::operands_differ: return SHARDPROOF_SAYS_operands_differ;
    case code::heads_differ: return SHARDPROOF_SAYS_heads_differ;
    case code::conversion: return SHARDPROOF_SAYS_conversion;
    case code::needs_f: return SHARDPROOF_SAYS_needs_f;
    case code::needs_shard: return SHARDPROOF_SAYS_needs_shard;
    case code::nonlinear_partial: return SHARDPROOF_SAYS_nonlinear_partial;
    case code::partial_with_whole: return SHARDPROOF_SAYS_partial_with_whole;
    case code::no_partition: return SHARDPROOF_SAYS_no_partition;
    case code::grouped_wrongly: return SHARDPROOF_SAYS_grouped_wrongly;
    case code::copied_contraction: return SHARDPROOF_SAYS_copied_contraction;
    case code::heads_not_grouped: return SHARDPROOF_SAYS_heads_not_grouped;
    case code::split_needs_packed: return SHARDPROOF_SAYS_split_needs_packed;
    case code::contraction: return SHARDPROOF_SAYS_contraction;
    case code::reduced_twice: return SHARDPROOF_SAYS_reduced_twice;
    case code::dims_differ: return SHARDPROOF_SAYS_dims_differ;
    case code::dim_twice: return SHARDPROOF_SAYS_dim_twice;
    case code::head_cut: return SHARDPROOF_SAYS_head_cut;
    case code::stack_returns: return SHARDPROOF_SAYS_stack_returns;
    case code::alternatives_differ: return SHARDPROOF_SAYS_alternatives_differ;
    case code::absent_must_pass: return SHARDPROOF_SAYS_absent_must_pass;
    case code::wrong_arguments: return SHARDPROOF_SAYS_wrong_arguments;
    case code::wrong_parts: return SHARDPROOF_SAYS_wrong_parts;
    case code::no_result: return SHARDPROOF_SAYS_no_result;
    case code::unmatched_layer: return SHARDPROOF_SAYS_unmatched_layer;
    case code::unmatched_rule: return SHARDPROOF_SAYS_unmatched_rule;
    case code::two_rules: return SHARDPROOF_SAYS_two_rules;
    case code::unsuited_style: return SHARDPROOF_SAYS_unsuited_style;
    case code::unknown_style: return SHARDPROOF_SAYS_unknown_style;
    case code::malformed_pattern: return SHARDPROOF_SAYS_malformed_pattern;
    case code::numbered_pattern: return SHARDPROOF_SAYS_numbered_pattern;
    case code::malformed_plan: return SHARDPROOF_SAYS_malformed_plan;
    case code::incomplete_experts: return SHARDPROOF_SAYS_incomplete_experts;
    case code::drifting_parameter: return SHARDPROOF_SAYS_drifting_parameter;
    case code::no_such_axis: return SHARDPROOF_SAYS_no_such_axis;
    case code::steps_do_not_compose: return SHARDPROOF_SAYS_steps_do_not_compose;
    case code::ill_typed_adjoint: return SHARDPROOF_SAYS_ill_typed_adjoint;
    case code::adjoint_not_mutual: return SHARDPROOF_SAYS_adjoint_not_mutual;
    case code::loss_not_invariant: return SHARDPROOF_SAYS_loss_not_invariant;
    case code::nothing_to_save: return SHARDPROOF_SAYS_nothing_to_save;
    case code::gradient_placement: return SHARDPROOF_SAYS_gradient_placement;
    case code::tied_apart: return SHARDPROOF_SAYS_tied_apart;
    case code::schedules_differ: return SHARDPROOF_SAYS_schedules_differ;
    case code::rank_lost: return SHARDPROOF_SAYS_rank_lost;
    case code::no_launcher: return SHARDPROOF_SAYS_no_launcher;
    case code::no_device: return SHARDPROOF_SAYS_no_device;
    case code::no_backend: return SHARDPROOF_SAYS_no_backend;
    case code::device_failed: return SHARDPROOF_SAYS_device_failed;
    case code::malformed_file: return SHARDPROOF_SAYS_malformed_file;
    case code::missing_tensor: return SHARDPROOF_SAYS_missing_tensor;
    case code::wrong_shape: return SHARDPROOF_SAYS_wrong_shape;
    case code::wrong_configuration: return SHARDPROOF_SAYS_wrong_configuration;
    case code::unknown_family: return SHARDPROOF_SAYS_unknown_family;
    case code::unsupported_value: return SHARDPROOF_SAYS_unsupported_value;
    case code::unknown_key: return SHARDPROOF_SAYS_unknown_key;
    case code::io_failed: return SHARDPROOF_SAYS_io_failed;
    case code::usage: return SHARDPROOF_SAYS_usage;
    default: return "ok";
  }
}

}  // namespace shardproof

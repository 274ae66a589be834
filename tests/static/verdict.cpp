// The catalogue: every code has its number, and one sentence that says what is wrong and how to mend it.
#include <string_view>
#include <shardproof/core/verdict.hpp>
namespace sp = shardproof;
using sp::code;

/// "shardproof[SPnnn] what. Fix: how.", on one line, with the code's own number.
constexpr bool well_formed(code c) {
  const std::string_view s = sp::sentence(c), head = "shardproof[SP";
  if (s.substr(0, head.size()) != head) return false;
  int n = 0;
  std::size_t i = head.size();
  for (; i < head.size() + 3; ++i) {
    if (s[i] < '0' || s[i] > '9') return false;
    n = 10 * n + (s[i] - '0');
  }
  if (n != sp::number(c) || s.substr(i, 2) != "] ") return false;
  const auto fix = s.find(" Fix: ");
  return fix != s.npos && fix == s.rfind(" Fix: ") && s[fix - 1] == '.' && s.back() == '.' && s.find('\n') == s.npos && s.size() < 420;
}

// ok is no error
static_assert(std::string_view(sp::sentence(code::ok)) == "ok");
static_assert(sp::number(code::ok) == 0);
static_assert(!well_formed(code::ok));
// every code
static_assert(well_formed(code::input_placement));
static_assert(well_formed(code::whole_into_rowwise));
static_assert(well_formed(code::shard_into_colwise));
static_assert(well_formed(code::partial_into_layer));
static_assert(well_formed(code::fused_into_rowwise));
static_assert(well_formed(code::shard_into_replicated));
static_assert(well_formed(code::reduced_over_shard));
static_assert(well_formed(code::operands_differ));
static_assert(well_formed(code::heads_differ));
static_assert(well_formed(code::conversion));
static_assert(well_formed(code::needs_f));
static_assert(well_formed(code::needs_shard));
static_assert(well_formed(code::nonlinear_partial));
static_assert(well_formed(code::partial_with_whole));
static_assert(well_formed(code::no_partition));
static_assert(well_formed(code::grouped_wrongly));
static_assert(well_formed(code::copied_contraction));
static_assert(well_formed(code::heads_not_grouped));
static_assert(well_formed(code::split_needs_packed));
static_assert(well_formed(code::contraction));
static_assert(well_formed(code::reduced_twice));
static_assert(well_formed(code::dims_differ));
static_assert(well_formed(code::dim_twice));
static_assert(well_formed(code::head_cut));
static_assert(well_formed(code::stack_returns));
static_assert(well_formed(code::alternatives_differ));
static_assert(well_formed(code::absent_must_pass));
static_assert(well_formed(code::wrong_arguments));
static_assert(well_formed(code::wrong_parts));
static_assert(well_formed(code::no_result));
static_assert(well_formed(code::unmatched_layer));
static_assert(well_formed(code::unmatched_rule));
static_assert(well_formed(code::two_rules));
static_assert(well_formed(code::unsuited_style));
static_assert(well_formed(code::unknown_style));
static_assert(well_formed(code::malformed_pattern));
static_assert(well_formed(code::numbered_pattern));
static_assert(well_formed(code::malformed_plan));
static_assert(well_formed(code::incomplete_experts));
static_assert(well_formed(code::drifting_parameter));
static_assert(well_formed(code::no_such_axis));
static_assert(well_formed(code::steps_do_not_compose));
static_assert(well_formed(code::ill_typed_adjoint));
static_assert(well_formed(code::adjoint_not_mutual));
static_assert(well_formed(code::loss_not_invariant));
static_assert(well_formed(code::nothing_to_save));
static_assert(well_formed(code::gradient_placement));
static_assert(well_formed(code::tied_apart));
static_assert(well_formed(code::schedules_differ));
static_assert(well_formed(code::rank_lost));
static_assert(well_formed(code::no_launcher));
static_assert(well_formed(code::no_device));
static_assert(well_formed(code::no_backend));
static_assert(well_formed(code::device_failed));
static_assert(well_formed(code::malformed_file));
static_assert(well_formed(code::missing_tensor));
static_assert(well_formed(code::wrong_shape));
static_assert(well_formed(code::wrong_configuration));
static_assert(well_formed(code::unknown_family));
static_assert(well_formed(code::unsupported_value));
static_assert(well_formed(code::unknown_key));
static_assert(well_formed(code::io_failed));
static_assert(well_formed(code::usage));
// numbers: several sentences may share one
static_assert(sp::number(code::input_placement) == 101);
static_assert(sp::number(code::whole_into_rowwise) == 101);
static_assert(sp::number(code::shard_into_colwise) == 101);
static_assert(sp::number(code::partial_into_layer) == 101);
static_assert(sp::number(code::fused_into_rowwise) == 101);
static_assert(sp::number(code::shard_into_replicated) == 101);
static_assert(sp::number(code::reduced_over_shard) == 101);
static_assert(sp::number(code::operands_differ) == 101);
static_assert(sp::number(code::heads_differ) == 101);
static_assert(sp::number(code::conversion) == 101);
static_assert(sp::number(code::needs_f) == 102);
static_assert(sp::number(code::needs_shard) == 102);
static_assert(sp::number(code::nonlinear_partial) == 103);
static_assert(sp::number(code::partial_with_whole) == 104);
static_assert(sp::number(code::no_partition) == 105);
static_assert(sp::number(code::grouped_wrongly) == 105);
static_assert(sp::number(code::copied_contraction) == 105);
static_assert(sp::number(code::heads_not_grouped) == 105);
static_assert(sp::number(code::split_needs_packed) == 106);
static_assert(sp::number(code::contraction) == 107);
static_assert(sp::number(code::reduced_twice) == 108);
static_assert(sp::number(code::dims_differ) == 109);
static_assert(sp::number(code::dim_twice) == 109);
static_assert(sp::number(code::head_cut) == 110);
static_assert(sp::number(code::stack_returns) == 111);
static_assert(sp::number(code::alternatives_differ) == 112);
static_assert(sp::number(code::absent_must_pass) == 113);
static_assert(sp::number(code::wrong_arguments) == 114);
static_assert(sp::number(code::wrong_parts) == 115);
static_assert(sp::number(code::no_result) == 116);
static_assert(sp::number(code::unmatched_layer) == 201);
static_assert(sp::number(code::unmatched_rule) == 202);
static_assert(sp::number(code::two_rules) == 203);
static_assert(sp::number(code::unsuited_style) == 204);
static_assert(sp::number(code::unknown_style) == 205);
static_assert(sp::number(code::malformed_pattern) == 206);
static_assert(sp::number(code::numbered_pattern) == 206);
static_assert(sp::number(code::malformed_plan) == 206);
static_assert(sp::number(code::incomplete_experts) == 207);
static_assert(sp::number(code::drifting_parameter) == 301);
static_assert(sp::number(code::no_such_axis) == 302);
static_assert(sp::number(code::steps_do_not_compose) == 303);
static_assert(sp::number(code::ill_typed_adjoint) == 310);
static_assert(sp::number(code::adjoint_not_mutual) == 311);
static_assert(sp::number(code::loss_not_invariant) == 401);
static_assert(sp::number(code::nothing_to_save) == 402);
static_assert(sp::number(code::gradient_placement) == 403);
static_assert(sp::number(code::tied_apart) == 404);
static_assert(sp::number(code::schedules_differ) == 501);
static_assert(sp::number(code::rank_lost) == 502);
static_assert(sp::number(code::no_launcher) == 503);
static_assert(sp::number(code::no_device) == 504);
static_assert(sp::number(code::no_backend) == 505);
static_assert(sp::number(code::device_failed) == 506);
static_assert(sp::number(code::malformed_file) == 601);
static_assert(sp::number(code::missing_tensor) == 602);
static_assert(sp::number(code::wrong_shape) == 603);
static_assert(sp::number(code::wrong_configuration) == 604);
static_assert(sp::number(code::unknown_family) == 605);
static_assert(sp::number(code::unsupported_value) == 606);
static_assert(sp::number(code::unknown_key) == 607);
static_assert(sp::number(code::io_failed) == 608);
static_assert(sp::number(code::usage) == 1);
// no two codes say the same
constexpr code every_code[] = {code::input_placement, code::whole_into_rowwise, code::shard_into_colwise, code::partial_into_layer, code::fused_into_rowwise, code::shard_into_replicated, code::reduced_over_shard, code::operands_differ, code::heads_differ, code::conversion, code::needs_f, code::needs_shard, code::nonlinear_partial, code::partial_with_whole, code::no_partition, code::grouped_wrongly, code::copied_contraction, code::heads_not_grouped, code::split_needs_packed, code::contraction, code::reduced_twice, code::dims_differ, code::dim_twice, code::head_cut, code::stack_returns, code::alternatives_differ, code::absent_must_pass, code::wrong_arguments, code::wrong_parts, code::no_result, code::unmatched_layer, code::unmatched_rule, code::two_rules, code::unsuited_style, code::unknown_style, code::malformed_pattern, code::numbered_pattern, code::malformed_plan, code::incomplete_experts, code::drifting_parameter, code::no_such_axis, code::steps_do_not_compose, code::ill_typed_adjoint, code::adjoint_not_mutual, code::loss_not_invariant, code::nothing_to_save, code::gradient_placement, code::tied_apart, code::schedules_differ, code::rank_lost, code::no_launcher, code::no_device, code::no_backend, code::device_failed, code::malformed_file, code::missing_tensor, code::wrong_shape, code::wrong_configuration, code::unknown_family, code::unsupported_value, code::unknown_key, code::io_failed, code::usage};
constexpr unsigned long digest(std::string_view s) {
  unsigned long h = 14695981039346656037ul;
  for (char c : s) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ul;
  return h;
}
constexpr bool all_differ() {
  unsigned long seen[std::size(every_code)] = {};
  for (std::size_t i = 0; i < std::size(every_code); ++i) {
    seen[i] = digest(sp::sentence(every_code[i]));
    for (std::size_t k = 0; k < i; ++k) if (every_code[i] == every_code[k] || seen[i] == seen[k]) return false;
  }
  return true;
}
static_assert(all_differ());
// sentences begin as the catalogue says
constexpr bool begins(code c, std::string_view with) { return std::string_view(sp::sentence(c)).substr(0, with.size()) == with; }
static_assert(begins(code::input_placement, "shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed"));
static_assert(begins(code::whole_into_rowwise, "shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed"));
static_assert(begins(code::shard_into_colwise, "shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed"));
static_assert(begins(code::partial_into_layer, "shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed"));
static_assert(begins(code::fused_into_rowwise, "shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed"));
static_assert(begins(code::shard_into_replicated, "shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed"));
static_assert(begins(code::needs_f, "shardproof[SP102] an Invariant value enters rank-dependent compute: its gradient would miss an all-reduce"));
static_assert(begins(code::needs_shard, "shardproof[SP102] an Invariant value enters rank-dependent compute: its gradient would miss an all-reduce"));
static_assert(begins(code::nonlinear_partial, "shardproof[SP103] a nonlinear operation is applied to a Partial value: f(a+b) != f(a)+f(b)"));
static_assert(begins(code::partial_with_whole, "shardproof[SP104] a Partial value is combined with a value that is not Partial: the other term would be counted once per rank"));
static_assert(begins(code::no_partition, "shardproof[SP105] no legal partition: the extent cannot be divided over the ranks in whole units"));
static_assert(begins(code::split_needs_packed, "shardproof[SP106] a tensor is split along a dimension that is sharded as one block: the pieces would mix blocks"));
static_assert(begins(code::contraction, "shardproof[SP107] contraction mismatch: the contracted dimension is sharded on one operand only"));
static_assert(begins(code::reduced_twice, "shardproof[SP108] a reducing collective is fed a value that is not a pending sum: it would add unrelated shards or count one value once per rank"));
static_assert(begins(code::dims_differ, "shardproof[SP109] dimension names do not match: this operation needs another dimension here than the operand carries"));
static_assert(begins(code::head_cut, "shardproof[SP110] a head would be cut across ranks: a shard boundary falls inside head_dim features"));
static_assert(begins(code::unmatched_layer, "shardproof[SP201] this layer is matched by no rule of the plan and stays replicated"));
static_assert(begins(code::unmatched_rule, "shardproof[SP202] this rule of the plan matches no layer of the model"));
static_assert(begins(code::two_rules, "shardproof[SP203] two rules of the plan match the same layer"));
static_assert(begins(code::unsuited_style, "shardproof[SP204] this parallel style does not apply to this kind of layer"));
static_assert(begins(code::unknown_style, "shardproof[SP205] unknown parallel style"));
static_assert(begins(code::malformed_pattern, "shardproof[SP206] malformed pattern"));
static_assert(begins(code::numbered_pattern, "shardproof[SP206] malformed pattern"));
static_assert(begins(code::malformed_plan, "shardproof[SP206] malformed pattern"));
static_assert(begins(code::incomplete_experts, "shardproof[SP207] incomplete expert group"));
static_assert(begins(code::drifting_parameter, "shardproof[SP301] a replicated parameter meets a rank-dependent activation: each rank would compute another gradient and the replicas drift apart"));
static_assert(begins(code::no_such_axis, "shardproof[SP302] the mesh has no axis of this name"));
static_assert(begins(code::steps_do_not_compose, "shardproof[SP303] these communication steps do not compose: the first produces another placement than the second consumes"));
static_assert(begins(code::ill_typed_adjoint, "shardproof[SP310] the declared adjoint is ill-typed: it must map dual"));
static_assert(begins(code::adjoint_not_mutual, "shardproof[SP311] the adjoint of the declared adjoint is not this primitive"));
static_assert(begins(code::loss_not_invariant, "shardproof[SP401] backward is called on a Replicate or Varying loss: the initial gradient would be counted wrongly"));
static_assert(begins(code::nothing_to_save, "shardproof[SP402] a Partial or Varying tensor has no global value to save"));
static_assert(begins(code::gradient_placement, "shardproof[SP403] a gradient is accumulated into a buffer of another placement"));
static_assert(begins(code::tied_apart, "shardproof[SP404] two layers share one tensor but their styles place it differently"));
static_assert(begins(code::malformed_file, "shardproof[SP601] malformed safetensors file"));
// a verdict on nothing is fine, whatever it is about
static_assert(sp::verdict<code::ok, void>::ok);
static_assert(sp::verdict<code::ok, int, sp::fed<int, long>, sp::needs<>>::ok);
// what depends on a parameter is never true by itself
static_assert(!sp::never<>);
static_assert(!sp::never<int, long>);

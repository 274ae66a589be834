/// The mistakes of tests/fail under plans read at start-up: the dry run refuses each with the code that the compiler gives, and the
/// path of the layer, before any weight is there. Module code that the compiler would refuse compiles here, since placements are
/// values; the last checks of those files, which are about constexpr plans, are taken out.
#include <functional>
#include <catch2/catch.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/layer/experts.hpp>
#include <shardproof/shardproof.hpp>
#include <shardproof/model/dry_check.hpp>
#include "fail/llama/attention.hpp"
#include "fail/llama/gated_mlp.hpp"
#include "fail/llama/model.hpp"

inline constexpr sp::run_time_plan<> at_start_up;
#define MUST_FAIL
#define static_assert(...) static_assert(true)
namespace mistake_04 {
#include "fail/llama/again.hpp"
#include "fail/mistake_04_all_reduce_missing_in_a_block.cpp"
using model = llama<sp::at<at_start_up>>;
}  // namespace mistake_04
namespace mistake_05 {
#include "fail/llama/again.hpp"
#include "fail/mistake_05_all_reduce_twice.cpp"
using model = llama<sp::at<at_start_up>>;
}  // namespace mistake_05
namespace mistake_06 {
#include "fail/llama/again.hpp"
#include "fail/mistake_06_bias_before_the_all_reduce.cpp"
using model = llama<sp::at<at_start_up>>;
}  // namespace mistake_06
namespace mistake_07 {
#include "fail/llama/again.hpp"
#include "fail/mistake_07_residual_on_a_partial.cpp"
using model = tower<sp::at<at_start_up>>;
}  // namespace mistake_07
namespace mistake_08 {
#include "fail/llama/again.hpp"
#include "fail/mistake_08_nonlinearity_on_a_partial.cpp"
using model = llama<sp::at<at_start_up>>;
}  // namespace mistake_08
namespace mistake_13 {
#include "fail/llama/again.hpp"
#include "fail/mistake_13_bias_of_fused_experts_sharded_plainly.cpp"
using model = llama<sp::at<at_start_up>>;
}  // namespace mistake_13
namespace mistake_17 {
#include "fail/llama/again.hpp"
#include "fail/mistake_17_unreduced_expert_beside_a_shared_one.cpp"
using model = tower<sp::at<at_start_up>>;
}  // namespace mistake_17
namespace mistake_18 {
#include "fail/llama/again.hpp"
#include "fail/mistake_18_router_scores_masked_before_f.cpp"
using model = llama<sp::at<at_start_up>>;
}  // namespace mistake_18
namespace mistake_19 {
#include "fail/llama/again.hpp"
#include "fail/mistake_19_norm_unsynchronised_on_a_cut_sequence.cpp"
inline constexpr auto along_seq_later = sp::run_time_plan<my_norm>{}.with_boundary<sp::shard<seq>>();
using model = llama<sp::at<along_seq_later>>;
inline constexpr auto along_seq_too = [](const auto& plan) { return plan.template with_boundary<sp::shard<seq>>(); };
}  // namespace mistake_19
namespace mistake_20 {
#include "fail/llama/again.hpp"
#include "fail/mistake_20_reduce_scatter_of_a_replicated_value.cpp"
using model = llama<sp::at<at_start_up>>;
}  // namespace mistake_20
namespace mistake_27 {
#include "fail/llama/again.hpp"
#include "fail/mistake_27_wrong_axis_of_a_mesh.cpp"
using model = llama<sp::at<at_start_up>>;
inline constexpr auto on_a_mesh_too = [](const auto& plan) { return plan.template with_axis<axis_of_the_batch, sp::shard<batch>>(); };
}  // namespace mistake_27
namespace mistake_28 {
#include "fail/llama/again.hpp"
#include "fail/mistake_28_gathered_value_in_rank_dependent_compute.cpp"
using model = llama<sp::at<at_start_up>>;
}  // namespace mistake_28
#undef static_assert
#undef MUST_FAIL

namespace {
using rules = std::vector<std::pair<std::string, std::string>>;
/// The right plan of llama/model.hpp; `changes` replace a rule, or drop it where the style is empty.
std::string plan_with(const rules& changes) {
  rules plan{{"embed_tokens", "embedding_rowwise"}, {"layers.*.mlp.gate_up_proj", "packed_colwise"}, {"layers.*.self_attn.q_proj", "colwise"},
             {"layers.*.self_attn.k_proj", "colwise"}, {"layers.*.self_attn.v_proj", "colwise"}, {"lm_head", "colwise"},
             {"layers.*.self_attn.o_proj", "rowwise"}, {"layers.*.mlp.down_proj", "rowwise"},
             {"layers.*.self_attn.q_norm", "replicated_with_grad_allreduce"}, {"layers.*.self_attn.k_norm", "replicated_with_grad_allreduce"}};
  for (const auto& change : changes) {
    const auto old = std::find_if(plan.begin(), plan.end(), [&](const auto& rule) { return rule.first == change.first; });
    if (old == plan.end()) plan.push_back(change);
    else if (change.second.empty()) plan.erase(old);
    else old->second = change.second;
  }
  std::string text = "{";
  for (const auto& [pattern, style] : plan) text += (text.size() > 1 ? ", \"" : "\"") + pattern + "\": \"" + style + "\"";
  return text + "}";
}
/// What loading the plan says; empty if it is accepted. `on_the_model`: what the plan says of the whole model.
template <class Model, class... OwnStyles, class Sizes, class F = std::identity>
std::string refusal(const std::string& text, int ranks, const Sizes& sizes, F on_the_model = {}) {
  try {
    Model m;
    sp::bind(m, on_the_model(sp::parse_plan<OwnStyles...>(text)));
    (void)sp::dry_run(m, sp::ranks{ranks}, sizes);
  } catch (const sp::error& e) {
    return e.what();
  }
  return "";
}
std::string refusal(const rules& changes, int ranks = 4) {
  return refusal<llama<sp::at<at_start_up>>>(plan_with(changes), ranks, sp::tokens{2, 5});
}
struct says : Catch::MatcherBase<std::string> {
  std::string code, path;
  says(std::string c, std::string p) : code("shardproof[" + std::move(c) + "]"), path(std::move(p)) {}
  bool match(const std::string& text) const override {
    return text.rfind(code, 0) == 0 && text.find(path) != text.npos && text.find("Fix: ") != text.npos && text.find('\n') == text.npos;
  }
  std::string describe() const override { return "is one line that begins with " + code + " and names " + path; }
};
}  // namespace

TEST_CASE("the right plan is accepted at start-up") {
  REQUIRE(refusal({}) == "");
  REQUIRE(refusal({}, 8) == "");
}
TEST_CASE("mistakes of the plan are refused when it is loaded, with the codes of the compiler") {
  CHECK_THAT(refusal({{"layers.*.mlp.down_proj", "colwise"}}), says("SP101", "mlp.down_proj"));                     // 1
  CHECK_THAT(refusal({{"layers.*.self_attn.o_proj", ""}}), says("SP101", "self_attn.o_proj"));                      // 2
  CHECK_THAT(refusal({{"layers.*.mlp.gate_up_proj", ""}}), says("SP101", "mlp.down_proj"));                         // 3
  CHECK_THAT(refusal({{"layers.*.self_attn.q_norm", ""}}), says("SP301", "self_attn.q_norm"));                      // 10
  CHECK_THAT(refusal({{"layers.*.mlp.gate_up_proj", "colwise"}}), says("SP106", "layers.0.mlp"));                   // 12
  CHECK_THAT(refusal<mistake_13::model>(
                 plan_with({{"layers.*.mlp.gate_up_proj", ""}, {"layers.*.mlp.down_proj", ""}, {"layers.*.mlp.experts", "moe_tp_experts"},
                            {"layers.*.mlp.experts.gate_up_proj", "packed_colwise"}, {"layers.*.mlp.experts.down_proj", "rowwise"},
                            {"layers.*.mlp.experts.gate_up_proj_bias", "colwise"}}), 4, sp::tokens{2, 5}), says("SP101", "layers.0.mlp.experts.gate_up_proj_bias"));
  CHECK_THAT(refusal({}, 3), says("SP105", "legal 1, 2, 4, 8"));                                                    // 14
  CHECK_THAT(refusal({{"lm_head", ""}}), says("SP404", "lm_head"));                                                 // 21
  CHECK_THAT(refusal({{"layers.*.self_attn.o_proj", "rowise"}}), says("SP205", "layers.*.self_attn.o_proj"));       // 22
  CHECK_THAT(refusal({{"layers.*.mlp.gate_up_prj", "packed_colwise"}}), says("SP202", "layers.*.mlp.gate_up_prj")); // 23
}
TEST_CASE("mistakes of module code are refused when a plan is loaded, with the codes of the compiler") {
  const std::string right = plan_with({}), pending = plan_with({{"layers.*.mlp.down_proj", "rowwise_partial"}});
  const sp::tokens ids{2, 5};
  CHECK_THAT(refusal<mistake_04::model>(pending, 4, ids), says("SP103", "layers.0.mlp"));
  CHECK_THAT(refusal<mistake_05::model>(right, 4, ids), says("SP108", "layers.0.mlp"));
  CHECK_THAT(refusal<mistake_06::model>(pending, 4, ids), says("SP104", "layers.0.mlp"));
  CHECK_THAT(refusal<mistake_07::model>(R"({"layers.*.mlp.gate_up_proj": "packed_colwise", "layers.*.second_mlp.gate_up_proj": "packed_colwise",
      "layers.*.mlp.down_proj": "rowwise_partial", "layers.*.second_mlp.down_proj": "rowwise_partial"})", 4, mistake_07::stream{2, 5, 16}),
             says("SP104", "layers.0."));
  CHECK_THAT(refusal<mistake_08::model>(pending, 4, ids), says("SP103", "layers.0.mlp"));
  CHECK_THAT(refusal<mistake_17::model>(R"({"layers.*.shared_expert.gate_up_proj": "packed_colwise", "layers.*.expert.gate_up_proj": "packed_colwise",
      "layers.*.shared_expert.down_proj": "rowwise", "layers.*.expert.down_proj": "rowwise_partial"})", 4, mistake_17::stream{2, 5, 16}),
             says("SP104", "layers.0."));
  CHECK_THAT(refusal<mistake_18::model>(
                 plan_with({{"layers.*.mlp.gate_up_proj", ""}, {"layers.*.mlp.down_proj", ""}, {"layers.*.mlp.experts.up_proj", "grouped_gemm"},
                            {"layers.*.mlp.experts.down_proj", "grouped_gemm"}}), 4, ids), says("SP102", "layers.0.mlp"));
  CHECK_THAT((refusal<mistake_19::model, mistake_19::my_norm>(plan_with({{"layers.*.input_layernorm", "my_norm"}}), 4, ids, mistake_19::along_seq_too)),
             says("SP301", "layers.0.input_layernorm"));
  CHECK_THAT(refusal<mistake_27::model>(right, 4, ids, mistake_27::on_a_mesh_too), says("SP101", "embed_tokens"));
  CHECK_THAT(refusal<mistake_20::model>(right, 4, ids), says("SP108", "layers.0.mlp"));
  CHECK_THAT(refusal<mistake_28::model>(plan_with({{"layers.*.mlp.gate_up_proj", ""}, {"layers.*.mlp.gate_proj", "colwise_gather_output"},
                                                   {"layers.*.mlp.up_proj", "colwise"}}), 4, ids), says("SP102", "layers.0.mlp"));
}

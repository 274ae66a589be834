// The families with experts, and GPT-2 and Phi-3 whose matrices are fused otherwise: several ranks against one, under their own plan, the
// published one, and with experts dealt to ranks; what config.json says; how checkpoints keep experts.
#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/make.hpp>
#include <shardproof/io/checkpoint.hpp>
#include <shardproof/shardproof.hpp>

using Catch::Matchers::Contains;
using sp::expert_parallel;
using sp::plan_choice;

namespace {

struct known { const char* type; const char* own; };
/// 4 query heads, uneven vocabulary, mlp and experts, 3 layers; what differs from family to family.
const known sparse[] = {
    {"mixtral", R"("num_key_value_heads": 2, "num_local_experts": 5, "num_experts_per_tok": 2)"},
    {"qwen2_moe", R"("num_key_value_heads": 2, "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 11, "shared_expert_intermediate_size": 13, "mlp_only_layers": [1])"},
    {"qwen3_moe", R"("num_key_value_heads": 2, "head_dim": 8, "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 11, "decoder_sparse_step": 2, "norm_topk_prob": true)"},
    {"glm4_moe", R"("num_key_value_heads": 2, "head_dim": 8, "n_routed_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 11, "n_group": 3, "topk_group": 2, "routed_scaling_factor": 1.5)"},
    {"gpt_oss", R"("num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": 3)"},
    {"deepseek_v2", R"("q_lora_rank": null, "kv_lora_rank": 9, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 7, "n_routed_experts": 6, "num_experts_per_tok": 2,
                       "moe_intermediate_size": 11, "first_k_dense_replace": 1, "topk_method": "group_limited_greedy", "n_group": 3, "topk_group": 2)"},
    {"deepseek_v3", R"("q_lora_rank": 10, "kv_lora_rank": 9, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 7, "n_routed_experts": 8, "num_experts_per_tok": 3,
                       "moe_intermediate_size": 11, "first_k_dense_replace": 1, "n_group": 4, "topk_group": 2, "attention_bias": true)"},
    {"llama4_text", R"("num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 5, "num_experts_per_tok": 2, "intermediate_size_mlp": 23, "interleave_moe_layer_step": 2,
                       "no_rope_layers": [1, 0, 1], "attention_chunk_size": 3, "floor_scale": 2, "attn_scale": 0.3)"},
    {"longcat_flash", R"("num_layers": 3, "ffn_hidden_size": 23, "q_lora_rank": 10, "kv_lora_rank": 9, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 7,
                         "n_routed_experts": 5, "zero_expert_num": 3, "moe_topk": 3, "expert_ffn_hidden_size": 11, "num_attention_heads": 4, "hidden_size": 32)"}};
const known fused[] = {{"phi3", R"("num_key_value_heads": 2, "sliding_window": 3)"}, {"gpt2", R"("n_embd": 32, "n_layer": 3, "n_head": 4, "n_inner": 25, "n_positions": 12)"}};

std::string text_of(const std::string& type, const std::string& own, const std::string& more = "") {
  std::string out = "{\"model_type\": \"" + type + "\", \"vocab_size\": 37, " + own;
  if (type != "gpt2" && type != "longcat_flash") out += R"(, "hidden_size": 32, "intermediate_size": 25, "num_hidden_layers": 3, "num_attention_heads": 4)";
  return out + (more.empty() ? "" : ", ") + more + "}";
}
sp::configuration config_of(const known& k, const std::string& more = "") { return sp::read_configuration(text_of(k.type, k.own, more)); }
const known& family(const std::string& type) {
  for (const auto& k : sparse) if (type == k.type) return k;
  for (const auto& k : fused) if (type == k.type) return k;
  throw std::out_of_range(type);
}
std::string refusal(const std::string& type, const std::string& own) {
  try { (void)sp::read_configuration(text_of(type, own)); } catch (const sp::error& e) { return e.what(); }
  return "no error";
}

struct outcome {
  double loss = 0;
  std::vector<double> gradients;
};
outcome step(const sp::configuration& c, plan_choice p, const sp::mesh& mesh, sp::sharing how = {}) {
  outcome out;
  how.tp = mesh.tp;
  how.data_parallel = mesh.dp > 1;
  sp::run(mesh, [&] {
    const auto m = sp::make_causal_lm(c, p, {}, how);
    sp::initialise(m->parameters(), 7, 0.3, sp::dtype::f64);
    const std::vector<long> numbers = {1, 20, 36, 4, 20, 0, 19, 35, 20, 2, 3, 9};
    const auto ids = sp::input(*m, sp::tokens{2, 6}, numbers);
    sp::cache off(sp::cache::options{.on = false});
    auto loss = sp::cross_entropy(m->forward(ids, off), sp::next_tokens(ids));
    sp::backward(loss);
    sp::finish_gradients(m->parameters());
    outcome mine{sp::reduced(loss).item(), {}};
    for (const auto& v : m->parameters()) if (!v.buffer) for (const double g : sp::gathered_gradient(v)) mine.gradients.push_back(g);
    if (sp::first_rank()) out = mine;
  });
  return out;
}
void compare(const outcome& alone, const outcome& shared) {
  double size = 0, off = 0;
  for (const double g : alone.gradients) size = std::max(size, std::abs(g));
  REQUIRE(size > 1e-3);
  CHECK(shared.loss == Approx(alone.loss).epsilon(1e-12));
  REQUIRE(shared.gradients.size() == alone.gradients.size());
  for (std::size_t i = 0; i < alone.gradients.size(); ++i) off = std::max(off, std::abs(shared.gradients[i] - alone.gradients[i]));
  CHECK(off < 1e-11 * size);
}
void agree(const sp::configuration& c, const std::string& label, bool published = true) {
  const outcome alone = step(c, plan_choice::none, {});
  for (const int tp : {2, 4}) {
    INFO(label << ", tp " << tp);
    compare(alone, step(c, plan_choice::automatic, {tp}));
    if (published) compare(alone, step(c, plan_choice::published, {tp}));
    if (!c.moe.experts) continue;
    for (const auto ep : {expert_parallel::masked, expert_parallel::all_to_all}) {
      INFO("experts dealt, engine " << int(ep));
      compare(alone, step(c, plan_choice::automatic, {tp}, {.experts = ep}));
    }
  }
}
/// The stream cut along the sequence (6 tokens over 4 ranks: 2, 2, 2, 0), and sequences dealt to dp beside tp, experts too.
void agree_on_meshes(const sp::configuration& c, const std::string& label) {
  const outcome alone = step(c, plan_choice::none, {});
  std::vector<expert_parallel> ways{expert_parallel::none};
  if (c.moe.experts) ways.insert(ways.end(), {expert_parallel::masked, expert_parallel::all_to_all});
  for (const sp::mesh& mesh : {sp::mesh{2, 1}, {4, 1}, {2, 2}, {4, 2}, {2, 3}, {1, 2}})
    for (const auto ep : ways)
      for (const bool cut : {true, false}) {
        if (!cut && mesh.dp == 1) continue;
        INFO(label << ", tp " << mesh.tp << ", dp " << mesh.dp << (cut ? ", sequence parallel" : "") << ", experts " << int(ep));
        compare(alone, step(c, plan_choice::automatic, mesh, {.experts = ep, .sequence_parallel = cut}));
      }
}
/// One token after the other through a cache against all at once.
double decode_error(const sp::configuration& c, int tp) {
  double worst = 0;
  sp::run(tp, [&] {
    const sp::no_grad none;
    const auto m = sp::make_causal_lm(c, plan_choice::automatic, {}, tp);
    sp::initialise(m->parameters(), 7, 0.3, sp::dtype::f64);
    const std::vector<long> numbers = {1, 20, 36, 4, 20, 0, 19, 35};
    const auto part = [&](long from, long to) { return sp::erased_ids(sp::whole(sp::tokens{1, to - from}, std::vector<long>(numbers.begin() + from, numbers.begin() + to))); };
    sp::cache off(sp::cache::options{.on = false}), kv;
    const auto all = sp::values(sp::full(m->forward(part(0, 8), off)));
    std::vector<double> steps = sp::values(sp::full(m->forward(part(0, 3), kv)));
    for (long t = 3; t < 8; ++t) for (const double x : sp::values(sp::full(m->forward(part(t, t + 1), kv)))) steps.push_back(x);
    double off_by = steps.size() == all.size() ? 0 : 1e9;
    for (std::size_t i = 0; i < all.size() && i < steps.size(); ++i) off_by = std::max(off_by, std::abs(all[i] - steps[i]));
    if (sp::first_rank()) worst = off_by;
  });
  return worst;
}

}  // namespace

TEST_CASE("every family with experts computes on several ranks what it does on one, whichever way experts are shared", "[sparse_families]") {
  for (const auto& k : sparse) agree(config_of(k), k.type);
}
TEST_CASE("fused matrices of heads and matrices stored the other way round are cut by heads, KV heads in copies too", "[sparse_families]") {
  for (const auto& k : fused) agree(config_of(k), k.type);
  agree(sp::read_configuration(text_of("phi3", R"("num_key_value_heads": 1, "tie_word_embeddings": true)")), "phi3, one KV head");
  agree(config_of(family("gpt2"), R"("scale_attn_by_inverse_layer_idx": true, "tie_word_embeddings": false)"), "gpt2");
}
TEST_CASE("families with experts agree where their options are turned", "[sparse_families]") {
  agree(config_of(family("mixtral"), R"("sliding_window": 2, "tie_word_embeddings": true)"), "mixtral");
  agree(config_of(family("qwen2_moe"), R"("qkv_bias": false, "norm_topk_prob": true, "use_sliding_window": true, "sliding_window": 2)"), "qwen2_moe");
  agree(config_of(family("glm4_moe"), R"("use_qk_norm": true, "attention_bias": true, "norm_topk_prob": false)"), "glm4_moe", false);
  CHECK_THROWS_WITH(sp::make_causal_lm(config_of(family("glm4_moe"), R"("use_qk_norm": true)"), plan_choice::published, {}, 2), Contains("SP301") && Contains("q_norm"));
  agree(config_of(family("gpt_oss"), R"("attention_bias": false, "swiglu_limit": 0.1, "swiglu_alpha": 1)"), "gpt_oss");
  agree(config_of(family("deepseek_v3"), R"("rope_parameters": {"rope_type": "yarn", "factor": 4, "mscale": 1, "mscale_all_dim": 0.7, "original_max_position_embeddings": 16})"), "deepseek_v3");
  agree(config_of(family("deepseek_v2"), R"("mlp_bias": true, "attention_bias": true)"), "deepseek_v2, biases");
  agree(config_of(family("llama4_text"), R"("use_qk_norm": false, "attn_temperature_tuning": false, "moe_layers": [0])"), "llama4_text");
}
TEST_CASE("families with experts or fused matrices, the stream cut along the sequence and sequences dealt to dp", "[sparse_families]") {
  for (const auto& k : sparse) agree_on_meshes(config_of(k), k.type);
  for (const auto& k : fused) agree_on_meshes(config_of(k), k.type);
}
TEST_CASE("a token at a time through a cache gives the logits of all at once", "[sparse_families]") {
  for (const auto& k : sparse) {
    INFO(k.type);
    CHECK(decode_error(config_of(k), 2) < 1e-12);
  }
  for (const auto& k : fused) {
    INFO(k.type);
    CHECK(decode_error(config_of(k), 2) < 1e-12);
  }
}

TEST_CASE("experts have the names and shapes of checkpoints", "[sparse_families]") {
  const auto stored = [](const std::string& type, std::string_view name) {
    const auto m = sp::make_causal_lm(config_of(family(type)), plan_choice::automatic, {}, 2);
    for (const auto& v : m->parameters()) if (v.name == name) return std::pair(sp::io::names_of(v), sp::io::block_shape(v));
    return std::pair(std::vector<std::string>{"none"}, std::vector<std::int64_t>{});
  };
  const auto mixtral = stored("mixtral", "model.layers.1.mlp.experts.gate_up_proj");
  REQUIRE(mixtral.first.size() == 10);
  CHECK(mixtral.first[0] == "model.layers.1.block_sparse_moe.experts.0.w1.weight");
  CHECK(mixtral.first[9] == "model.layers.1.block_sparse_moe.experts.4.w3.weight");
  CHECK(mixtral.second == std::vector<std::int64_t>{25, 32});
  CHECK(stored("mixtral", "model.layers.1.mlp.gate.weight").first == std::vector<std::string>{"model.layers.1.block_sparse_moe.gate.weight"});
  const auto down = stored("qwen2_moe", "model.layers.0.mlp.experts.down_proj");
  REQUIRE(down.first.size() == 5);
  CHECK(down.first[3] == "model.layers.0.mlp.experts.3.down_proj.weight");
  CHECK(down.second == std::vector<std::int64_t>{32, 11});
  const auto only = sp::make_causal_lm(sp::read_configuration(text_of("qwen2_moe", R"("num_key_value_heads": 2, "num_experts": 1, "num_experts_per_tok": 1, "moe_intermediate_size": 11)")), plan_choice::automatic, {}, 2);
  for (const auto& v : only->parameters()) if (v.name == "model.layers.0.mlp.experts.down_proj") CHECK(sp::io::block_shape(v) == std::vector<std::int64_t>{32, 11});
  CHECK(stored("gpt_oss", "model.layers.0.mlp.experts.gate_up_proj").second == std::vector<std::int64_t>{5, 32, 50});
  CHECK(stored("llama4_text", "model.layers.1.feed_forward.experts.gate_up_proj").second == std::vector<std::int64_t>{5, 32, 50});
  CHECK(stored("gpt2", "transformer.h.0.attn.c_attn.weight").second == std::vector<std::int64_t>{32, 96});
  CHECK(stored("phi3", "model.layers.0.self_attn.qkv_proj.weight").second == std::vector<std::int64_t>{64, 32});
  CHECK(stored("deepseek_v3", "model.layers.2.mlp.gate.e_score_correction_bias").second == std::vector<std::int64_t>{8});
}

TEST_CASE("what config.json says of experts and latents is read, and refused where it cannot be", "[sparse_families]") {
  const auto v3 = config_of(family("deepseek_v3"));
  CHECK((v3.moe.how.scale == 2.5 && v3.moe.how.renormalised && v3.moe.how.group_by_two && v3.moe.how.groups == 4 && v3.latent.q_rank == 10));
  CHECK((!v3.moe.in_layer(0) && v3.moe.in_layer(1) && v3.attention_scale == Approx(1 / std::sqrt(10.0))));
  const auto v2 = config_of(family("deepseek_v2"));
  CHECK((v2.latent.q_rank == 0 && v2.moe.shared_features == 22 && v2.moe.how.score == sp::router_score::softmax && !v2.moe.how.renormalised));
  const auto q3 = config_of(family("qwen3_moe"));
  CHECK((!q3.moe.in_layer(0) && q3.moe.in_layer(1) && !q3.moe.in_layer(2)));
  const auto l4 = config_of(family("llama4_text"));
  CHECK((l4.turns(0) && !l4.turns(1) && l4.mask_of(0).chunk == 3 && l4.mask_of(1).chunk == 0 && l4.intermediate_size == 23 && l4.moe.features == 25));
  CHECK(config_of(family("gpt2")).hidden_act == sp::activation_kind::gelu_tanh);
  CHECK(config_of(family("phi3"), R"("rope_scaling": {"type": "su", "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2]})").rope.full.type == sp::rope_type::longrope);
  CHECK_THAT(refusal("mixtral", R"("num_key_value_heads": 2, "num_local_experts": 2, "num_experts_per_tok": 3)"), Contains("SP604") && Contains("num_experts_per_tok"));
  CHECK_THAT(refusal("mixtral", R"("num_key_value_heads": 2, "output_router_logits": true)"), Contains("SP606"));
  CHECK_NOTHROW(config_of(family("mixtral"), R"("output_router_logits": true, "router_aux_loss_coef": 0)"));
  CHECK_NOTHROW(config_of(family("deepseek_v3"), R"("output_router_logits": true)"));                     // transformers adds nothing to its loss
  CHECK(config_of(family("mixtral"), R"("num_experts": 4)").moe.experts == 4);                            // another name of num_local_experts, which goes before it
  CHECK(config_of(family("longcat_flash"), R"("num_experts_per_tok": 2, "router_bias": true)").moe.how.chosen == 2);
  const auto oss = config_of(family("gpt_oss"), R"("rope_theta": 1000)").rope.full;                       // yarn where the file is silent
  CHECK((oss.type == sp::rope_type::yarn && oss.factor == 32 && oss.base == 1000 && oss.original_length == 4096 && !oss.truncate));
  CHECK(config_of(family("gpt_oss"), R"("rope_parameters": {"rope_theta": 1000})").rope.full.type == sp::rope_type::standard);
  const auto longrope = [](const char* more) {
    return config_of(family("phi3"), R"("rope_scaling": {"type": "longrope", "original_max_position_embeddings": 16, "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2]})" + std::string(more)).rope.full;
  };
  CHECK(longrope("").original_length == 4096);                               // the one beside goes before the one inside, said or not
  CHECK(longrope(R"(, "original_max_position_embeddings": 8)").original_length == 8);
  CHECK(config_of(family("gpt2"), R"("pad_token_id": 3)").pad_token_id == -1);
  CHECK(sp::read_configuration(text_of("gpt2", R"("n_embd": 35, "n_layer": 1, "n_head": 5)")).head_dim == 7);
  const double plain = v3.attention_scale;
  CHECK(config_of(family("deepseek_v3"), R"("rope_scaling": {"type": "linear", "factor": 4, "mscale_all_dim": 1})").attention_scale > 1.2 * plain);
  CHECK_THAT(refusal("deepseek_v3", R"("n_routed_experts": 9, "n_group": 4, "topk_group": 2)"), Contains("SP604") && Contains("n_group"));
  CHECK_THAT(refusal("deepseek_v3", R"("n_routed_experts": 8, "n_group": 8, "topk_group": 2, "num_experts_per_tok": 3)"), Contains("SP604") && Contains("topk_group"));
  CHECK_THAT(refusal("deepseek_v3", R"("scoring_func": "softmax")"), Contains("SP606") && Contains("scoring_func"));
  CHECK_THAT(refusal("deepseek_v2", R"("q_lora_rank": null)"), Contains("SP604") && Contains("num_experts_per_tok"));
  CHECK_THAT(refusal("deepseek_v2", R"("num_experts_per_tok": 2, "topk_method": "best")"), Contains("SP606") && Contains("topk_method"));
  CHECK_THAT(refusal("llama4_text", R"("num_key_value_heads": 2, "no_rope_layers": [1, 0])"), Contains("SP604") && Contains("no_rope_layers"));
  CHECK_THAT(refusal("gpt_oss", R"("num_key_value_heads": 2, "swiglu_limit": 0)"), Contains("SP604"));
}

TEST_CASE("experts are dealt out where a family has them, under the plans there are", "[sparse_families]") {
  const auto refused = [](const char* type, plan_choice p, std::string_view text, expert_parallel ep) {
    try { (void)sp::make_causal_lm(config_of(family(type)), p, text, 2, ep); } catch (const sp::error& e) { return std::string(e.what()); }
    return std::string("no error");
  };
  CHECK_THAT(refused("phi3", plan_choice::automatic, "", expert_parallel::masked), Contains("SP606") && Contains("has none"));
  CHECK_THAT(refused("mixtral", plan_choice::run_time, "{}", expert_parallel::masked), Contains("SP606") && Contains("a plan by itself"));
  CHECK_THAT(refused("mixtral", plan_choice::none, "", expert_parallel::all_to_all), Contains("SP606"));
  CHECK_THAT(refused("llama4_text", plan_choice::published, "", expert_parallel::all_to_all), Contains("SP606") && Contains("ships no"));
  CHECK(refused("gpt_oss", plan_choice::published, "", expert_parallel::all_to_all) == "no error");
  // Whole groups: what a user's plan leaves out is SP207.
  CHECK_THAT(refused("mixtral", plan_choice::run_time, R"({"layers.*.mlp.experts.gate_up_proj": "packed_colwise", "layers.*.mlp.experts.down_proj": "rowwise"})", expert_parallel::none),
             Contains("SP207") && Contains("model.layers.0.mlp.experts") && Contains("moe_tp_experts"));
  CHECK_THAT(refused("mixtral", plan_choice::run_time, R"({"layers.*.mlp.gate": "ep_router"})", expert_parallel::none), Contains("SP207") && Contains("grouped_gemm"));
  CHECK_THAT(refused("mixtral", plan_choice::run_time, R"({"layers.*.mlp.experts": "colwise"})", expert_parallel::none), Contains("SP204") && Contains("moe_tp_experts"));
  CHECK_THAT(refused("mixtral", plan_choice::run_time, R"({"layers.*.mlp.gate": "colwise"})", expert_parallel::none), Contains("SP204") && Contains("ep_router"));
}

// The dense families beside llama, qwen and mistral: names as in checkpoints, what config.json says, and two ranks against one.
#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/make.hpp>
#include <shardproof/io/checkpoint.hpp>
#include <shardproof/shardproof.hpp>

using sp::plan_choice;

namespace {

const char* const types[] = {"cohere2", "gemma2", "gemma3_text", "glm4", "gpt_neox", "granite", "olmo2", "phi", "starcoder2"};

/// 8 query heads over 4 groups (8 in gpt_neox), an uneven vocabulary and mlp, 2 layers; what `more` says goes before.
std::string text_of(const std::string& type, const std::string& more = "") {
  std::string out = "{\"model_type\": \"" + type + "\"";
  for (const char* entry : {R"("vocab_size": 37)", R"("hidden_size": 32)", R"("intermediate_size": 25)", R"("num_hidden_layers": 2)", R"("num_attention_heads": 8)",
                            R"("head_dim": 4)", R"("num_key_value_heads": 4)"}) {
    const std::string key = std::string(entry).substr(0, std::string(entry).find(':'));
    if (more.find(key) == more.npos && !(type == "gpt_neox" && key == "\"num_key_value_heads\"")) out += std::string(", ") + entry;
  }
  return out + (more.empty() ? "" : ", ") + more + "}";
}
sp::configuration config_of(const std::string& type, const std::string& more = "") { return sp::read_configuration(text_of(type, more)); }

std::string refusal(const std::string& type, const std::string& more) {
  try { config_of(type, more); } catch (const sp::error& e) { return e.what(); }
  return "no error";
}
/// Names of the first layer's parameters, without "....layers.0.".
std::vector<std::string> layer_names(const std::string& type, const std::string& more = "") {
  std::vector<std::string> out;
  const auto m = sp::make_causal_lm(config_of(type, more), plan_choice::automatic, {}, 2);
  for (const auto& v : m->parameters())
    if (const auto at = v.name.find("layers.0."); at != v.name.npos) out.push_back(v.name.substr(at + 9));
  return out;
}
std::vector<std::string> outer_names(const std::string& type, const std::string& more = "") {
  std::vector<std::string> out;
  const auto m = sp::make_causal_lm(config_of(type, more), plan_choice::automatic, {}, 2);
  for (const auto& v : m->parameters()) if (v.name.find("layers.") == v.name.npos) out.push_back(v.name);
  return out;
}
using names = std::vector<std::string>;
using Catch::Matchers::Contains;

struct outcome {
  double loss = 0;
  std::vector<double> gradients;
};
/// `text`: the plan, where it is given at start-up.
outcome step(const sp::configuration& c, plan_choice p, const sp::mesh& mesh, const std::string& text = {}, bool cut = false) {
  outcome out;
  sp::run(mesh, [&] {
    const auto m = sp::make_causal_lm(c, p, text, sp::sharing{.tp = mesh.tp, .sequence_parallel = cut, .data_parallel = mesh.dp > 1});
    sp::initialise(m->parameters(), 7, 0.3, sp::dtype::f64);
    const std::vector<long> numbers = {1, 20, 36, 4, 20, 0, 19, 35, 20, 2, 3, 9};
    const auto ids = sp::input(*m, sp::tokens{2, 6}, numbers);
    sp::cache off(sp::cache::options{.on = false});
    auto loss = sp::cross_entropy(m->forward(ids, off), sp::next_tokens(ids));
    sp::backward(loss);
    sp::finish_gradients(m->parameters());
    outcome mine{sp::reduced(loss).item(), {}};
    for (const auto& v : m->parameters()) for (const double g : sp::gathered_gradient(v)) mine.gradients.push_back(g);
    if (sp::first_rank()) out = mine;
  });
  return out;
}
void agree(const sp::configuration& c, const std::string& label, std::vector<plan_choice> plans = {plan_choice::automatic, plan_choice::published}) {
  const outcome alone = step(c, plan_choice::none, {});
  double size = 0;
  for (const double g : alone.gradients) size = std::max(size, std::abs(g));
  REQUIRE(size > 1e-3);
  const auto compare = [&](const outcome& shared) {
    CHECK(shared.loss == Approx(alone.loss).epsilon(1e-12));
    REQUIRE(shared.gradients.size() == alone.gradients.size());
    double off = 0;
    for (std::size_t i = 0; i < alone.gradients.size(); ++i) off = std::max(off, std::abs(shared.gradients[i] - alone.gradients[i]));
    CHECK(off < 1e-11 * size);
  };
  for (const plan_choice p : plans)
    for (const int tp : {2, 4, 8}) {
      INFO(label << ", plan " << int(p) << ", tp " << tp);
      compare(step(c, p, {tp}));
    }
  // The stream cut along the sequence (6 tokens over 4 ranks: 2, 2, 2, 0), and sequences dealt to dp beside tp.
  for (const sp::mesh& mesh : {sp::mesh{2, 1}, {4, 1}, {8, 1}, {2, 2}, {4, 3}, {1, 2}})
    for (const bool cut : {true, false}) {
      if (!cut && mesh.dp == 1) continue;
      INFO(label << ", tp " << mesh.tp << ", dp " << mesh.dp << (cut ? ", sequence parallel" : ""));
      compare(step(c, plan_choice::automatic, mesh, {}, cut));
    }
}

}  // namespace

TEST_CASE("the dense families' parameters are named as in checkpoints") {
  const names attention = {"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight", "self_attn.o_proj.weight"};
  const auto with = [&](names before, const names& middle, const names& after) {
    before.insert(before.end(), middle.begin(), middle.end());
    before.insert(before.end(), after.begin(), after.end());
    return before;
  };
  const names gated = {"mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"};
  CHECK(layer_names("granite") == with(with({"input_layernorm.weight"}, attention, {"post_attention_layernorm.weight"}), gated, {}));
  CHECK(layer_names("cohere2") == with(with({"input_layernorm.weight"}, attention, gated), {}, {}));
  const names around = {"post_attention_layernorm.weight", "pre_feedforward_layernorm.weight"};
  CHECK(layer_names("gemma2") == with(with(with({"input_layernorm.weight"}, attention, around), gated, {}), {}, {"post_feedforward_layernorm.weight"}));
  const names normed = {"self_attn.q_norm.weight", "self_attn.k_norm.weight"};
  CHECK(layer_names("gemma3_text") == with(with(with({"input_layernorm.weight"}, attention, normed), around, gated), {}, {"post_feedforward_layernorm.weight"}));
  CHECK(layer_names("glm4", R"("attention_bias": false)") ==
        with(with({"input_layernorm.weight"}, attention, {"post_self_attn_layernorm.weight", "post_attention_layernorm.weight"}),
             {"mlp.gate_up_proj.weight", "mlp.down_proj.weight"}, {"post_mlp_layernorm.weight"}));
  CHECK(layer_names("olmo2") == with(with({}, attention, normed), with({"post_attention_layernorm.weight"}, gated, {"post_feedforward_layernorm.weight"}), {}));
  CHECK(layer_names("starcoder2", R"("use_bias": false)") ==
        with(with({"input_layernorm.weight", "input_layernorm.bias"}, attention, {"post_attention_layernorm.weight", "post_attention_layernorm.bias"}),
             {"mlp.c_fc.weight", "mlp.c_proj.weight"}, {}));
  CHECK(layer_names("phi", R"("qk_layernorm": true)") ==
        names{"input_layernorm.weight", "input_layernorm.bias", "self_attn.q_proj.weight", "self_attn.q_proj.bias", "self_attn.k_proj.weight", "self_attn.k_proj.bias",
              "self_attn.v_proj.weight", "self_attn.v_proj.bias", "self_attn.dense.weight", "self_attn.dense.bias", "self_attn.q_layernorm.weight",
              "self_attn.q_layernorm.bias", "self_attn.k_layernorm.weight", "self_attn.k_layernorm.bias", "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight",
              "mlp.fc2.bias"});
  CHECK(layer_names("gpt_neox") ==
        names{"input_layernorm.weight", "input_layernorm.bias", "post_attention_layernorm.weight", "post_attention_layernorm.bias",
              "attention.query_key_value.weight", "attention.query_key_value.bias", "attention.dense.weight", "attention.dense.bias",
              "mlp.dense_h_to_4h.weight", "mlp.dense_h_to_4h.bias", "mlp.dense_4h_to_h.weight", "mlp.dense_4h_to_h.bias"});

  CHECK(outer_names("granite") == names{"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"});
  for (const char* tied : {"cohere2", "gemma2", "gemma3_text"}) CHECK(outer_names(tied) == names{"model.embed_tokens.weight", "model.norm.weight"});
  CHECK(outer_names("starcoder2") == names{"model.embed_tokens.weight", "model.norm.weight", "model.norm.bias"});
  CHECK(outer_names("phi") == names{"model.embed_tokens.weight", "model.final_layernorm.weight", "model.final_layernorm.bias", "lm_head.weight", "lm_head.bias"});
  CHECK(outer_names("gpt_neox") == names{"gpt_neox.embed_in.weight", "gpt_neox.final_layer_norm.weight", "gpt_neox.final_layer_norm.bias", "embed_out.weight"});
}

TEST_CASE("the dense families' options are read, and default to what transformers says") {
  using act = sp::activation_kind;
  for (const char* t : types) CHECK(config_of(t).num_key_value_heads == (std::string(t) == "gpt_neox" ? 8 : 4));
  const auto g = config_of("granite", R"("embedding_multiplier": 3, "attention_multiplier": 0.2, "residual_multiplier": 0.7, "logits_scaling": 2)");
  CHECK((g.embedding_multiplier == 3 && g.mask_of(0).scale == 0.2 && g.residual_multiplier == 0.7 && g.logit_multiplier == 0.5));
  CHECK(config_of("granite").mask_of(0).scale == 1);                        // not head_dim^-1/2
  CHECK_THAT(refusal("granite", R"("logits_scaling": 0)"), Contains("SP604") && Contains("logits_scaling is 0"));

  const auto s = config_of("starcoder2");
  CHECK((s.attention_bias && s.mlp_bias && s.tie_word_embeddings && s.hidden_act == act::gelu_tanh && s.norm_eps == 1e-5 && s.mask_of(0).window == 0));
  CHECK(config_of("starcoder2", R"("sliding_window": 3)").mask_of(1).window == 3);
  CHECK_FALSE(config_of("starcoder2", R"("use_bias": false)").attention_bias);
  CHECK(config_of("starcoder2", R"("residual_dropout": 0.1, "embedding_dropout": 0)").residual_dropout == 0.1);          // as published: it acts in training only
  CHECK_THAT(refusal("starcoder2", R"("residual_dropout": -0.1)"), Contains("SP604") && Contains("residual_dropout"));

  const auto c = config_of("cohere2", R"("num_hidden_layers": 5)");
  CHECK((c.logit_multiplier == 0.0625 && c.tie_word_embeddings && c.pad_token_id == 0 && c.rope.full.interleaved));
  CHECK((c.mask_of(0).window == 4096 && c.mask_of(2).window == 4096 && c.mask_of(3).window == 0 && c.mask_of(4).window == 4096));
  CHECK(config_of("cohere2", R"("sliding_window_pattern": 2)").mask_of(1).window == 0);
  CHECK(config_of("cohere2", R"("hidden_size": 64)").head_dim == 4);      // as the file says

  const auto g2 = config_of("gemma2");
  CHECK((g2.mask_of(0).softcap == 50 && g2.final_softcap == 30 && g2.norm_offset == 1 && g2.embedding_multiplier == std::sqrt(32.0)));
  CHECK((g2.mask_of(0).scale == 1 / 16.0 && g2.mask_of(0).window == 4096 && g2.mask_of(1).window == 0 && g2.hidden_act == act::gelu_tanh));
  CHECK((config_of("gemma2", R"("attn_logit_softcapping": null)").mask_of(0).softcap == 0 && config_of("gemma2", R"("final_logit_softcapping": null)").final_softcap == 0));
  CHECK_THAT(refusal("gemma2", R"("use_bidirectional_attention": true)"), Contains("SP606"));
  CHECK_THAT(refusal("gemma2", R"("final_logit_softcapping": -1)"), Contains("SP604"));

  const auto g3 = config_of("gemma3_text", R"("num_hidden_layers": 7)");
  CHECK((g3.rotary_of(0).base == 1e4 && g3.rotary_of(5).base == 1e6 && g3.mask_of(4).window == 4096 && g3.mask_of(5).window == 0 && g3.mask_of(6).window == 4096));
  const auto older = config_of("gemma3_text", R"("rope_theta": 5e5, "rope_local_base_freq": 2e4, "rope_scaling": {"rope_type": "linear", "factor": 8}, "num_hidden_layers": 6)");
  CHECK((older.rotary_of(5).base == 5e5 && older.rotary_of(5).factor == 8 && older.rotary_of(0).base == 2e4 && older.rotary_of(0).factor == 1));
  const auto newer = config_of("gemma3_text", R"("rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4, "rope_theta": 1e5}, "sliding_attention": {"rope_theta": 1e3}}, "num_hidden_layers": 6)");
  CHECK((newer.rotary_of(5).base == 1e5 && newer.rotary_of(5).factor == 4 && newer.rotary_of(0).base == 1e3));
  CHECK_THAT(refusal("gemma3_text", R"("rope_parameters": {"full_attention": {"rope_theta": 1e5}}, "rope_scaling": {"rope_type": "linear", "factor": 4})"), Contains("SP604"));
  CHECK_THAT(refusal("gemma3_text", R"("rope_parameters": {"rope_theta": 1e5})"), Contains("SP607"));
  CHECK(config_of("gemma3_text", R"("attn_logit_softcapping": 50)").mask_of(0).softcap == 0);             // transformers does not apply it
  CHECK(config_of("gemma3_text", R"("num_hidden_layers": 7, "_sliding_window_pattern": 2)").mask_of(1).window == 4096);
  const auto by_type = config_of("gemma3_text", R"("rope_scaling": {"type": "linear", "factor": 8})");     // rope_type alone is read there
  CHECK((by_type.rope.full.type == sp::rope_type::standard && by_type.rope.full.factor == 1));
  CHECK(config_of("gemma3_text", R"("rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 4, "truncate": false}})").rope.full.truncate);

  const auto z = config_of("glm4");
  CHECK((z.attention_bias && z.rope.full.partial == 0.5 && z.rope.full.interleaved && z.norm_eps == 1.5625e-7));
  CHECK(config_of("glm4", R"("rope_parameters": {"partial_rotary_factor": 1.0})").rope.full.partial == 1);

  const auto o = config_of("olmo2");
  CHECK((!o.attention_bias && o.norm_eps == 1e-5 && o.pad_token_id == 1 && o.mask_of(1).window == 0 && config_of("olmo2", R"("attention_bias": true)").attention_bias));
  CHECK_THAT(refusal("olmo2", R"("sliding_window": 3)"), Contains("SP606") && Contains("sliding_window"));

  const auto p = config_of("phi");
  CHECK((p.hidden_act == act::gelu_tanh && p.rope.full.partial == 0.5 && !p.qk_norm && config_of("phi", R"("qk_layernorm": true)").qk_norm));
  CHECK(outer_names("phi", R"("tie_word_embeddings": true)") == names{"model.embed_tokens.weight", "model.final_layernorm.weight", "model.final_layernorm.bias", "lm_head.bias"});
  CHECK(config_of("phi", R"("resid_pdrop": 0.1)").residual_dropout == 0.1);
  CHECK(config_of("phi", R"("head_dim": 5, "partial_rotary_factor": 0.8)").head_dim == 5);                // four of five features turn
  CHECK_THAT(refusal("phi", R"("head_dim": 5, "partial_rotary_factor": 1.0)"), Contains("SP604") && Contains("head_dim is 5"));

  const auto n = config_of("gpt_neox");
  CHECK((n.attention_bias && n.use_parallel_residual && n.rope.full.partial == 0.25 && n.hidden_act == act::gelu));
  const auto older_n = config_of("gpt_neox", R"("rotary_pct": 0.5, "rotary_emb_base": 5000, "use_parallel_residual": false)");
  CHECK((older_n.rope.full.partial == 0.5 && older_n.rope.full.base == 5000 && !older_n.use_parallel_residual));
  CHECK_THAT(refusal("gpt_neox", R"("num_key_value_heads": 4)"), Contains("SP606"));
  const auto beside = config_of("gpt_neox", R"("rope_theta": 5, "partial_rotary_factor": 1.0)");          // keys of other families
  CHECK((beside.rope.full.base == 1e4 && beside.rope.full.partial == 0.25));
  CHECK(config_of("gpt_neox", R"("pad_token_id": 3)").pad_token_id == -1);  // its table has no silent row
}

TEST_CASE("two, four and eight ranks compute what one does in every dense family, under its own plan and the published one") {
  for (const std::string type : types) agree(config_of(type), type);
}
TEST_CASE("and so they do where the options are turned") {
  agree(config_of("granite", R"("attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true, "residual_multiplier": 0.5, "logits_scaling": 3, "embedding_multiplier": 2)"), "granite");
  agree(config_of("starcoder2", R"("use_bias": false, "tie_word_embeddings": false, "sliding_window": 2)"), "starcoder2");
  agree(config_of("cohere2", R"("attention_bias": true, "tie_word_embeddings": false, "sliding_window": 2, "sliding_window_pattern": 2)"), "cohere2");
  agree(config_of("gemma2", R"("sliding_window": 2, "attention_bias": true, "tie_word_embeddings": false)"), "gemma2");
  agree(config_of("gemma3_text", R"("sliding_window": 2, "sliding_window_pattern": 2, "final_logit_softcapping": 4)"), "gemma3_text");
  agree(config_of("glm4", R"("attention_bias": false, "tie_word_embeddings": true)"), "glm4");
  agree(config_of("olmo2", R"("attention_bias": true, "tie_word_embeddings": true, "num_key_value_heads": 2)"), "olmo2");
  agree(config_of("phi", R"("tie_word_embeddings": true)"), "phi, tied");
  agree(config_of("cohere2", R"("hidden_size": 24, "num_key_value_heads": 8)"), "cohere2, wide heads");
  // transformers' plan leaves the norms on sharded heads without a synchronised gradient.
  const auto normed = config_of("phi", R"("qk_layernorm": true)");
  agree(normed, "phi", {plan_choice::automatic});
  CHECK_THROWS_WITH(sp::make_causal_lm(normed, plan_choice::published, {}, 2), Contains("SP301") && Contains("q_layernorm"));
  agree(config_of("gpt_neox", R"("use_parallel_residual": false, "attention_bias": false, "tie_word_embeddings": true)"), "gpt_neox");
}

TEST_CASE("a norm over all heads is flat in a file, and takes one number a token from the other ranks") {
  const auto c = config_of("olmo2");
  for (const plan_choice p : {plan_choice::automatic, plan_choice::published}) {
    const auto m = sp::make_causal_lm(c, p, {}, 4);
    int norms = 0;
    for (const auto& v : m->parameters()) {
      if (v.name.find("_norm.weight") == v.name.npos || v.name.find("self_attn") == v.name.npos) continue;
      ++norms;
      const long all = v.name.find("q_norm") != v.name.npos ? 32 : 16;
      CHECK(sp::io::stored_shape(v) == std::vector<std::int64_t>{all});
      CHECK(v.local_count({{1, 0, 0}, {4, 1, 1}}) == (p == plan_choice::automatic ? double(all) / 4 : double(all)));
    }
    CHECK(norms == 4);
  }
  // Under a text that leaves the norms out, the heads they are to be taken over are missing on every rank.
  const std::string text = R"({"model.layers.*.self_attn.q_proj": "colwise", "model.layers.*.self_attn.k_proj": "colwise",
      "model.layers.*.self_attn.v_proj": "colwise", "model.layers.*.self_attn.o_proj": "rowwise")";
  CHECK_THROWS_WITH(sp::make_causal_lm(c, plan_choice::run_time, text + "}", 2), Contains("SP101") && Contains("q_norm") && Contains("sharded_norm"));
  const std::string norms = R"(,
      "model.layers.*.self_attn.q_norm": "sharded_norm", "model.layers.*.self_attn.k_norm": "sharded_norm"})";
  const outcome alone = step(c, plan_choice::none, {});
  for (const int tp : {1, 2, 3, 4, 8}) {
    INFO("tp " << tp);
    if (tp == 3) {                                                          // 4 groups of heads
      CHECK_THROWS_WITH(sp::make_causal_lm(c, plan_choice::run_time, text + norms, tp), Contains("SP105"));
      continue;
    }
    const outcome shared = step(c, plan_choice::run_time, {tp}, text + norms);
    CHECK(shared.loss == Approx(alone.loss).epsilon(1e-12));
    REQUIRE(shared.gradients.size() == alone.gradients.size());
    double off = 0;
    for (std::size_t i = 0; i < alone.gradients.size(); ++i) off = std::max(off, std::abs(shared.gradients[i] - alone.gradients[i]));
    CHECK(off < 1e-11);
  }
  // A style for the outputs of linear layers is not one for norms.
  const auto colwise = R"({"model.layers.*.self_attn.q_norm": "colwise"})";
  CHECK_THROWS_WITH(sp::make_causal_lm(c, plan_choice::run_time, colwise, 2), Contains("SP204") && Contains("q_norm"));
}

/// report/: what explain says equals a count by hand and the shapes that a rank really gets; a lint finds all that is wrong at once.
#include <string>
#include <catch2/catch.hpp>
#include <shardproof/report/explanation.hpp>
#include <shardproof/report/findings.hpp>
#include <shardproof/shardproof.hpp>

namespace {
sp::configuration little_llama(const std::string& more = "") {
  return sp::read_configuration(R"({"model_type": "llama", "vocab_size": 37, "hidden_size": 16, "intermediate_size": 26,
      "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 4)" + more + "}");
}
sp::io::json_tree tree_of(std::string_view text) {
  auto parsed = sp::io::json_tree::parse(text);
  REQUIRE_FALSE(parsed.wrong);
  return parsed.value;
}
sp::plan_findings lint(const char* text, int tp = 2) {
  sp::plan_findings f = sp::lint_plan(tree_of(text), "plan.json");
  sp::lint_against(f, little_llama(), tp);
  return f;
}
int count_of(const sp::plan_findings& f, int number) {
  int n = 0;
  for (const auto& one : f.found) n += !one.note() && sp::number(one.is) == number;
  return n;
}
const std::string right = R"("model.embed_tokens": "embedding_rowwise", "lm_head": "colwise",
    "model.layers.*.self_attn.q_proj": "colwise", "model.layers.*.self_attn.k_proj": "colwise", "model.layers.*.self_attn.v_proj": "colwise",
    "model.layers.*.self_attn.o_proj": "rowwise", "model.layers.*.mlp.gate_proj": "colwise", "model.layers.*.mlp.up_proj": "colwise",
    "model.layers.*.mlp.down_proj": "rowwise")";
}  // namespace

TEST_CASE("an explanation gives each rank's part as the checkpoint would store it") {
  const auto lm = sp::make_causal_lm(little_llama(), sp::plan_choice::automatic, {}, 4);
  const sp::explanation e = sp::explain(*lm, sp::ranks{4}, sp::tokens{2, 5}, sp::dtype::bf16);
  REQUIRE(e.parameters.size() == lm->parameters().size());
  double weights = 0;
  for (const auto& p : e.parameters) {
    INFO(p.name);
    REQUIRE(p.ranks.size() == 4);
    weights += double(p.ranks[0].bytes);
    if (p.name == "model.embed_tokens.weight") {                       // 37 rows: 10, 10, 10, 7
      CHECK(p.shape == std::vector<std::int64_t>{37, 16});
      CHECK(p.ranks[3].shape == std::vector<std::int64_t>{7, 16});
      CHECK(p.ranks[3].bytes == 7 * 16 * 2);
    }
    if (p.name == "model.layers.1.self_attn.k_proj.weight") {          // two KV heads of four on four ranks: each held twice
      CHECK(p.shape == std::vector<std::int64_t>{8, 16});
      for (const auto& r : p.ranks) CHECK(r.shape == std::vector<std::int64_t>{4, 16});
    }
    if (p.name == "model.layers.0.mlp.down_proj.weight") {             // 26 columns: 7, 7, 7, 5
      CHECK(p.ranks[0].shape == std::vector<std::int64_t>{16, 7});
      CHECK(p.ranks[3].shape == std::vector<std::int64_t>{16, 5});
    }
  }
  CHECK(e.memory.weights == weights);
  CHECK(e.memory.gradients == 2 * weights);                            // f32 gradients of bf16 weights
  CHECK(e.memory.optimizer == 3 * e.memory.gradients);                 // two moments and the masters
  CHECK(e.memory.kv_cache > 0);
  CHECK(e.memory.activations > 0);
  for (const auto& v : lm->parameters()) CHECK_FALSE(*v.at);           // nothing was allocated
}
TEST_CASE("an explanation's collectives are those of the step, layer by layer") {
  const auto lm = sp::make_causal_lm(little_llama(), sp::plan_choice::automatic, {}, 2);
  const sp::explanation e = sp::explain(*lm, sp::ranks{2}, sp::tokens{2, 5}, sp::dtype::f32);
  int forward = 0, backward = 0;
  double bytes = 0;
  std::string last;
  std::vector<std::string> layers;
  for (const auto& c : e.collectives) {
    (c.forward ? forward : backward) += c.calls;
    if (c.forward) bytes += c.bytes;
    if (c.layer != last) layers.push_back(last = c.layer);
    if (c.layer == "model.layers.*.self_attn.o_proj" || c.layer == "model.layers.0.self_attn.o_proj") {
      CHECK(c.what == sp::collective::all_reduce);
      CHECK(c.forward);
      CHECK(c.bytes == double(c.calls) * 2 * 5 * 16 * 4);              // batch x seq x hidden, f32
    }
  }
  CHECK(forward == e.step.forward.collectives());
  CHECK(backward == e.step.backward.collectives());
  CHECK(bytes == e.step.forward.bytes);
  CHECK(forward >= 1 + 2 * 2 + 1);                                     // table, two a layer, the loss
  std::vector<std::string> once = layers;
  std::sort(once.begin(), once.end());
  CHECK(std::unique(once.begin(), once.end()) == once.end());          // a layer's collectives stand together
  const auto alone = sp::explain(*sp::make_causal_lm(little_llama(), sp::plan_choice::automatic, {}, 1), sp::ranks{1}, sp::tokens{2, 5}, sp::dtype::f32);
  CHECK(alone.step.forward.bytes == 0);
  CHECK_THROWS_WITH(sp::explain(*lm, sp::ranks{3}, sp::tokens{2, 5}, sp::dtype::f32), Catch::Contains("SP105"));
}
TEST_CASE("a right plan has no finding") {
  const auto f = lint(("{" + right + "}").c_str());
  for (const auto& one : f.found) INFO(one.message);
  CHECK(f.rules.size() == 9);
  CHECK(std::none_of(f.found.begin(), f.found.end(), [](const auto& one) { return !one.note(); }));
}
TEST_CASE("one lint finds everything: the text's faults, rules without layers, and what is left of the forward") {
  const auto f = lint((R"({"model.layers.*.mlp.gate_prj": "colwise", "lm_hed": "colwise", "model.norm": "rowwise", "a..b": "colwise",
      "model.layers.*.x": "colwize", "model.layers.*.y": 3, )" + right.substr(0, right.find("\"model.layers.*.mlp.down_proj\"")) +
                       R"("model.layers.*.mlp.down_proj": "colwise"})").c_str());
  CHECK(count_of(f, 205) == 1);
  CHECK(count_of(f, 206) == 2);
  CHECK(count_of(f, 202) == 2);
  CHECK(count_of(f, 204) == 1);
  CHECK(count_of(f, 101) == 1);
  for (const auto& one : f.found) CHECK(one.message.find('\n') == std::string::npos);
}
TEST_CASE("older names are notes, explain's document is a plan, and no object is SP206") {
  CHECK(sp::lint_plan(tree_of(R"({"a": "colwise_rep"})"), "p").found.at(0).note());
  CHECK(sp::lint_plan(tree_of(R"({"a": "colwise_rep"})"), "p").rules.at(0).second == "colwise_gather_output");
  CHECK(sp::lint_plan(tree_of(R"({"tp": 2, "plan": {"a": {"style": "rowwise"}}})"), "p").rules.at(0).second == "rowwise");
  CHECK_THROWS_WITH(sp::lint_plan(tree_of("[1]"), "p.json"), Catch::StartsWith("shardproof[SP206] p.json"));
}
TEST_CASE("rank counts that cannot share the model are found with the legal ones") {
  const auto f = lint(("{" + right + "}").c_str(), 3);
  REQUIRE(count_of(f, 105) >= 1);
  CHECK(sp::self.where.ranks[0] == 1);                                 // the imagined mesh is gone
}

// families/*, model/dry_check.hpp: names as in checkpoints, four kinds of plan, and what a wrong plan is refused with, before any data.
#include <catch2/catch.hpp>
#include <string>
#include <vector>
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/make.hpp>
#include <shardproof/shardproof.hpp>

namespace families = sp::families;
using sp::plan_choice;

namespace {

const char* const types[] = {"llama", "qwen2", "qwen3", "mistral"};

/// 8 query heads over 4 groups, an uneven vocabulary, 2 layers.
sp::configuration config_of(const std::string& type, const std::string& more = "") {
  return sp::read_configuration("{\"model_type\": \"" + type + R"(", "vocab_size": 37, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
      "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 4)" + (more.empty() ? "" : ", ") + more + "}");
}
std::vector<std::string> names(sp::causal_lm& m) {
  std::vector<std::string> out;
  for (const auto& v : m.parameters()) out.push_back(v.name);
  return out;
}
/// The names of a checkpoint, from the lists of one layer's attention and mlp.
std::vector<std::string> checkpoint(std::vector<std::string> attention, std::vector<std::string> mlp, bool head) {
  std::vector<std::string> out{"model.embed_tokens.weight"};
  for (const char* layer : {"model.layers.0.", "model.layers.1."}) {
    out.push_back(layer + std::string("input_layernorm.weight"));
    for (const auto& a : attention) out.push_back(layer + std::string("self_attn.") + a);
    out.push_back(layer + std::string("post_attention_layernorm.weight"));
    for (const auto& m : mlp) out.push_back(layer + std::string("mlp.") + m);
  }
  out.push_back("model.norm.weight");
  if (head) out.push_back("lm_head.weight");
  return out;
}
const std::string q = "model.layers.*.self_attn.q_proj", k = "model.layers.*.self_attn.k_proj", v = "model.layers.*.self_attn.v_proj", o = "model.layers.*.self_attn.o_proj";
const std::string gate = "model.layers.*.mlp.gate_proj", up = "model.layers.*.mlp.up_proj", down = "model.layers.*.mlp.down_proj", table = "model.embed_tokens";
std::string plan_text(const families::plan_rules& rules) { return families::text_of(rules); }
const families::plan_rules mlp_rules = {{gate, "colwise"}, {up, "colwise"}, {down, "rowwise"}};
const families::plan_rules attention_rules = {{q, "colwise"}, {k, "colwise"}, {v, "colwise"}, {o, "rowwise"}};

/// Number of the code that a plan is refused with; 0 if it is accepted. The message in `said`.
int refused(const std::string& type, const std::string& plan, const std::string& more = "", int tp = 2, std::string* said = nullptr) {
  try {
    sp::make_causal_lm(config_of(type, more), plan_choice::run_time, plan, tp);
  } catch (const sp::error& e) {
    if (said) *said = e.what();
    return sp::number(e.which());
  }
  return 0;
}

}  // namespace

TEST_CASE("parameters are named as in checkpoints, under every kind of plan") {
  const std::vector<std::string> plain = {"q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight"};
  const std::vector<std::string> all_biased = {"q_proj.weight", "q_proj.bias", "k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias", "o_proj.weight", "o_proj.bias"};
  const std::vector<std::string> qkv_biased = {"q_proj.weight", "q_proj.bias", "k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias", "o_proj.weight"};
  const std::vector<std::string> norms = {"q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight", "q_norm.weight", "k_norm.weight"};
  const std::vector<std::string> mlp = {"gate_proj.weight", "up_proj.weight", "down_proj.weight"};
  const std::vector<std::string> biased_mlp = {"gate_proj.weight", "gate_proj.bias", "up_proj.weight", "up_proj.bias", "down_proj.weight", "down_proj.bias"};
  std::vector<std::string> norms_and_biases = all_biased;
  norms_and_biases.insert(norms_and_biases.end(), {"q_norm.weight", "k_norm.weight"});
  const struct { const char *type, *more; std::vector<std::string> want; } cases[] = {
      {"llama", "", checkpoint(plain, mlp, true)},
      {"llama", R"("tie_word_embeddings": true)", checkpoint(plain, mlp, false)},
      {"llama", R"("attention_bias": true, "mlp_bias": true)", checkpoint(all_biased, biased_mlp, true)},
      {"llama", R"("mlp_bias": true)", checkpoint(plain, biased_mlp, true)},
      {"qwen2", "", checkpoint(qkv_biased, mlp, true)},
      {"qwen2", R"("tie_word_embeddings": true)", checkpoint(qkv_biased, mlp, false)},
      {"qwen3", "", checkpoint(norms, mlp, true)},
      {"qwen3", R"("attention_bias": true)", checkpoint(norms_and_biases, mlp, true)},
      {"mistral", "", checkpoint(plain, mlp, true)},
      {"mistral", R"("tie_word_embeddings": true, "sliding_window": null)", checkpoint(plain, mlp, false)},
  };
  for (const auto& c : cases)
    for (const plan_choice p : {plan_choice::automatic, plan_choice::published, plan_choice::none}) {
      INFO(c.type << " " << c.more << " plan " << int(p));
      const auto m = sp::make_causal_lm(config_of(c.type, c.more), p, {}, 2);
      CHECK(names(*m) == c.want);
      CHECK(m->vocabulary() == 37);
      CHECK(m->layers() == 2);
    }
}

TEST_CASE("what each rank holds follows from the plan and the extents of the file") {
  const auto m = sp::make_causal_lm(config_of("qwen2"), plan_choice::automatic, {}, 8);      // 4 groups on 8 ranks: copies
  const sp::spot first{{0, 0, 0}, {8, 1, 1}}, last{{7, 0, 0}, {8, 1, 1}};
  for (const auto& p : m->parameters()) {
    INFO(p.name);
    if (p.name == "model.embed_tokens.weight" || p.name == "lm_head.weight") {
      CHECK(p.local_shape(first) == sp::shape{5, 16});
      CHECK(p.local_shape(last) == sp::shape{2, 16});
    } else if (p.name.ends_with("q_proj.bias")) CHECK(p.local_shape(first) == sp::shape{1, 4});
    else if (p.name.ends_with("k_proj.weight")) {
      CHECK(p.local_shape(first) == sp::shape{1, 4, 16});
      CHECK(p.copies(8) == 2);
    } else if (p.name.ends_with("o_proj.weight")) CHECK(p.local_shape(first) == sp::shape{16, 1, 4});
    else if (p.name.ends_with("down_proj.weight")) CHECK(p.local_shape(last) == sp::shape{16, 3});
    else if (p.name.ends_with("norm.weight")) CHECK(p.local_shape(last) == sp::shape{16});
  }
}

TEST_CASE("a dry run counts what a training step communicates, under constexpr and run-time plans alike") {
  for (const std::string type : types) {
    const int norms = type == "qwen3" ? 2 : 0;
    const auto automatic = sp::make_causal_lm(config_of(type), plan_choice::automatic, {}, 4);
    const sp::ledger a = sp::dry_check(*automatic, sp::ranks{4}, sp::tokens{2, 5});
    INFO(type);
    CHECK(a.forward.all_reduces == 1 + 2 * 2 + 2);                       // table, 2 a layer, 2 for the loss
    CHECK(a.backward.all_reduces == (2 + norms) * 2 + 1);                // 2 a layer and the norms on heads; 1 at the head's input
    CHECK(a.forward.collectives() + a.backward.collectives() == a.forward.all_reduces + a.backward.all_reduces);
    // A rank's logits are its part of the vocabulary: the loss moves two numbers a token, and one for the maximum.
    CHECK(a.forward.bytes == 4.0 * (2 * 5 * 16 * 5 + 2 * 5 * 3));

    families::plan_rules same;
    for (const auto& rule : automatic->plan()) same.push_back(rule);
    const auto again = sp::make_causal_lm(config_of(type), plan_choice::run_time, plan_text(same), 4);
    CHECK(again->plan() == automatic->plan());
    CHECK(sp::dry_check(*again, sp::ranks{4}, sp::tokens{2, 5}) == a);   // the list of rules is the plan itself

    const auto published = sp::make_causal_lm(config_of(type), plan_choice::published, {}, 4);
    const sp::ledger p = sp::dry_check(*published, sp::ranks{4}, sp::tokens{2, 5});
    CHECK(p.forward.all_reduces == 2 * 2);                               // the table is whole, and so are gathered logits
    CHECK(p.forward.all_gathers == 1);
    const auto none = sp::make_causal_lm(config_of(type), plan_choice::none, {}, 4);
    CHECK(sp::dry_check(*none, sp::ranks{4}, sp::tokens{2, 5}).forward.collectives() == 0);
    CHECK(none->notes().empty());

    const sp::ledger prompt = sp::dry_check(*automatic, sp::ranks{4}, sp::tokens{1, 6}, {.training = false});
    CHECK(prompt.backward.collectives() == 0);
    CHECK(prompt.cache_bytes == 2 * 2 * 6 * 4 * 4.0);                    // layers * (k, v) * tokens * head_dim * 4 bytes: one head a rank
    CHECK(sp::dry_check(*automatic, sp::ranks{1}, sp::tokens{2, 5}).forward.collectives() == 0);
  }
}

TEST_CASE("a dry run leaves the rank and the model as they were") {
  const auto m = sp::make_causal_lm(config_of("qwen3"), plan_choice::automatic, {}, 2);
  sp::initialise(m->parameters(), 1);
  std::vector<const void*> nodes;
  for (const auto& p : m->parameters()) nodes.push_back(p.at->get());
  sp::ledger book;
  sp::self.book = &book;
  const sp::context before = sp::self;
  (void)sp::dry_check(*m, sp::ranks{2}, sp::tokens{2, 5});
  CHECK_THROWS_AS(sp::dry_check(*m, sp::ranks{3}, sp::tokens{2, 5}), sp::error);
  CHECK(sp::self.where == before.where);
  CHECK(sp::self.on == before.on);
  CHECK(sp::self.world == before.world);
  CHECK(sp::self.device == before.device);
  CHECK(sp::self.book == before.book);
  CHECK(sp::self.tape == before.tape);
  CHECK(sp::self.dry == before.dry);
  CHECK(sp::self.layer == before.layer);
  sp::self.book = nullptr;
  CHECK(book == sp::ledger{});
  std::size_t i = 0;
  for (const auto& p : m->parameters()) {
    CHECK(p.at->get() == nodes[i++]);
    CHECK((*p.at)->data);
  }
}

TEST_CASE("a plan that breaks a rule is refused with its code before any data") {
  using families::plan_rules;
  const auto with = [](plan_rules a, const plan_rules& b) { a.insert(a.end(), b.begin(), b.end()); return plan_text(a); };
  std::string said;
  // Well-formed ones first, else the refusals would prove nothing.
  for (const char* t : types) {
    if (std::string(t) != "qwen3") CHECK(refused(t, with(attention_rules, mlp_rules)) == 0);
    CHECK(refused(t, plan_text(mlp_rules)) == 0);
    CHECK(refused(t, "{}") == 0);

    CHECK(refused(t, plan_text({{down, "rowwise"}}), "", 2, &said) == 101);
    CHECK(said.find("at model.layers.0.mlp.down_proj, style rowwise") != said.npos);
    CHECK(said.find("rowwise_split_input") != said.npos);
    CHECK(refused(t, plan_text({{down, "rowwise_split_input"}})) == 0);                            // the printed fix
    CHECK(refused(t, plan_text({{gate, "colwise"}, {up, "colwise"}}), "", 2, &said) == 101);       // whole down_proj fed a shard
    CHECK(refused(t, plan_text({{gate, "colwise"}})) == 102);                                      // a shard times a whole
    CHECK(refused(t, plan_text({{q, "colwise"}, {k, "colwise"}, {o, "rowwise"}}), "", 2, &said) == (std::string(t) == "qwen3" ? 301 : 101));
    CHECK(refused(t, plan_text({{gate, "colwise"}, {up, "colwise"}, {down, "rowwise_partial"}}), "", 2, &said) == 104);   // residual + pending sum
    CHECK(refused(t, plan_text({{"model.layers.*.mlp.dwn_proj", "rowwise"}}), "", 2, &said) == 202);
    CHECK(said.find("nearest layer model.layers.0.mlp.down_proj") != said.npos);
    CHECK(refused(t, with(mlp_rules, {{"model.layers.1.mlp.down_proj", "rowwise"}})) == 203);
    CHECK(refused(t, plan_text({{"model.norm", "rowwise"}}), "", 2, &said) == 204);
    CHECK(said.find("replicated") != said.npos);
    CHECK(refused(t, plan_text({{down, "rowise"}}), "", 2, &said) == 205);
    CHECK(said.find("did you mean \"rowwise\"") != said.npos);
    CHECK(refused(t, plan_text({{"model.layers.*..q_proj", "colwise"}})) == 206);
    CHECK(refused(t, plan_text({{"model.lay*.q_proj", "colwise"}})) == 206);
    CHECK(refused(t, "{") == 206);
    CHECK(refused(t, "[]") == 206);
    CHECK(refused(t, plan_text({{table, "embedding_rowwise"}}), R"("tie_word_embeddings": true)") == 404);
    CHECK(refused(t, plan_text({{"lm_head", "colwise"}}), R"("tie_word_embeddings": true)") == 404);
    CHECK(refused(t, plan_text({{table, "embedding_rowwise"}, {"lm_head", "colwise"}}), R"("tie_word_embeddings": true)") == 0);
    CHECK(refused(t, plan_text({{table, "embedding_rowwise"}})) == 0);
  }
  CHECK(refused("qwen3", plan_text(attention_rules), "", 2, &said) == 301);                        // norms on heads without a gradient style
  CHECK(said.find("model.layers.0.self_attn.q_norm") != said.npos);
  CHECK(refused("qwen3", with(attention_rules, {{"model.layers.*.self_attn.q_norm", "replicated_with_grad_allreduce"}, {"model.layers.*.self_attn.k_norm", "replicated_with_grad_allreduce"}})) == 0);
  // A pending sum with a bias is a pending sum: the residual may not be added to it.
  CHECK(refused("llama", plan_text({{gate, "colwise"}, {up, "colwise"}, {down, "rowwise_partial"}}), R"("mlp_bias": true)") == 104);
  // Layers may differ in a run-time plan.
  CHECK(refused("llama", plan_text({{"model.layers.1.mlp.gate_proj", "colwise"}, {"model.layers.1.mlp.up_proj", "colwise"}, {"model.layers.1.mlp.down_proj", "rowwise"}})) == 0);
  CHECK(refused("llama", plan_text({{"model.layers.1.mlp.down_proj", "rowwise"}}), "", 2, &said) == 101);
  CHECK(said.find("at model.layers.1.mlp.down_proj") != said.npos);
}

TEST_CASE("ranks that cannot share the heads are refused with the counts that can") {
  for (const char* t : types)
    for (const plan_choice p : {plan_choice::automatic, plan_choice::published})
      for (int tp : {1, 2, 3, 4, 5, 6, 7, 8}) {
        const bool legal = tp == 1 || tp == 2 || tp == 4 || tp == 8;
        INFO(t << " " << tp);
        if (legal) CHECK_NOTHROW(sp::make_causal_lm(config_of(t), p, {}, tp));
        else CHECK_THROWS_WITH(sp::make_causal_lm(config_of(t), p, {}, tp), Catch::Contains("shardproof[SP105]") && Catch::Contains("ranks " + std::to_string(tp)) && Catch::Contains("legal 1, 2, 4, 8"));
      }
  for (int tp : {3, 5, 7, 16}) CHECK_NOTHROW(sp::make_causal_lm(config_of("llama"), plan_choice::none, {}, tp));
  CHECK_NOTHROW(sp::make_causal_lm(config_of("llama"), plan_choice::run_time, plan_text(mlp_rules), 7));     // ffn 24 over 7 ranks is uneven, and legal
}

TEST_CASE("transformers' plans are imported, each repair said once") {
  for (const char* t : types) {
    const auto m = sp::make_causal_lm(config_of(t), plan_choice::published, {}, 2);
    CHECK(m->notes().size() == 3);                                       // joined, prefix, and SP201 for the table, which their plans leave whole
    CHECK(m->notes()[2].find("SP201") != std::string::npos);
    CHECK(m->notes()[2].find("model.embed_tokens") != std::string::npos);
    const auto tied = sp::make_causal_lm(config_of(t, R"("tie_word_embeddings": true)"), plan_choice::published, {}, 2);
    CHECK(tied->notes().size() == 3);
    CHECK(tied->notes()[2] == "model.embed_tokens is tied to the head, which is sharded, and gets the style embedding_rowwise.");
    CHECK(tied->plan().back() == std::pair<std::string, std::string>{"model.embed_tokens", "embedding_rowwise"});
  }
  const families::published_plan p{R"({"layers.*.mlp.up_proj": "colwise", "layers.*.mlp.experts": "grouped_gemm"})", R"({"lm_head": "colwise_rep"})", "model.", "model.embed_tokens"};
  const families::imported_plan i = families::import_plan(p, {"model.embed_tokens", "model.layers.0.mlp.up_proj", "lm_head"}, true);
  CHECK(families::rules_of(i.text) == families::plan_rules{{"model.layers.*.mlp.up_proj", "colwise"}, {"?model.layers.*.mlp.experts", "grouped_gemm"},
                                                           {"lm_head", "colwise_rep"}, {"model.embed_tokens", "embedding_rowwise"}});
  CHECK(i.notes.size() == 4);
  CHECK(families::import_plan(p, {"model.layers.0.mlp.up_proj", "model.layers.0.mlp.experts", "lm_head"}, false).notes.size() == 2);
}

TEST_CASE("a plan of one's own may name layers in either frame, and is never mended") {
  const std::string relative = plan_text({{"layers.*.mlp.gate_proj", "colwise"}, {"layers.*.mlp.up_proj", "colwise"}, {"?layers.*.mlp.down_proj.weight", "rowwise"}, {"lm_head", "colwise_rep"}});
  const auto m = sp::make_causal_lm(config_of("llama"), plan_choice::run_time, relative, 2);
  CHECK(m->plan()[0] == std::pair<std::string, std::string>{gate, "colwise"});
  CHECK(m->plan()[2] == std::pair<std::string, std::string>{"?model.layers.*.mlp.down_proj.weight", "rowwise"});
  CHECK(m->plan()[3] == std::pair<std::string, std::string>{"lm_head", "colwise_gather_output"});
  CHECK(m->notes()[0] == "the style colwise_rep of the rule lm_head is an older name of colwise_gather_output.");
  CHECK(m->notes()[1] == "3 of the plan's 4 rules name layers of the base model and are read as model....");
  std::string said;
  CHECK(refused("llama", plan_text({{"layers.0.mlp.down_proj", "rowwise"}}), "", 2, &said) == 101);
  CHECK(said.find("at model.layers.0.mlp.down_proj") != said.npos);
  CHECK(refused("llama", plan_text({{"layers.7.mlp.down_proj", "rowwise"}})) == 202);                 // no such layer
  CHECK(refused("llama", plan_text({{"layers.*.mlp.down_proj", "rowwise"}, {"model.layers.*.mlp.down_proj", "rowwise"}})) == 203);
  CHECK(refused("llama", plan_text({{"lm_head", "colwise"}}), R"("tie_word_embeddings": true)") == 404);   // the published plan gets a repair here
}

namespace {

struct wide : sp::dim<> {};
struct narrow : sp::dim<16> {};
template <class At> struct fused_mlp {
  SP_LAYER(gate_up_proj, sp::linear<narrow, sp::fused<wide, wide>>);
  SP_LAYER(down_proj, sp::linear<wide, narrow>);
  constexpr auto forward(const auto& x) const {
    auto [g, u] = sp::split(gate_up_proj(x));
    return down_proj(sp::silu(g) * u);
  }
};
template <class At> struct one_block {
  SP_LAYER(embed, sp::embedding<wide, narrow>);
  SP_LAYER(mlp, sp::block<fused_mlp>);
  constexpr auto forward(const auto& ids, auto&&) const { return mlp(embed(ids)); }
};
inline constexpr sp::run_time_plan<> from_text;
const sp::extent_table wide_is_24 = [] { sp::extent_table t; t.set<wide>(24); return t; }();

int refused_block(const char* text) {
  one_block<sp::at<from_text>> m;
  sp::set_extents(m, &wide_is_24);
  try {
    sp::bind(m, sp::parse_plan(text), 2);
    (void)sp::dry_run(m, sp::ranks{2}, sp::tokens{2, 5});
  } catch (const sp::error& e) { return sp::number(e.which()); }
  return 0;
}

}  // namespace

TEST_CASE("a model of one's own under a run-time plan is checked by the same dry run") {
  CHECK(refused_block(R"({"mlp.gate_up_proj": "packed_colwise", "mlp.down_proj": "rowwise"})") == 0);
  CHECK(refused_block(R"({"mlp.gate_up_proj": "colwise", "mlp.down_proj": "rowwise"})") == 106);      // split of one block
  CHECK(refused_block(R"({"mlp.gate_up_proj": "packed_colwise"})") == 101);
  one_block<sp::at<from_text>> m;
  sp::set_extents(m, &wide_is_24);
  sp::bind(m, sp::parse_plan(R"({"embed": "embedding_rowwise", "mlp.gate_up_proj": "packed_colwise", "mlp.down_proj": "rowwise"})"), 2);
  const sp::ledger l = sp::dry_run(m, sp::ranks{2}, sp::tokens{2, 5});
  CHECK(l.forward.all_reduces == 2);
  CHECK(l.backward.all_reduces == 1);
  CHECK(sp::dry_run(m, sp::ranks{2}, sp::tokens{2, 5}, {.training = false}).backward.all_reduces == 0);
  CHECK(sp::dry_step(m, sp::ranks{2}, sp::tokens{2, 5}).forward.all_reduces == 2);                    // whole logits: the loss needs none
}

TEST_CASE("two ranks compute what one does, in every dtype, and a pad token's row gets no gradient") {
  for (const std::string type : types)
    for (const sp::dtype t : {sp::dtype::f64, sp::dtype::f32, sp::dtype::bf16}) {
      const sp::configuration c = config_of(type, R"("pad_token_id": 20, "rms_norm_eps": 1e-5)");
      const auto step = [&](plan_choice p, int tp) {
        struct { double loss = 0; std::vector<double> table_gradient; bool typed = true; } out;
        sp::run(tp, [&] {
          const auto m = sp::make_causal_lm(c, p);
          sp::initialise(m->parameters(), 7, 0.3, t);
          bool typed = true;
          for (const auto& weight : m->parameters()) typed = typed && (*weight.at)->type == t;
          const std::vector<long> numbers = {1, 20, 36, 4, 20, 0, 19, 35, 20, 2};
          const auto ids = sp::erased_ids(sp::whole(sp::tokens{2, 5}, numbers));
          sp::cache off(sp::cache::options{.on = false});
          auto loss = sp::cross_entropy(m->forward(ids, off), sp::next_tokens(ids));
          sp::backward(loss);
          sp::finish_gradients(m->parameters());
          auto g = sp::gathered_gradient(m->parameters()[0]);
          if (sp::first_rank()) out = {loss.item(), std::move(g), typed};
        });
        REQUIRE(out.typed);
        return out;
      };
      const auto alone = step(plan_choice::none, 1);
      INFO(type << " " << sp::name_of(t));
      REQUIRE(alone.loss > 1);
      for (const plan_choice p : {plan_choice::automatic, plan_choice::published, plan_choice::none}) {
        const auto both = step(p, 2);
        const double close = t == sp::dtype::f64 ? 1e-12 : 1e-5;
        CHECK(both.loss == Approx(alone.loss).epsilon(close));
        REQUIRE(both.table_gradient.size() == alone.table_gradient.size());
        for (std::size_t i = 0; i < both.table_gradient.size(); ++i) {
          if (i / 16 == 20) CHECK(both.table_gradient[i] == 0);
          else CHECK(both.table_gradient[i] == Approx(alone.table_gradient[i]).margin(close));
        }
      }
      double used = 0;
      for (std::size_t i = 0; i < 16; ++i) used += std::abs(alone.table_gradient[16 + i]);
      CHECK(used > 0);
    }
}

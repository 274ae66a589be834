// Steps that are captured once and run often, on the emulator: the same numbers as steps that are queued each time.
#include <algorithm>
#include <string>
#include <vector>
#include <catch2/catch.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/make.hpp>
#include <shardproof/runtime/replay.hpp>
#include <shardproof/shardproof.hpp>
#include "thrown.hpp"

namespace {
using Catch::Matchers::Contains;

const char* const tiny = R"({"model_type": "llama", "vocab_size": 37, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2,
                             "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 4, "tie_word_embeddings": false)";
sp::configuration config_of(const std::string& more = "") { return sp::read_configuration(tiny + more + "}"); }
sp::configuration mixture() {
  return sp::read_configuration(R"({"model_type": "qwen3_moe", "vocab_size": 37, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2,
      "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 4, "tie_word_embeddings": false, "num_experts": 6, "num_experts_per_tok": 2,
      "moe_intermediate_size": 12, "norm_topk_prob": true})");
}
using sp::expert_parallel;

struct trained {
  std::vector<double> losses, norms, weights;
  std::vector<double> sent;                                                  // calls and bytes of each collective, by tp and dp
  long bodies = 0, launches = 0;                                             // calls of the body; kernels that the last step launched itself
};
/// Adam with a schedule and clipping, other tokens at each step.
trained train(sp::device_kind d, const sp::mesh& mesh, bool captured, int steps, const sp::configuration& config = config_of(), expert_parallel experts = expert_parallel::none) {
  trained out;
  sp::run({.mesh = mesh, .device = d}, [&] {
    const auto m = sp::make_causal_lm(config, sp::plan_choice::automatic, {}, sp::sharing{.tp = mesh.tp, .experts = experts, .data_parallel = mesh.dp > 1});
    const auto all = m->parameters();
    sp::initialise(all, 7, 0.3);
    sp::adamw optimizer{.lr = 1e-2, .clip = 0.5};
    sp::cache off(sp::cache::options{.on = false});
    const auto batch = [&](int step) {
      std::vector<long> n;
      for (long i = 0; i < 12; ++i) n.push_back((i * 7 + step * 5) % 37);
      return sp::input(*m, sp::tokens{2, 6}, n);
    };
    const auto ids = batch(0);
    sp::tensor<sp::data, sp::dims<>, sp::any> loss;
    sp::replay step;
    long bodies = 0;
    for (int i = 0; i < steps; ++i) {
      sp::assign(ids, batch(i));
      optimizer.advance(1e-2 / (1 + i));
      const auto body = [&] {
        ++bodies;
        loss = sp::cross_entropy(m->forward(ids, off), sp::next_tokens(ids));
        sp::backward(loss);
        optimizer.update(all);
      };
      if (captured) step(body);
      else body();
      const double value = sp::reduced(loss).item(), norm = optimizer.last_norm();
      if (sp::first_rank()) out.losses.push_back(value), out.norms.push_back(norm);
    }
    std::vector<double> weights;
    for (const auto& v : all) for (const double w : sp::gathered_values(v)) weights.push_back(w);
    if (!sp::first_rank()) return;
    out.weights = weights, out.bodies = bodies;
    for (const sp::communicator* c : sp::self.on)
      for (int k = 0; c && k < 6; ++k) out.sent.insert(out.sent.end(), {double(c->counters().calls[k]), c->counters().bytes[k]});
  });
  return out;
}
}  // namespace

TEST_CASE("a captured training step trains as one that is queued each time", "[gpu]") {
  struct run { sp::mesh mesh; sp::configuration config = config_of(); expert_parallel experts = expert_parallel::none; };
  for (const run& r : {run{{}}, {{.tp = 2}}, {{.tp = 4}}, {{.tp = 8}}, {{.tp = 2, .dp = 2}}, {{}, mixture()}, {{.tp = 2}, mixture()}, {{.tp = 4}, mixture(), expert_parallel::masked}}) {
    CAPTURE(r.mesh.tp, r.mesh.dp, r.config.moe.experts, int(r.experts));
    const trained queued = train(sp::device_kind::cuda, r.mesh, false, 5, r.config, r.experts), captured = train(sp::device_kind::cuda, r.mesh, true, 5, r.config, r.experts);
    CHECK(queued.bodies == 5);
    CHECK(captured.bodies == 2);                                             // once to warm up, once to be captured
    CHECK(captured.losses == queued.losses);
    CHECK(captured.norms == queued.norms);
    CHECK(captured.weights == queued.weights);
    CHECK(captured.sent == queued.sent);
    CHECK(queued.losses[4] != queued.losses[3]);
  }
}

TEST_CASE("a step on the device is the step on the host", "[gpu]") {
  for (const auto& [config, experts] : {std::pair{config_of(), expert_parallel::none}, {mixture(), expert_parallel::masked}}) {
    const trained host = train(sp::device_kind::cpu, {.tp = 2}, true, 4, config, experts), device = train(sp::device_kind::cuda, {.tp = 2}, true, 4, config, experts);
    CHECK(host.bodies == 4);                                                 // nothing is captured there
    REQUIRE(host.weights.size() == device.weights.size());
    for (std::size_t i = 0; i < host.losses.size(); ++i) CHECK(device.losses[i] == Approx(host.losses[i]).epsilon(1e-5));
    for (std::size_t i = 0; i < host.weights.size(); ++i) CHECK(std::abs(device.weights[i] - host.weights[i]) < 2e-4);
  }
}

TEST_CASE("a captured decode step decodes as one that is queued each time", "[gpu]") {
  struct run { int tp; sp::configuration config = config_of(); expert_parallel experts = expert_parallel::none; };
  for (const run& r : {run{1}, {2}, {4}, {1, mixture()}, {2, mixture(), expert_parallel::masked}}) {
    const int tp = r.tp;
    CAPTURE(tp, r.config.moe.experts);
    const auto decoded = [&](bool captured) {
      std::vector<std::int64_t> made;
      sp::run({.mesh = {.tp = tp}, .device = sp::device_kind::cuda}, [&] {
        const auto m = sp::make_causal_lm(r.config, sp::plan_choice::automatic, {}, sp::sharing{.tp = tp, .experts = r.experts});
        sp::initialise(m->parameters(), 7, 0.3);
        const sp::no_grad off;
        sp::cache kv({.room = 16});
        kv.next(4);
        const auto prompt = sp::input(*m, sp::tokens{1, 4}, std::vector<long>{3, 1, 4, 1});
        auto logits = m->forward(prompt, kv);
        const auto ids = sp::input(*m, sp::tokens{1, 1}, std::vector<long>{5});
        const auto choose = [&](const auto& y) {
          const auto whole = sp::full(y);
          const sp::ref value = sp::leaf(whole.at->type, {1});
          sp::device().row_argmax(ids.at->v(), value->v(), {whole.at->data.get(), whole.at->type, {1, whole.at->s[-1]}}, 0);
        };
        sp::replay step;
        std::vector<std::int64_t> mine;
        for (int i = 0; i < 8; ++i) {
          kv.next();
          const auto body = [&] { choose(m->forward(ids, kv)); };
          if (captured) step(body);
          else body();
          std::int64_t id = 0;
          sp::device().to_host(&id, ids.at->v());
          mine.push_back(id);
        }
        if (captured != step.captured()) throw sp::error(sp::code::usage, "nothing was captured", "");
        if (sp::first_rank()) made = mine;
      });
      return made;
    };
    const auto queued = decoded(false);
    CHECK(decoded(true) == queued);
    CHECK(queued.size() == 8);
    CHECK(std::count(queued.begin(), queued.end(), queued.front()) < 8);
  }
}

TEST_CASE("what a captured step may not do is refused, and the rank can go on", "[gpu]") {
  sp::run({.device = sp::device_kind::cuda}, [] {
    const auto x = sp::whole(sp::sizes_of<sp::dims<>>{}, std::vector<float>{3});
    const auto refusal = [&](auto body) {
      sp::replay step;
      step(body);                                                            // the first time it is just run
      return thrown([&] { step(body); });
    };
    CHECK_THAT(refusal([&] { (void)x.item(); }), Contains("SP001") && Contains("a captured step reads numbers of the device"));
    CHECK_THAT(refusal([&] { sp::device().synchronize(); }), Contains("a captured step waits for its own kernels"));
    CHECK_THAT(refusal([&] { const sp::dropping now(1, 2); (void)sp::dropout(x, 0.5); }), Contains("a captured step drops elements"));
    CHECK_THAT(refusal([&] { sp::replay inner; inner([] {}); inner([] {}); }), Contains("a step is captured inside of another one"));
    CHECK(x.item() == 3);
  });
  std::string text;
  try {
    train(sp::device_kind::cuda, {.tp = 2}, true, 2, mixture(), expert_parallel::all_to_all);
  } catch (const sp::error& e) { text = e.what(); }
  CHECK_THAT(text, Contains("SP001") && Contains("a captured step sends tokens to experts on other ranks"));
}

TEST_CASE("the ledger says which steps wait for numbers", "[gpu]") {
  const auto waits = [](const sp::configuration& c, expert_parallel experts, int tp) {
    const auto m = sp::make_causal_lm(c, sp::plan_choice::automatic, {}, sp::sharing{.tp = tp, .experts = experts});
    return sp::dry_check(*m, sp::ranks{tp}, sp::tokens{1, 4}).waits;
  };
  CHECK(waits(mixture(), expert_parallel::all_to_all, 2));
  CHECK_FALSE(waits(mixture(), expert_parallel::all_to_all, 1));
  CHECK_FALSE(waits(mixture(), expert_parallel::masked, 2));
  CHECK_FALSE(waits(mixture(), expert_parallel::none, 2));
  CHECK_FALSE(waits(config_of(), expert_parallel::none, 2));
}

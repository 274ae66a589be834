// A cache with room: its steps do the same on the device whatever the position, and give what a growing cache gives.
#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/make.hpp>
#include <shardproof/shardproof.hpp>

namespace {
using Catch::Matchers::Contains;

sp::configuration config_of(const std::string& type, const std::string& more) {
  return sp::read_configuration("{\"model_type\": \"" + type + "\", \"vocab_size\": 37, \"hidden_size\": 32, \"num_hidden_layers\": 2, " +
                                "\"num_attention_heads\": 8" + more + "}");
}
/// Logits of a prompt of 5 tokens and of 6 single ones, on every rank of tp.
std::vector<double> logits(const sp::configuration& c, int tp, long batch, sp::cache::options o) {
  std::vector<double> all;
  sp::run(tp, [&] {
    const auto m = sp::make_causal_lm(c, sp::plan_choice::automatic, {}, tp);
    sp::initialise(m->parameters(), 3, 0.3, sp::dtype::f64);
    const sp::no_grad off;
    sp::cache kv(o);
    std::vector<double> mine;
    for (int step = 0; step < 7; ++step) {
      const long n = step ? 1 : 5;
      std::vector<long> ids;
      for (long i = 0; i < batch * n; ++i) ids.push_back((step * 11 + i * 5 + 2) % 37);
      if (o.room) kv.next(n);
      const auto y = m->forward(sp::input(*m, sp::tokens{batch, n}, ids), kv);
      for (const double v : sp::values(sp::full(y))) mine.push_back(v);
    }
    if (sp::first_rank()) all = mine;
    if (kv.length() != 11) throw sp::error(sp::code::usage, "a cache lost count", "");
  });
  return all;
}
}  // namespace

TEST_CASE("a cache with room gives the logits of one that grows, in every family that looks at positions", "[cache]") {
  const std::pair<const char*, const char*> families[] = {
      {"llama", R"(, "intermediate_size": 24, "num_key_value_heads": 4, "head_dim": 4)"},
      {"gpt2", R"(, "n_positions": 16)"},
      {"gemma2", R"(, "intermediate_size": 24, "num_key_value_heads": 4, "head_dim": 4, "sliding_window": 3, "query_pre_attn_scalar": 4)"},
      {"llama4_text", R"(, "intermediate_size": 24, "num_key_value_heads": 4, "head_dim": 4, "attn_scale": 0.5, "floor_scale": 2, "attention_chunk_size": 4, "no_rope_layers": [1, 0], "moe_layers": [], "intermediate_size_mlp": 24)"},
      {"phi3", R"(, "intermediate_size": 24, "num_key_value_heads": 4, "max_position_embeddings": 16, "original_max_position_embeddings": 7, "pad_token_id": null,
                  "rope_scaling": {"type": "longrope", "short_factor": [1, 2], "long_factor": [3, 5]})"},
      {"phi3", R"(, "intermediate_size": 24, "num_key_value_heads": 4, "max_position_embeddings": 16, "original_max_position_embeddings": 4, "pad_token_id": null,
                  "rope_scaling": {"type": "longrope", "short_factor": [1, 2], "long_factor": [3, 5]})"},
  };
  for (const auto& [type, more] : families) {
    const sp::configuration c = config_of(type, more);
    for (const int tp : {1, 2})
      for (const long batch : {1l, 3l}) {
        CAPTURE(type, tp, batch);
        const std::vector<double> growing = logits(c, tp, batch, {}), fixed = logits(c, tp, batch, {.room = 11});
        REQUIRE(growing.size() == fixed.size());
        double off = 0, size = 0;
        for (std::size_t i = 0; i < fixed.size(); ++i) off = std::max(off, std::abs(fixed[i] - growing[i])), size = std::max(size, std::abs(growing[i]));
        CHECK(size > 0.1);
        CHECK(off < 1e-12);
      }
  }
}

TEST_CASE("a cache with room says what is wrong with a step", "[cache]") {
  const auto refusal = [](auto body) {
    try {
      sp::run(1, [&] {
        const auto m = sp::make_causal_lm(config_of("llama", ", \"intermediate_size\": 24, \"num_key_value_heads\": 4, \"head_dim\": 4"), sp::plan_choice::automatic, {}, 1);
        sp::initialise(m->parameters(), 3);
        const sp::no_grad off;
        sp::cache kv({.room = 6});
        const auto step = [&](long n, long batch = 1) { (void)m->forward(sp::input(*m, sp::tokens{batch, n}, std::vector<long>(std::size_t(n * batch), 1)), kv); };
        body(kv, step);
      });
    } catch (const sp::error& e) { return std::string(e.what()); }
    return std::string("no error");
  };
  CHECK_THAT(refusal([](sp::cache&, auto step) { step(2); }), Contains("SP001") && Contains("before its first step is announced"));
  CHECK_THAT(refusal([](sp::cache& kv, auto step) { kv.next(3); step(2); }), Contains("SP001") && Contains("expects a step of 3 positions and is given 2"));
  CHECK_THAT(refusal([](sp::cache& kv, auto) { kv.next(7); }), Contains("SP001") && Contains("room for 6 positions holds 0, and 7 more are announced"));
  CHECK_THAT(refusal([](sp::cache& kv, auto step) { kv.next(4); step(4); kv.next(3); }), Contains("holds 4, and 3 more"));
  CHECK_THAT(refusal([](sp::cache& kv, auto step) { kv.next(2); step(2); kv.next(1); step(1, 2); }), Contains("SP001") && Contains("is extended by 2 of"));
  CHECK_THAT(refusal([](sp::cache& kv, auto) { kv.next(0); }), Contains("SP001"));
  CHECK_THAT(refusal([](sp::cache& kv, auto step) { kv.next(1); step(1); step(1); }), Contains("SP001") && Contains("is extended twice for one announcement"));
  CHECK_THAT(refusal([](sp::cache&, auto) { sp::cache none; none.next(1); }), Contains("SP001") && Contains("announced to a cache without room"));
  CHECK(refusal([](sp::cache& kv, auto step) { kv.next(6); step(6); kv.clear(); kv.next(6); step(6); }) == "no error");
}

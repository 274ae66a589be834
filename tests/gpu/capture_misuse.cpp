// Captured steps: what would go on with old numbers, or on memory that is gone, is refused; what a server does is right.
#include <memory>
#include <string>
#include <vector>
#include <catch2/catch.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/make.hpp>
#include <shardproof/runtime/replay.hpp>
#include <shardproof/shardproof.hpp>
#include "gpu/thrown.hpp"

namespace {
using Catch::Matchers::Contains;

const char* const tiny = R"({"model_type": "llama", "vocab_size": 37, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
                             "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": false})";

/// A model on this rank, and a step of it.
struct trial {
  std::unique_ptr<sp::causal_lm> m = sp::make_causal_lm(sp::read_configuration(tiny), sp::plan_choice::automatic, {}, sp::ranks_on());
  std::vector<sp::parameter_view> all = m->parameters();
  sp::token_ids ids = sp::input(*m, sp::tokens{2, 6}, tokens_of(0));
  sp::adamw optimizer{.lr = 1e-2};
  sp::cache off{sp::cache::options{.on = false}};
  sp::replay step;
  trial() { sp::initialise(all, 7, 0.3); }

  static std::vector<long> tokens_of(long k, long n = 12) {
    std::vector<long> t;
    for (long i = 0; i < n; ++i) t.push_back((i * 7 + k * 5) % 37);
    return t;
  }
  void backward() { sp::backward(sp::cross_entropy(m->forward(ids, off), sp::next_tokens(ids))); }
};
/// What a body of a step is refused for, at its `call`th call.
template <class F> std::string refused(F body, int calls = 4, int tp = 2) {
  return thrown([&] { sp::run({.mesh = {.tp = tp}, .device = sp::device_kind::cuda}, [&] { trial t; for (int i = 0; i < calls; ++i) body(t, i); }); });
}
}  // namespace

TEST_CASE("requests of any length go through one cache with room and one captured step", "[gpu]") {
  const auto served = [](bool captured) {
    std::vector<double> logits;
    sp::run({.mesh = {.tp = 2}, .device = sp::device_kind::cuda}, [&] {
      trial t;
      const sp::no_grad off;
      sp::cache kv({.room = 16});
      const auto last = sp::input(*t.m, sp::tokens{1, 1}, std::vector<long>{5});
      sp::ref out;
      for (const long length : {3, 5, 4}) {
        kv.clear();
        kv.next(length);
        (void)t.m->forward(sp::input(*t.m, sp::tokens{1, length}, trial::tokens_of(length, length)), kv);
        for (long i = 0; i < 4; ++i) {
          kv.next();
          sp::assign(last, sp::input(*t.m, sp::tokens{1, 1}, std::vector<long>{(i * 11 + length) % 37}));
          const auto body = [&] { out = sp::full(t.m->forward(last, kv)).at; };
          if (captured) t.step(body);
          else body();
          if (sp::first_rank()) logits.push_back(sp::device().read(out->v(), 3));
          else (void)sp::device().read(out->v(), 3);
        }
      }
      if (captured != t.step.captured()) throw sp::error(sp::code::usage, "nothing was captured", "");
    });
    return logits;
  };
  const auto queued = served(false);
  CHECK(served(true) == queued);
  CHECK(queued.size() == 12);
  CHECK(queued[11] != queued[3]);
}

TEST_CASE("gradients that a captured step leaves behind are refused", "[gpu]") {
  CHECK_THAT(refused([](trial& t, int) { t.step([&] { t.backward(); }); }), Contains("SP001") && Contains("leaves gradients of parameters behind"));
  CHECK(refused([](trial& t, int) {
          t.optimizer.advance();
          t.step([&] { t.backward(); t.optimizer.update(t.all); });
        }).empty());
}

TEST_CASE("memory that a captured step uses and nobody else holds is refused", "[gpu]") {
  const auto trained = [](trial& t) {
    t.optimizer.advance();
    t.step([&] { t.backward(); t.optimizer.update(t.all); });
  };
  const auto text = refused([&](trial& t, int i) {
    if (i == 3) sp::initialise(t.all, 8, 0.3);
    trained(t);
  });
  CHECK_THAT(text, Contains("SP001") && Contains("nothing else holds any more") && Contains("clear() the step"));
  CHECK(refused([&](trial& t, int i) {
          if (i == 3) sp::initialise(t.all, 8, 0.3), t.step.clear();
          trained(t);
        }, 6).empty());
  CHECK_THAT(refused([&](trial& t, int i) {
               if (i == 3) t.ids = sp::input(*t.m, sp::tokens{2, 6}, trial::tokens_of(i));
               trained(t);
             }), Contains("96 bytes that nothing else holds any more"));
}

TEST_CASE("numbers of the host that change inside of a captured step are refused", "[gpu]") {
  const auto says = Contains("shardproof[SP001] a captured step sends numbers of the host to the device that were others when it was called first");
  CHECK_THAT(refused([](trial& t, int) { t.step([&] { t.backward(); t.optimizer.step(t.all); }); }), says);
  CHECK_THAT(refused([](trial& t, int i) {
               t.optimizer.advance();
               t.step([&] { t.ids = sp::input(*t.m, sp::tokens{2, 6}, trial::tokens_of(i)); t.backward(); t.optimizer.update(t.all); });
             }), says);
  const auto decoding = [](bool room) {
    return thrown([&] {
      sp::run({.device = sp::device_kind::cuda}, [&] {
        trial t;
        const sp::no_grad off;
        sp::cache kv({.room = room ? 8 : 0});
        const auto last = sp::input(*t.m, sp::tokens{1, 1}, std::vector<long>{5});
        for (int i = 0; i < 3; ++i) t.step([&] { if (room) kv.next(); (void)t.m->forward(last, kv); });
      });
    });
  };
  CHECK_THAT(decoding(true), says);
  CHECK_THAT(decoding(false), Contains("SP001") && Contains("extends a cache without room"));
}

TEST_CASE("after a capture that was refused the rank goes on as if it had not been tried", "[gpu]") {
  const auto losses = [](bool tried) {
    std::vector<double> out;
    sp::run({.device = sp::device_kind::cuda}, [&] {
      trial t;
      for (int i = 0; i < 4; ++i) {
        t.optimizer.advance();
        const auto body = [&](bool reads) {
          const auto loss = sp::cross_entropy(t.m->forward(t.ids, t.off), sp::next_tokens(t.ids));
          sp::backward(loss);
          if (reads) (void)sp::reduced(loss).item();
          t.optimizer.update(t.all);
          return loss;
        };
        if (tried && i == 2) {
          sp::replay bad;
          bad([] {});
          CHECK_THAT(thrown([&] { bad([&] { (void)body(true); }); }), Contains("a captured step reads numbers of the device"));
        }
        out.push_back(sp::reduced(body(false)).item());
      }
      const sp::no_grad off;                                                 // tables of another length would be made inside of the capture
      sp::replay bad;
      const auto other = sp::input(*t.m, sp::tokens{1, 4}, trial::tokens_of(1, 4));
      if (tried) {
        bad([] {});
        CHECK_FALSE(thrown([&] { bad([&] { (void)sp::values(sp::full(t.m->forward(other, t.off))); }); }).empty());
      }
      out.push_back(sp::values(sp::full(t.m->forward(other, t.off)))[7]);
    });
    return out;
  };
  CHECK(losses(true) == losses(false));
}

TEST_CASE("captures that are refused leave no memory behind", "[gpu]") {
  sp::run({.device = sp::device_kind::cuda}, [] {
    const auto x = sp::whole(sp::sizes_of<sp::dims<>>{}, std::vector<float>{3});
    const auto refusal = [&] {
      sp::replay step;
      step([] {});
      CHECK_FALSE(thrown([&] { step([&] { const sp::ref big = sp::leaf(sp::dtype::f32, {1000000}); sp::device().fill(big->v(), 1); (void)x.item(); }); }).empty());
    };
    refusal();
    const double before = sp::device().available_bytes();
    for (int i = 0; i < 5; ++i) refusal();
    CHECK(sp::device().available_bytes() >= before);
  });
}

TEST_CASE("ranks that do not agree about a captured step, and steps of another run, are refused", "[gpu]") {
  for (const int odd : {0, 1}) {
    CAPTURE(odd);
    const auto text = refused([&](trial& t, int i) {
      if (i == 3 && sp::rank_on() == odd) t.step.clear();
      t.optimizer.advance();
      t.step([&] { t.backward(); t.optimizer.update(t.all); });
    });
    CHECK_THAT(text, Contains("SP501") && Contains("a captured step"));
  }
  std::unique_ptr<sp::replay> steps[2] = {std::make_unique<sp::replay>(), std::make_unique<sp::replay>()};
  const auto run = [&] {
    return thrown([&] {
      sp::run({.mesh = {.tp = 2}, .device = sp::device_kind::cuda}, [&] {
        for (int i = 0; i < 3; ++i) (*steps[sp::rank_on()])([] { const sp::ref x = sp::leaf(sp::dtype::f32, {5}); sp::device().fill(x->v(), 1); });
      });
    });
  };
  CHECK(run().empty());
  CHECK_THAT(run(), Contains("SP001") && Contains("of an earlier run"));
  for (auto& s : steps) s = std::make_unique<sp::replay>();
  CHECK(run().empty());
}

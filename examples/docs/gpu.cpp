// docs/gpu.md: steps that are captured once and run often. Without a GPU they run each time, and give the same.
#include "pages.hpp"
#include <vector>
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/erased.hpp>
#include <shardproof/families/llama.hpp>
#include <shardproof/families/make.hpp>
#include <shardproof/runtime/replay.hpp>
#include <shardproof/shardproof.hpp>

namespace {
const bool registered = sp::register_family<sp::families::llama_family>();

sp::configuration tiny() {
  return sp::read_configuration(R"({"model_type": "llama", "vocab_size": 37, "hidden_size": 32, "intermediate_size": 24,
    "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 4})");
}
/// The device of the program, or the CPU where there is none.
sp::device_kind chosen() {
  return sp::detail::registered_backends[int(sp::device_kind::cuda)] ? sp::device_kind::cuda : sp::device_kind::cpu;
}
std::vector<long> batch(long step) {
  std::vector<long> out;
  for (long i = 0; i < 12; ++i) out.push_back((i * 7 + step) % 37);
  return out;
}
double rate(long step) { return 1e-2 / double(1 + step); }

double trained(bool captured) {
  double last = 0;
  //! [device]
  sp::run({.mesh = {.tp = 2}, .device = chosen()}, [&] {
    //! [device]
    const auto model = sp::make_causal_lm(tiny());
    const auto parameters = model->parameters();
    sp::initialise(parameters, 7);
    sp::adamw optimizer;
    sp::cache none{sp::cache::options{.on = false}};
    sp::tensor<sp::data, sp::dims<>, sp::any> loss;
    const auto ids = sp::input(*model, sp::tokens{2, 6}, batch(0));
    const long steps = 4;
    if (!captured) {
      for (long i = 0; i < steps; ++i) {
        const auto mine = sp::input(*model, sp::tokens{2, 6}, batch(i));
        loss = sp::cross_entropy(model->forward(mine, none), sp::next_tokens(mine));
        sp::backward(loss);
        optimizer.step(parameters, rate(i));
      }
    } else {
      //! [train]
      sp::replay step;
      for (long i = 0; i < steps; ++i) {
        sp::assign(ids, sp::input(*model, sp::tokens{2, 6}, batch(i)));          // into memory that the step reads
        optimizer.advance(rate(i));                                              // what differs from step to step
        step([&] {
          loss = sp::cross_entropy(model->forward(ids, none), sp::next_tokens(ids));
          sp::backward(loss);
          optimizer.update(parameters);
        });
      }
      //! [train]
    }
    if (const double value = loss.item(); sp::first_rank()) last = value;
  });
  return last;
}

std::vector<std::int64_t> decoded(bool captured) {
  std::vector<std::int64_t> out;
  sp::run({.device = chosen()}, [&] {
    const auto model = sp::make_causal_lm(tiny());
    sp::initialise(model->parameters(), 7, 0.3);
    const sp::no_grad off;
    const std::vector<long> prompt{3, 1, 4, 1};
    const auto last = sp::input(*model, sp::tokens{1, 1}, std::vector<long>{5});
    const auto choose = [&](const sp::token_logits& logits) {                    // the likeliest token into `last`
      const sp::ref value = sp::leaf(logits.at->type, {1});
      const sp::view row = logits.at->v();
      sp::device().row_argmax(last.at->v(), value->v(), {row.p, row.type, {1, row.s[-1]}}, 0);
    };
    const auto keep = [&] {
      std::int64_t id = 0;
      sp::device().to_host(&id, last.at->v());
      out.push_back(id);
    };
    if (!captured) {
      sp::cache kv;
      (void)model->forward(sp::input(*model, sp::tokens{1, 4}, prompt), kv);
      for (int i = 0; i < 6; ++i) choose(model->forward(last, kv)), keep();
      return;
    }
    //! [decode]
    sp::cache kv{{.room = 16}};
    sp::replay step;
    kv.next(4);                                                                  // before each forward, outside of the step: how many positions
    (void)model->forward(sp::input(*model, sp::tokens{1, 4}, prompt), kv);
    for (int i = 0; i < 6; ++i) {
      kv.next();
      step([&] { choose(model->forward(last, kv)); });
      //! [decode]
      keep();
      //! [decode]
    }
    //! [decode]
  });
  return out;
}
}  // namespace

bool gpu() { return trained(true) == trained(false) && decoded(true) == decoded(false); }

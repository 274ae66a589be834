/// @file
/// Whole steps on a GPU, captured by sp::replay: virtual ranks against one rank, a training step's MFU, decoding.
///
///     nvcc -std=c++20 -O3 --expt-relaxed-constexpr --extended-lambda -arch=native -Iinclude -c examples/cli/backend_cuda.cu -o backend_cuda.o
///     g++ -std=c++20 -O2 -Iinclude bench/gpu/block.cpp backend_cuda.o -L$CUDA/lib64 -lcudart -lcublasLt -lpthread -o block
///     SHARDPROOF_CUDA_PRODUCTS=bf16 ./block forward decode train [--turns N] [--batch N] [--tiny]
///
/// G3: forward of a Llama (hidden 2048, 4 layers, bf16 weights), 4 virtual ranks / 1 rank, which take turns (lower is better). G5: a
/// training step of GPT-2 124M (f32 weights, 1024 positions, no dropout, clipping, AdamW), MFU against 989 TFLOP/s with llm.c's
/// count, 6 N + 6 layers channels positions a token. Decoding: weight bytes a second against 4.8 TB/s. Products are as precise as
/// SHARDPROOF_CUDA_PRODUCTS says. Results are looked at: logits of both must agree, the loss begins near log(vocabulary) and falls.
/// Exits 2 without a GPU (SP504), 1 if a result is wrong.
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <shardproof/runtime/replay.hpp>
#include <shardproof/shardproof.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/erased.hpp>
#include <shardproof/families/gpt2.hpp>
#include <shardproof/families/llama.hpp>
#include <shardproof/families/make.hpp>
#include "rows.hpp"

namespace {
namespace sp = shardproof;
const bool registered = sp::register_family<sp::families::llama_family>() && sp::register_family<sp::families::gpt2_family>();

struct settings {
  int turns = 11, steps = 20, ranks = 4;
  long batch = 16, positions = 1024;                     ///< of a training step
  long hidden = 2048, layers = 4, vocabulary = 32000;    ///< of the Llama
  long gpt_hidden = 768, gpt_layers = 12, gpt_heads = 12, gpt_vocabulary = 50257;
  std::vector<long> tokens{512, 2048};                   ///< of a forward
  long room = 1024;                                      ///< of a decoder's cache
};

std::string llama_config(const settings& s) {
  const auto n = [](long x) { return std::to_string(x); };
  return "{\"model_type\": \"llama\", \"vocab_size\": " + n(s.vocabulary) + ", \"hidden_size\": " + n(s.hidden) +
         ", \"intermediate_size\": " + n(4 * s.hidden) +
         ", \"num_hidden_layers\": " + n(s.layers) + ", \"num_attention_heads\": " + n(s.hidden / 64) +
         ", \"num_key_value_heads\": " + n(std::max(4l, s.hidden / 256)) +
         ", \"max_position_embeddings\": 8192, \"tie_word_embeddings\": false}";
}
std::string gpt2_config(const settings& s) {
  const auto n = [](long x) { return std::to_string(x); };
  return "{\"model_type\": \"gpt2\", \"vocab_size\": " + n(s.gpt_vocabulary) + ", \"n_positions\": " + n(s.positions) +
         ", \"n_embd\": " + n(s.gpt_hidden) + ", \"n_layer\": " +
         n(s.gpt_layers) + ", \"n_head\": " + n(s.gpt_heads) +
         ", \"activation_function\": \"gelu_new\", \"resid_pdrop\": 0.0, \"embd_pdrop\": 0.0, \"attn_pdrop\": 0.0}";
}
std::vector<long> some_tokens(long n, long vocabulary, long salt = 13) {
  std::vector<long> ids;
  for (long i = 0; i < n; ++i) ids.push_back((i * 7919 + salt * 104729 + i * i % 31) % vocabulary);
  return ids;
}
double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
std::string precision() {
  const char* const asked = std::getenv("SHARDPROOF_CUDA_PRODUCTS");
  return asked && *asked ? asked : "exact";
}

/// All of this mesh call it: seconds of one of `steps` runs, from a barrier until the device is done.
template <class F> double timed(int steps, F&& step) {
  sp::device().synchronize();
  if (sp::self.world) sp::self.world->barrier();
  const double start = seconds();
  for (int i = 0; i < steps; ++i) step();
  sp::device().synchronize();
  return (seconds() - start) / steps;
}

/// Two meshes that take turns.
class turnstile {
  std::mutex lock_;
  std::condition_variable changed_;
  int whose_ = 0;
  bool failed_ = false;

 public:
  void wait_for(int side) {
    std::unique_lock held(lock_);
    changed_.wait(held, [&] { return failed_ || whose_ == side; });
    if (failed_) throw sp::error(sp::code::usage, "the other mesh has failed.", "read its error.");
  }
  void pass() {
    const std::lock_guard held(lock_);
    whose_ = 1 - whose_;
    changed_.notify_all();
  }
  void fail() {
    const std::lock_guard held(lock_);
    failed_ = true;
    changed_.notify_all();
  }
};
/// What a mesh does while it is its turn.
template <class F> void in_turn(turnstile& t, int side, F&& what) {
  if (sp::first_rank()) t.wait_for(side);
  if (sp::self.world) sp::self.world->barrier();
  what();
  if (sp::self.world) sp::self.world->barrier();
  if (sp::first_rank()) t.pass();
}
/// body(side) on its mesh, at the same time; the first error is thrown here.
template <class F> void both(const sp::mesh& first, const sp::mesh& second, turnstile& t, F body) {
  std::exception_ptr failures[2];
  int order[2] = {0, 0};
  std::mutex lock;
  int failed = 0;
  const auto side = [&](int s, const sp::mesh& m) {
    try {
      sp::run({.mesh = m, .timeout_seconds = 3600, .device = sp::device_kind::cuda, .pin = false}, [&] { body(s); });
    } catch (...) {
      const std::lock_guard held(lock);
      failures[s] = std::current_exception();
      order[failed++] = s;
      t.fail();
    }
  };
  std::thread other([&] { side(1, second); });
  side(0, first);
  other.join();
  if (failed) std::rethrow_exception(failures[order[0]]);
}

/// The last row of the whole logits, on every rank.
std::vector<float> last_logits(const sp::token_logits& y) {
  const auto whole = sp::full(y);
  const sp::shape s = whole.at->s;
  const long width = s[-1], rows = s.lead(1);
  std::vector<float> out(static_cast<std::size_t>(width));
  sp::device().to_host(out.data(), {static_cast<float*>(whole.at->data.get()) + (rows - 1) * width, sp::dtype::f32, {width}});
  return out;
}
/// Relative to the largest.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0, apart = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::abs(double(a[i])));
    if (!(std::abs(double(a[i]) - double(b[i])) <= apart)) apart = std::abs(double(a[i]) - double(b[i]));
  }
  return apart / most;
}

/// G3.
int forward(const settings& s) {
  int wrong = 0;
  for (const long n : s.tokens) {
    turnstile t;
    bench::numbers times[2];
    std::vector<float> logits[2];
    const auto c = sp::read_configuration(llama_config(s));
    both({.tp = s.ranks}, {}, t, [&](int side) {
      const sp::no_grad off;
      const auto m = sp::make_causal_lm(c);
      sp::token_logits y;
      sp::cache kept_nothing{sp::cache::options{.on = false}};
      sp::replay step;
      std::vector<double> mine;
      const auto ids = sp::input(*m, sp::tokens{1, n}, some_tokens(n, s.vocabulary));
      const auto one = [&] { step([&] { y = m->forward(ids, kept_nothing); }); };
      in_turn(t, side, [&] {
        sp::initialise(m->parameters(), 1, 0.02, sp::dtype::bf16);
        for (int i = 0; i < 3; ++i) one();
        sp::device().synchronize();
      });
      for (int i = 0; i < s.turns + 1; ++i)
        in_turn(t, side, [&] { mine.push_back(timed(s.steps, one)); });
      in_turn(t, side, [&] {
        const auto last = last_logits(y);
        if (sp::first_rank()) logits[side] = last;
      });
      if (sp::first_rank())
        for (std::size_t i = 1; i < mine.size(); ++i) times[side].add(mine[i]);
    });
    bench::pairs p;
    for (std::size_t i = 0; i < times[0].all.size(); ++i) p.add(times[0].all[i], times[1].all[i]);
    const double apart = distance(logits[0], logits[1]);
    const bool right = apart < 0.05;
    wrong += !right;
    bench::line("G3", ("forward of a Llama: tp=" + std::to_string(s.ranks) + " virtual ranks / tp=1").c_str(), std::to_string(n) + " tokens")
        .add("products", precision()).add("hidden", s.hidden).add("layers", s.layers).add("ms", p.first.median() * 1e3).add("best_ms", p.first.best() * 1e3)
        .add("one_rank_ms", p.second.median() * 1e3).add("logits_apart", apart).add("right", right)
        .ratio(p.ratios, {.limit = 1, .gate = 1.25, .lower_is_better = true}).print();
    if (!right) std::fprintf(stderr, "the logits of %d ranks and of one are %g apart\n", s.ranks, apart);
  }
  return wrong ? 1 : 0;
}

/// tp = 1, greedy: the chosen id is the next step's input, on the device.
int decode(const settings& s) {
  bench::numbers rates;
  double weights = 0, milliseconds = 0;
  const auto c = sp::read_configuration(llama_config(s));
  sp::run({.device = sp::device_kind::cuda}, [&] {
    const sp::no_grad off;
    const auto m = sp::make_causal_lm(c);
    const auto all = m->parameters();
    sp::initialise(all, 1, 0.02, sp::dtype::bf16);
    for (const auto& p : all)
      if (p.name != "model.embed_tokens.weight") weights += double((*p.at)->v().bytes());
    sp::cache kv({.room = s.room});
    const long prompt = std::min(128l, s.room / 4);
    const auto choose = [](const sp::token_logits& y, const sp::view& id) {
      const sp::shape shape = y.at->s;
      const long width = shape[-1], rows = shape.lead(1);
      const sp::ref value = sp::leaf(sp::dtype::f32, {1});
      sp::device().row_argmax(id, value->v(), {static_cast<float*>(y.at->data.get()) + (rows - 1) * width, sp::dtype::f32, {1, width}}, 0);
    };
    const auto ids = sp::input(*m, sp::tokens{1, 1}, std::vector<long>{5});
    kv.next(prompt);
    choose(m->forward(sp::input(*m, sp::tokens{1, prompt}, some_tokens(prompt, s.vocabulary)), kv), ids.at->v());
    sp::replay step;
    const auto one = [&] {
      kv.next();
      step([&] { choose(m->forward(ids, kv), ids.at->v()); });
    };
    for (int i = 0; i < 3; ++i) one();
    const int each = int(std::max(1l, (s.room - prompt - 3) / (s.turns + 1)));
    bench::numbers times;
    for (int i = 0; i < s.turns; ++i) {
      times.add(timed(each, one));
      rates.add(weights / times.all.back() / 4.8e12);
    }
    milliseconds = times.median() * 1e3;
  });
  bench::line("-", "decoding: weight bytes a second / 4.8 TB/s", "batch 1").add("products", precision()).add("hidden", s.hidden).add("layers", s.layers)
      .add("tokens_s", 1e3 / milliseconds).add("ms", milliseconds).add("weight_bytes", weights).add("tb_s", weights / milliseconds / 1e9)
      .ratio(rates, {.limit = 1}).print();
  return 0;
}

/// G5.
int train(const settings& s) {
  bench::numbers mfu, times;
  double first_loss = 0, last_loss = 0, parameters = 0, gigabytes = 0;
  const long n = s.batch * s.positions;
  const auto c = sp::read_configuration(gpt2_config(s));
  sp::run({.device = sp::device_kind::cuda}, [&] {
    const auto m = sp::make_causal_lm(c);
    const auto all = m->parameters();
    sp::initialise(all, 1, 0.02);
    for (const auto& p : all) parameters += double((*p.at)->s.count());
    sp::adamw optimizer{.lr = 3e-4, .weight_decay = 0.1, .clip = 1, .decay_vectors = false};
    sp::cache off{sp::cache::options{.on = false}};
    const auto batch = [&](long k) { return sp::input(*m, sp::tokens{s.batch, s.positions}, some_tokens(n, s.gpt_vocabulary, k)); };
    const std::vector batches{batch(1), batch(2)};       // on the device before
    const auto ids = batch(1);
    sp::tensor<sp::data, sp::dims<>, sp::any> loss;
    sp::replay step;
    std::size_t number = 0;
    const auto one = [&] {
      sp::assign(ids, batches[number++ % batches.size()]);
      optimizer.advance(3e-4);
      step([&] {
        loss = sp::cross_entropy(m->forward(ids, off), sp::next_tokens(ids));
        sp::backward(loss);
        optimizer.update(all);
      });
    };
    one();
    first_loss = loss.item();
    for (int i = 0; i < 3; ++i) one();
    const int each = std::max(1, s.steps / 5);
    const double tokens = double(n), flop = 6 * parameters + 6 * double(s.gpt_layers * s.gpt_hidden * s.positions);
    for (int i = 0; i < s.turns; ++i) {
      times.add(timed(each, one));
      mfu.add(flop * tokens / times.all.back() / 989e12);
    }
    last_loss = loss.item();
    gigabytes = sp::device().peak_bytes() / 1e9;
  });
  const bool right = std::isfinite(last_loss) && last_loss < first_loss && std::abs(first_loss - std::log(double(s.gpt_vocabulary))) < 1;
  bench::line("G5", "GPT-2 124M training step: MFU", precision()).add("batch", s.batch).add("positions", s.positions)
      .add("ms", times.median() * 1e3).add("best_ms", times.best() * 1e3)
      .add("tokens_s", double(n) / times.median()).add("parameters", parameters).add("peak_gb", gigabytes)
      .add("first_loss", first_loss).add("last_loss", last_loss).add("right", right)
      .ratio(mfu, {.limit = 1, .gate = 0.12}).print();
  if (!right) std::fprintf(stderr, "the loss went from %g to %g\n", first_loss, last_loss);
  return right ? 0 : 1;
}

/// Small enough for the emulator.
void make_tiny(settings& s) {
  s.turns = s.steps = 2;
  s.hidden = 256, s.layers = 1, s.vocabulary = 40, s.room = 24, s.tokens = {5};
  s.batch = 2, s.positions = 6, s.gpt_hidden = 16, s.gpt_layers = 2, s.gpt_heads = 2, s.gpt_vocabulary = 50;
}
}  // namespace

int main(int count, char** words) {
  settings s;
  bool wants[3] = {};
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const bool more = i + 1 < count;
    if (word == "forward") wants[0] = true;
    else if (word == "decode") wants[1] = true;
    else if (word == "train") wants[2] = true;
    else if (word == "--tiny") make_tiny(s);
    else if (word == "--quick") s.turns = 5, s.steps = 10;
    else if (word == "--turns" && more) s.turns = std::max(1, std::atoi(words[++i]));
    else if (word == "--steps" && more) s.steps = std::max(1, std::atoi(words[++i]));
    else if (word == "--ranks" && more) s.ranks = std::max(1, std::atoi(words[++i]));
    else if (word == "--batch" && more) s.batch = std::max(1l, std::atol(words[++i]));
    else return std::fprintf(stderr, "block [forward] [decode] [train] [--turns N] [--steps N] [--ranks N] [--batch N] [--quick] [--tiny]\n"), 1;
  }
  ::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);      // a queue of its own for each rank's stream
  if (!wants[0] && !wants[1] && !wants[2]) wants[0] = wants[1] = wants[2] = true;
  int wrong = 0;
  try {
    if (wants[0]) wrong |= forward(s);
    if (wants[1]) wrong |= decode(s);
    if (wants[2]) wrong |= train(s);
  } catch (const sp::error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return e.which() == sp::code::no_device ? 2 : 1;
  }
  return wrong;
}

/// @file
/// A Llama of 98 million parameters on one and on two ranks, against the limits of this machine, all in one run.
///
///     llama98m --make FOLDER                                  # config.json and random f32 weights, as transformers loads them
///     llama98m FOLDER [--rounds N] [--strict]                 # the rows; --strict: exit 1 if a gate is missed
///     llama98m FOLDER --rows decode|prefill|train             # some of the rows
///     llama98m FOLDER --only decode|prefill|train --tp N      # seconds of one thing, for a comparison from outside
///
/// Rows, per number of ranks: decode, weight bytes read in a second over the read bandwidth of as many cores; a prefill of 128
/// tokens and a training step of 256 (forward, backward, clipping, AdamW) over the same matrix products in plain Eigen on one
/// thread. Both scale from one rank to two as the multiply-add peak does, to within a factor that is a gate. Each repetition is
/// followed by one of the limit it is compared with, so that a noisy neighbour meets both.
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"      // g++ 12 on the AVX-512 intrinsics that Eigen uses
#include <Eigen/Core>
#pragma GCC diagnostic pop
#include <shardproof/shardproof.hpp>
#include <shardproof/backend/cpu.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/erased.hpp>
#include <shardproof/families/llama.hpp>
#include <shardproof/families/make.hpp>
#include <shardproof/io/atomic_folder.hpp>
#include <shardproof/io/checkpoint.hpp>
#include "measure.hpp"

namespace {
namespace sp = shardproof;
const bool registered = sp::register_family<sp::families::llama_family>();

constexpr long hidden = 768, layers = 12, ffn = 2048, vocabulary = 8192;
constexpr long prompt = 128, trained = 256, decoded = 48;
constexpr long block_weights = 4 * hidden * hidden + 3 * hidden * ffn;
constexpr double product_weights = double(layers * block_weights + hidden * vocabulary);   ///< all but the embedding and the norms

constexpr const char* config_text = R"({
  "architectures": ["LlamaForCausalLM"],
  "model_type": "llama",
  "hidden_act": "silu",
  "hidden_size": 768,
  "intermediate_size": 2048,
  "num_hidden_layers": 12,
  "num_attention_heads": 12,
  "num_key_value_heads": 12,
  "max_position_embeddings": 1024,
  "rms_norm_eps": 1e-05,
  "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
  "tie_word_embeddings": false,
  "attention_bias": false,
  "mlp_bias": false,
  "vocab_size": 8192,
  "bos_token_id": null,
  "eos_token_id": null,
  "pad_token_id": null,
  "dtype": "float32"
}
)";

void make(const std::string& folder) {
  const auto c = sp::read_configuration(config_text);
  const auto lm = sp::make_causal_lm(c);
  const auto all = lm->parameters();
  sp::initialise(all, 1, 0.02);
  sp::io::atomic_folder out(folder);
  sp::io::save_weights(all, &out.add("model.safetensors"));
  out.add("config.json").write(config_text);
  out.commit();
}

std::vector<std::int64_t> some_tokens(long n) {
  std::vector<std::int64_t> ids;
  for (long i = 0; i < n; ++i) ids.push_back((i * 7919 + 13) % vocabulary);
  return ids;
}

/// One rank's model, kept between runs.
struct rank_model {
  std::unique_ptr<sp::causal_lm> lm;
  std::vector<sp::parameter_view> all;
  sp::adamw optimizer{.lr = 1e-5, .clip = 1.0};
  double read_bytes = 0;                                     ///< of weights, at each decoded token
  float* memory = nullptr;                                   ///< for the read bandwidth
  ~rank_model() {
    if (memory) sp::cpu::give(memory, std::size_t(memory_floats) * 4);
  }
  static constexpr long memory_floats = 64l << 20;           ///< 256 MiB

  void open(const std::string& folder) {
    if (lm) return;
    const sp::io::checkpoint_files files(folder);
    lm = sp::make_causal_lm(sp::read_configuration(sp::io::read_text(folder + "/config.json")));
    all = lm->parameters();
    sp::io::load_weights(all, files);
    for (const auto& p : all)
      if (p.name != "model.embed_tokens.weight") read_bytes += double((*p.at)->v().bytes());
    memory = static_cast<float*>(sp::cpu::take(std::size_t(memory_floats) * 4));
    std::fill(memory, memory + memory_floats, 1.0f);
  }
  sp::token_logits forward(const std::vector<std::int64_t>& ids, sp::cache& kv) {
    return lm->forward(sp::erased_ids(sp::whole(sp::tokens{1, long(ids.size())}, ids)), kv);
  }
  /// Greedy, with the logits where they are: ranks compare their best.
  std::int64_t best(const sp::token_logits& logits) {
    const sp::shape s = logits.at->s;
    const long width = s[-1], rows = s.lead(1);
    const sp::view last{static_cast<float*>(logits.at->data.get()) + (rows - 1) * width, sp::dtype::f32, {1, width}};
    const sp::ref index = sp::leaf(sp::dtype::i64, {1}), value = sp::leaf(sp::dtype::f32, {1});
    sp::device().row_argmax(index->v(), value->v(), last, long(sp::rank_on()) * width);
    struct candidate {
      double value, index;
    } mine{sp::device().read(value->v(), 0), sp::device().read(index->v(), 0)}, both[8];
    if (!sp::self.on[0]) return std::int64_t(mine.index);
    const std::vector<long> counts(std::size_t(sp::ranks_on()), 2);
    sp::self.on[0]->all_gather(&mine, both, counts, sp::dtype::f64);
    for (int r = 0; r < sp::ranks_on(); ++r)
      if (both[r].value > mine.value || (both[r].value == mine.value && both[r].index < mine.index)) mine = both[r];
    return std::int64_t(mine.index);
  }
  double train_step(const std::vector<std::int64_t>& ids) {
    sp::cache off{sp::cache::options{.on = false}};
    const auto x = sp::erased_ids(sp::whole(sp::tokens{1, long(ids.size())}, ids));
    const auto loss = sp::cross_entropy(lm->forward(x, off), sp::next_tokens(x));
    sp::backward(loss);
    const double value = loss.item();
    optimizer.step(all);
    return value;
  }
};

/// All ranks' view of one repetition: it is clean if no rank was preempted, and lasts from a barrier to the last rank's end.
struct outcome {
  double seconds;
  bool clean;
};
outcome timed(bench::series& to, const std::function<void()>& what) {
  sp::communicator* const c = sp::self.on[0];
  if (c) c->barrier();
  const long before = bench::preemptions();
  const double start = bench::seconds();
  what();
  double taken = bench::seconds() - start, disturbed = double(bench::preemptions() - before);
  if (c) {
    c->all_reduce(&taken, 1, sp::dtype::f64, sp::reduction::max);
    c->all_reduce(&disturbed, 1, sp::dtype::f64);
  }
  if (sp::first_rank()) to.add(taken, disturbed == 0);
  return {taken, disturbed == 0};
}

/// The products of a model of these weights in plain Eigen: forward, and backward if `gradients`.
class eigen_products {
  using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  struct one {
    long n, k;
    const float* w;
    float* gradient;
  };
  std::vector<one> all_;
  std::vector<matrix> keeps_;
  matrix x_, y_;

 public:
  eigen_products(rank_model& m, bool gradients) {
    for (const auto& p : m.all) {
      const sp::node& w = **p.at;
      if (p.global.rank < 2 || p.name == "model.embed_tokens.weight") continue;
      // A weight is [out..., in...]: this model's q, k, v and o are square, so the extents follow from the count.
      const long count = w.s.count(), k = p.name.find("down_proj") != std::string::npos ? ffn : hidden;
      float* to = nullptr;
      if (gradients) to = keeps_.emplace_back(matrix::Zero(count / k, k)).data();
      all_.push_back({count / k, k, static_cast<const float*>(w.data.get()), to});
    }
    x_ = matrix::Constant(trained, vocabulary, 0.01f);
    y_ = matrix::Constant(trained, vocabulary, 0.01f);
  }
  void forward(long m) {
    for (const one& o : all_) {
      Eigen::Map<const matrix> w(o.w, o.n, o.k), x(x_.data(), m, o.k);
      Eigen::Map<matrix>(y_.data(), m, o.n).noalias() = x * w.transpose();
    }
  }
  void step(long m) {
    forward(m);
    for (auto o = all_.rbegin(); o != all_.rend(); ++o) {
      Eigen::Map<const matrix> w(o->w, o->n, o->k), dy(y_.data(), m, o->n);
      Eigen::Map<matrix> x(x_.data(), m, o->k);
      Eigen::Map<matrix>(o->gradient, o->n, o->k).noalias() = dy.transpose() * x;
      x.noalias() = dy * w;
      x *= 0.001f;                                           // else the numbers run away; too little work to count
    }
  }
};

struct figures {
  bench::series decode, read, decode_ratio, prefill, prefill_eigen, step, step_eigen, peak;
  double read_bytes = 0, peak_flops = 0, loss = 0;
};

constexpr long read_floats = 16l << 20;                       // 64 MiB, a few milliseconds
constexpr long peak_rounds = 400000;                         // about 10 ms

void limit_of_products(figures& f) {
  timed(f.peak, [] { (void)bench::multiply_adds(peak_rounds); });
}

struct choice {
  bool decode = true, prefill = true, train = true, limits = true;
};

/// One round on this rank.
void round_of(rank_model& m, figures& f, const choice& c) {
  const bool first = sp::first_rank(), alone = sp::ranks_on() == 1;
  if (c.decode) {
    const sp::no_grad off;
    sp::cache kv;
    std::vector<std::int64_t> next{m.best(m.forward(some_tokens(prompt), kv))};
    long at = 0;
    const auto read = [&] {
      const outcome o = timed(f.read, [&] { bench::read_all(m.memory + at * read_floats, read_floats); });
      at = (at + 1) % (rank_model::memory_floats / read_floats);
      return o;
    };
    outcome before = c.limits ? read() : outcome{};
    for (long i = 0; i < decoded; ++i) {
      const auto one = [&] { next = {m.best(m.forward(next, kv))}; };
      if (i < 2) {
        one();
        continue;
      }
      const outcome token = timed(f.decode, one);
      if (!c.limits) continue;
      const outcome after = read();
      // A token is compared with the readings just before and after it.
      const double expected = m.read_bytes / (2 * 4 * double(read_floats)) * (before.seconds + after.seconds);
      if (first) f.decode_ratio.add(expected / token.seconds, before.clean && token.clean && after.clean);
      before = after;
    }
    double bytes = m.read_bytes;
    if (sp::self.on[0]) sp::self.on[0]->all_reduce(&bytes, 1, sp::dtype::f64);
    if (first) f.read_bytes = bytes;
  }
  if (c.prefill) {
    const sp::no_grad off;
    const auto ids = some_tokens(prompt);
    std::unique_ptr<eigen_products> plain;
    if (alone && c.limits) plain = std::make_unique<eigen_products>(m, false);
    for (int i = 0; i < 7; ++i) {
      sp::cache kv;
      const auto one = [&] { (void)m.best(m.forward(ids, kv)); };
      if (i == 0) {
        one();
        continue;
      }
      timed(f.prefill, one);
      if (!c.limits) continue;
      if (plain) timed(f.prefill_eigen, [&] { plain->forward(prompt); });
      for (int j = 0; j < 3; ++j) limit_of_products(f);
    }
  }
  if (c.train) {
    const auto ids = some_tokens(trained);
    std::unique_ptr<eigen_products> plain;
    if (alone && c.limits) plain = std::make_unique<eigen_products>(m, true);
    for (int i = 0; i < 4; ++i) {
      const auto one = [&] {
        const double loss = m.train_step(ids);
        if (first) f.loss = loss;
      };
      if (i == 0) {
        one();
        continue;
      }
      timed(f.step, one);
      if (!c.limits) continue;
      if (plain) timed(f.step_eigen, [&] { plain->step(trained); });
      for (int j = 0; j < 3; ++j) limit_of_products(f);
    }
  }
}

double read_speed(const figures& f, int tp) { return double(tp) * double(read_floats) * 4 / f.read.median(); }
double peak_speed(const figures& f, int tp) {
  return double(tp) * double(peak_rounds) * 12 * sp::cpu::lanes<float> * 2 / f.peak.median();
}

void report(const std::map<int, figures>& all) {
  for (const auto& [tp, f] : all) {
    if (f.decode.all.empty()) continue;
    const double weights = f.read_bytes / f.decode.median(), read = read_speed(f, tp);
    bench::row({.what = bench::text("decode, tp=%d: weight bytes read / read bandwidth of %d core(s)", tp, tp), .ratio = f.decode_ratio.median(), .gate = 0.80,
                .facts = bench::text("%.1f tokens/s, %.1f of %.1f GB/s; quartiles %.2f %.2f", 1 / f.decode.median(), weights / 1e9, read / 1e9,
                                     f.decode_ratio.quantile(0.25), f.decode_ratio.quantile(0.75)),
                .clean = f.decode_ratio.clean.size(), .total = f.decode_ratio.all.size(), .scoreboard = 8});
  }
  const auto products = [&](const char* what, bench::series figures::*ours, bench::series figures::*eigen, double flops, double tokens, int number) {
    for (const auto& [tp, f] : all) {
      const bench::series &us = f.*ours, &them = f.*eigen;
      if (us.all.empty()) continue;
      const double peak = peak_speed(f, tp);
      if (tp == 1)
        bench::row({.what = bench::text("%s, tp=1: the same products in Eigen / ours", what), .ratio = them.median() / us.median(), .gate = 0.9,
                    .facts = bench::text("%.1f and %.1f ms, %.0f tokens/s", them.median() * 1e3, us.median() * 1e3, tokens / us.median()),
                    .clean = us.clean.size(), .total = us.all.size(), .scoreboard = number});
      bench::row({.what = bench::text("%s, tp=%d: FLOP of its products / multiply-add peak", what, tp), .ratio = flops / us.median() / peak,
                  .facts = bench::text("%.1f ms, %.1f of %.1f GFLOP/s", us.median() * 1e3, flops / us.median() / 1e9, peak / 1e9),
                  .clean = us.clean.size(), .total = us.all.size(), .scoreboard = number});
    }
    if (!all.count(1) || !all.count(2)) return;
    const figures &one = all.at(1), &two = all.at(2);
    const bench::series &a = one.*ours, &b = two.*ours;
    if (a.all.empty() || b.all.empty()) return;
    const double speedup = a.median() / b.median(), cores = peak_speed(two, 2) / peak_speed(one, 1);
    bench::row({.what = bench::text("%s: tp=2 over tp=1 / two cores' peak over one's", what), .ratio = speedup / cores, .gate = 0.85,
                .facts = bench::text("%.2fx of %.2fx", speedup, cores), .clean = b.clean.size(), .total = b.all.size(), .scoreboard = 10});
  };
  products("prefill of 128", &figures::prefill, &figures::prefill_eigen, 2 * double(prompt) * product_weights, double(prompt), 9);
  products("training step of 256", &figures::step, &figures::step_eigen, 6 * double(trained) * product_weights, double(trained), 11);
}

int usage() {
  std::fprintf(stderr, "llama98m --make FOLDER | FOLDER [--rounds N] [--strict] [--rows decode|prefill|train] [--only decode|prefill|train] [--tp N]\n");
  return 2;
}
}  // namespace

int main(int count, char** words) {
  std::string folder;
  int rounds = 3, tp = 0;
  bool strict = false;
  choice what;
  bool only = false;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const bool more = i + 1 < count;
    if (word == "--make" && more) {
      make(words[i + 1]);
      return 0;
    }
    if (word == "--rounds" && more) rounds = std::atoi(words[++i]);
    else if (word == "--tp" && more) tp = std::atoi(words[++i]);
    else if (word == "--strict") strict = true;
    else if (word == "--rows" && more) {
      const std::string thing = words[++i];
      what = {thing == "decode", thing == "prefill", thing == "train", true};
    } else if (word == "--only" && more) {
      const std::string thing = words[++i];
      what = {thing == "decode", thing == "prefill", thing == "train", false};
      only = true;
    } else if (folder.empty() && word[0] != '-') folder = word;
    else return usage();
  }
  if (folder.empty() || rounds < 1 || tp < 0 || tp > 8) return usage();

  if (!only) bench::describe_machine();
  std::map<int, figures> all;
  std::map<int, std::vector<rank_model>> models;
  const std::vector<int> sizes = tp ? std::vector<int>{tp} : std::vector<int>{1, 2};
  for (int n : sizes) {
    models.emplace(n, std::vector<rank_model>(std::size_t(n)));
    all[n];                                                  // here: the ranks only look it up
  }
  for (int r = 0; r < rounds; ++r)
    for (int n : sizes)
      sp::run(n, [&](int rank) {
        rank_model& m = models.at(n)[std::size_t(rank)];
        m.open(folder);
        round_of(m, all.at(n), what);
      });
  if (only) {
    for (const auto& [n, f] : all) {
      const bench::series& s = what.decode ? f.decode : what.prefill ? f.prefill : f.step;
      std::printf("{\"tp\": %d, \"seconds\": %.6f, \"best\": %.6f, \"clean\": %zu, \"total\": %zu}\n", n, s.median(), s.best(), s.clean.size(), s.all.size());
    }
    return 0;
  }
  report(all);
  for (const auto& [n, f] : all)
    if (f.loss != 0) std::printf("loss of the last step, tp=%d: %.6f\n", n, f.loss);
  return strict && bench::gates_missed ? 1 : 0;
}

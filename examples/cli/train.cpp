/// @file
/// AdamW training on the bytes of a file; writes a checkpoint that transformers loads and that --resume continues.
#include <cmath>
#include <cstdio>
#include <unistd.h>
#include <utility>
#include "train_step.hpp"

namespace cli {
namespace {

double rate_at(const train_options& o, long step, long last) {
  if (step < o.warmup) return o.rate * double(step + 1) / double(o.warmup);
  if (o.schedule != "cosine") return o.rate;
  const double x = last > o.warmup + 1 ? double(step - o.warmup) / double(last - o.warmup - 1) : 1;
  return o.rate * (0.1 + 0.45 * (1 + std::cos(3.14159265358979 * x)));
}

/// The optimizer's moments as parameters of their own, so that the loader and the saver serve them too. `rounded`: the checkpoint
/// stores the parameters in fewer bits than they are trained in; a run that is resumed would start elsewhere, so both are kept.
std::vector<sp::parameter_view> state_views(const std::vector<sp::parameter_view>& all, sp::adamw& optimizer, bool rounded) {
  std::vector<sp::parameter_view> out;
  for (const auto& v : all) {
    if (v.buffer || v.frozen) continue;
    auto& s = optimizer.state_of(v.name);
    const auto add = [&](const char* prefix, sp::ref& r) {
      out.push_back(v);
      out.back().name = prefix + v.name;
      out.back().stored.clear();
      out.back().at = &r;
      out.back().frozen = true;
    };
    if (rounded) {  // the parameter itself, not frozen: it takes gradients
      out.push_back(v);
      out.back().name = "exact." + v.name;
      out.back().stored.clear();
    }
    add("first.", s.first);
    add("second.", s.second);
    if (s.master) add("master.", s.master);
  }
  return out;
}
/// adamw keeps its states in a vector that may move while it grows: make all of them before views point into it.
void make_states(const std::vector<sp::parameter_view>& all, sp::adamw& optimizer) {
  optimizer.states.reserve(all.size());
  for (const auto& v : all) {
    if (v.buffer || v.frozen) continue;
    auto& s = optimizer.state_of(v.name);
    const sp::node& w = **v.at;
    if (s.first) continue;
    for (sp::ref* r : {&s.first, &s.second}) {
      *r = sp::leaf(sp::compute_type(w.type), w.s);
      sp::device().fill((*r)->v(), 0);
    }
    if (w.type != sp::compute_type(w.type)) {
      s.master = sp::leaf(sp::compute_type(w.type), w.s);
      sp::device().cast(s.master->v(), w.v());
    }
  }
}
double bytes_sent() {
  double sum = 0;
  for (const auto* axis : sp::self.on)
    if (axis)
      for (const double b : axis->counters().bytes) sum += b;
  return sum;
}

/// One step, as it is printed.
struct step_report {
  long step, of;
  double loss, norm, rate, seconds, tokens, megabytes;

  sp::io::json_tree tree() const {
    auto line = sp::io::json_tree::object();
    line.set("step", step);
    line.set("loss", loss);
    line.set("gradient_norm", norm);
    line.set("lr", rate);
    line.set("ms", seconds * 1e3);
    line.set("tokens_per_second", tokens / seconds);
    line.set("megabytes_communicated", megabytes);
    return line;
  }
  void print(std::FILE* to) const {
    std::fprintf(to, "step %ld  loss %.4f  grad norm %.3f  lr %.2e  %.1f ms  %.0f tok/s  %.2f MB communicated\n", step, loss,
                 norm, rate, seconds * 1e3, tokens / seconds, megabytes);
    std::fflush(to);
  }
  /// Overwrites the last one; for a terminal.
  void show_progress() const {
    std::fprintf(stderr, "\r\033[Kstep %ld/%ld  loss %.4f  %.0f tok/s  %.0f s left", step, of, loss, tokens / seconds,
                 seconds * double(of - step));
    std::fflush(stderr);
  }
};

const char* name_in_config(sp::dtype t) {
  return t == sp::dtype::bf16 ? "bfloat16" : t == sp::dtype::f16 ? "float16" : t == sp::dtype::f64 ? "float64" : "float32";
}

/// Writes everything aside; it takes its place at the end, and a failure leaves the old folder as it was. Collective.
void save(const session& s, const std::string& folder, const std::vector<sp::parameter_view>& all,
          const std::vector<sp::parameter_view>& moments, sp::dtype stored, long steps) {
  std::optional<sp::io::atomic_folder> out;
  if (sp::first_rank()) out.emplace(folder);
  sp::io::save_weights(all, out ? &out->add("model.safetensors") : nullptr, stored);
  sp::io::save_weights(moments, out ? &out->add("optimizer.safetensors") : nullptr);
  if (!out) return;
  auto state = sp::io::json_tree::object();
  state.set("step", steps);
  out->add("trainer_state.json").write(state.pretty() + "\n");
  const std::string generation = s.folder + "/generation_config.json";
  if (exists(generation)) out->add("generation_config.json").write(sp::io::read_text(generation));
  auto config = sp::io::read_json(s.folder + "/config.json");
  config.set(config.find("torch_dtype") ? "torch_dtype" : "dtype", name_in_config(stored));
  if (config.find("tie_word_embeddings"))  // two tables that differed stay two
    config.set("tie_word_embeddings", s.config.tie_word_embeddings);
  out->add("config.json").write(config.pretty() + "\n");
  out->drop("model.safetensors.index.json");
  out->commit();
}

bool holds_numbers(const sp::ref& w) {
  const sp::ref squares = sp::leaf(sp::dtype::f64, {1});
  sp::device().fill(squares->v(), 0);
  sp::device().sum_of_squares(squares->v(), w->v(), 1);
  return std::isfinite(sp::device().read(squares->v(), 0));
}

}  // namespace

answer train(const common_options& common, const train_options& o) {
  want_numbers(o);
  if (o.resume && o.init)
    throw sp::error(sp::code::usage, "--init makes fresh parameters, and --resume goes on with old ones.",
                    "leave one of the two out.");
  const bool resumes = o.resume && exists(o.output + "/trainer_state.json");
  if (o.resume && !resumes)
    throw sp::error(sp::code::io_failed, "there is nothing to resume in " + o.output + ".",
                    "train without --resume first, with the same --out.");
  const std::string source = resumes ? o.output : o.folder;
  const session s(common, source, o.init ? session::weights::unread : session::weights::opened);
  if (s.config.vocab_size < 256)
    throw sp::error(
        sp::code::wrong_configuration,
        "configuration field vocab_size is " + std::to_string(s.config.vocab_size) + ", but byte-level tokens need 256.",
        "train a model with a vocabulary of at least 256.");
  if (s.config.unapplied_dropout > 0)
    throw sp::error(sp::code::unsupported_value,
                    "the configuration drops weights of attention, or disturbs routers, in training (attention_dropout, attn_pdrop, router_jitter_noise), "
                    "which is not done here.",
                    "set that rate to 0, or train elsewhere.");
  if (s.config.embedding_dropout >= 1 || s.config.residual_dropout >= 1)
    throw sp::error(sp::code::wrong_configuration, "the configuration drops everything in training.", "give rates of dropout below 1.");
  const std::string text = sp::io::read_text(o.data, std::size_t(4) << 30);
  if (long(text.size()) < o.sequence)
    throw sp::error(
        sp::code::usage,
        o.data + " has " + std::to_string(text.size()) + " bytes, fewer than --seq " + std::to_string(o.sequence) + ".",
        "train on a longer text or with a shorter --seq.");
  std::optional<sp::io::checkpoint_files> moments;
  if (resumes) moments.emplace(o.output + "/optimizer.safetensors");
  s.want_memory(4);
  if (sp::first_rank()) want_place(o, resumes);
  long first_step = 0;
  if (resumes) {
    const auto state = sp::io::read_json(o.output + "/trainer_state.json", sp::code::wrong_configuration);
    const auto* n = state.find("step");
    if (!n || !n->as_int() || *n->as_int() < 0 || *n->as_int() > most_steps)
      throw sp::error(sp::code::wrong_configuration, o.output + "/trainer_state.json has no step.",
                      "train again without --resume, into a new folder.");
    first_step = long(*n->as_int());
  }
  const sp::dtype stored = s.type.value_or(s.config.stored);
  // Training keeps f32 masters: 16-bit checkpoints are trained as f32 and stored in their own type.
  const sp::dtype trained = sp::compute_type(stored);
  std::vector<rank_stats> stats;
  auto report = sp::io::json_tree::array();
  bool captured = false;
  const long last_step = first_step + o.steps;
  s.run([&] {
    auto lm = s.model();
    const auto all = lm->parameters();
    if (s.files) s.load(all, trained);
    else {
      sp::initialise(all, *o.init, s.config.initializer_range, trained);
      s.say();
    }
    sp::adamw optimizer{.lr = o.rate, .weight_decay = o.decay, .clip = o.clip};
    make_states(all, optimizer);
    optimizer.steps = first_step;
    if (moments) {
      const bool exact = moments->find("exact." + all.front().name) != nullptr;  // it may have been stored otherwise than now
      sp::io::load_weights(state_views(all, optimizer, exact), *moments, {.type = trained});
    }
    training_step one(s, *lm, optimizer, o, text);
    const bool shows = sp::first_rank(), progress = shows && ::isatty(2) == 1 && !common.json;
    double begin = 0;
    for (long step = first_step, unread = 0; step < last_step; ++step) {
      if (unread++ == 0) begin = seconds_now();
      const double sent = bytes_sent();
      const double rate = rate_at(o, step, last_step);
      one.run(step, rate);
      const bool prints = (step + 1) % o.log_every == 0 || step + 1 == last_step;
      // Reading the loss makes the host wait for a device, so that no step can be queued meanwhile.
      if (!prints && !progress && !sp::device().host_memory()) continue;
      const double loss = one.loss(), norm = optimizer.last_norm();
      for (const auto& [what, value] : {std::pair{"loss", loss}, {"gradient norm", norm}})
        if (!std::isfinite(value))
          throw sp::error(sp::code::usage, std::string("the ") + what + " of step " + std::to_string(step + 1) + " is not a number.",
                          "lower --lr, or look for broken weights.");
      const double seconds = (seconds_now() - begin) / double(std::exchange(unread, 0));
      if (!shows) continue;
      const step_report now{step + 1, last_step, loss, norm, rate, seconds, double(o.batch * o.sequence * o.accumulate), (bytes_sent() - sent) / 1e6};
      if (prints) {
        if (common.json) report.push(now.tree());
        if (progress) std::fprintf(stderr, "\r\033[K");
        now.print(common.json ? stderr : stdout);
      } else if (progress) now.show_progress();
    }
    for (const auto& v : all)
      if (sp::compute_type((*v.at)->type) == (*v.at)->type && !holds_numbers(*v.at))
        throw sp::error(sp::code::usage, "after step " + std::to_string(last_step) + " " + v.name + " holds no numbers any more.", "lower --lr, or set --clip.");
    const std::vector<rank_stats> of_all = stats_of_all(stats_of(*lm, one.book()));
    if (shows) {
      stats = of_all;
      captured = one.captured();
    }
    save(s, o.output, all, state_views(all, optimizer, stored != trained), stored, last_step);
  });
  if (!sp::first_rank()) return answer::done;
  if (common.json) {
    auto doc = sp::io::json_tree::object();
    doc.set("output", o.output);
    doc.set("steps", std::move(report));
    doc.set("captured", captured);
    doc.set("ranks", stats_tree(stats));
    std::printf("%s\n", doc.pretty().c_str());
  } else std::printf("saved %s\n", o.output.c_str());
  return answer::done;
}

}  // namespace cli

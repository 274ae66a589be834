/// @file
/// The program `shardproof`: a thin client of the library. Each verb is a few calls that a user could make from C++.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <shardproof/core/error.hpp>
#include <shardproof/io/unfinished.hpp>
#include "engine.hpp"

namespace {

/// A line of progress that stands on the terminal makes room.
void clear_progress() {
  if (::isatty(STDERR_FILENO) == 1) (void)!::write(STDERR_FILENO, "\r\033[K", 4);
}
/// One line on standard error, whatever happened.
int refuse(const char* what) {
  clear_progress();
  std::string line = what;
  for (char& c : line)
    if (c == '\n' || c == '\r') c = ' ';
  std::fprintf(stderr, "%s\n", line.c_str());
  return int(cli::answer::refused);
}
int refuse(const std::string& what, const std::string& fix) {
  return refuse(shardproof::error(shardproof::code::usage, what, fix).what());
}

/// Files that are being written go away, and the line says so; other threads are left where they are.
extern "C" void stop(int) {
  static std::atomic_flag begun = ATOMIC_FLAG_INIT;
  if (begun.test_and_set()) return;  // the first signal is being answered
  shardproof::io::remove_unfinished();
  constexpr char line[] =
      "shardproof[SP608] stopped by a signal before the work was done. Fix: run it again; each file is replaced as a whole or "
      "not at all.\n";
  clear_progress();
  (void)!::write(STDERR_FILENO, line, sizeof line - 1);
  ::_exit(int(cli::answer::refused));
}
void listen_to_signals() {
  for (const int s : {SIGINT, SIGTERM, SIGHUP})
    if (std::signal(s, stop) == SIG_IGN) std::signal(s, SIG_IGN);  // as nohup wants it
  for (const int s : {SIGPIPE, SIGXFSZ}) std::signal(s, SIG_IGN);  // a failed write says what it is
}
bool output_failed() { return std::fflush(stdout) != 0 || std::ferror(stdout); }

void add_model_options(CLI::App& verb, cli::common_options& o) {
  verb.add_option("--tp", o.tp, "ranks on the tensor-parallel axis")->capture_default_str();
  verb.add_option("--plan", o.plan,
                  "auto: the library's plan, proved by the compiler; hf: the plan transformers ships, imported; none: everything "
                  "replicated; FILE: a {pattern: style} dictionary")
      ->capture_default_str();
  verb.add_flag("--ep", o.experts, "experts on different ranks: of auto or hf, where the family has experts");
  verb.add_option("--ep-engine", o.engine_of_experts, "all_to_all: tokens travel; masked: every rank picks those of its own experts")->capture_default_str();
  verb.add_flag("--sequence-parallel", o.sequence_parallel, "the stream between layers is cut along the sequence, under any plan");
  verb.add_option("--engine", o.engine, "threads: ranks inside this process; nccl: each is a process with a GPU, started by torchrun, mpirun or srun")->capture_default_str();
  verb.add_option("--device", o.device, "cpu or cuda")->capture_default_str();
  verb.add_option("--dtype", o.type, "auto: as stored, f32 arithmetic; f32; f64; bf16: storage, f32 arithmetic")
      ->capture_default_str();
  verb.add_option("--allow-key", o.allowed_keys, "a configuration key to ignore although nobody knows it")
      ->allow_extra_args(false);
  verb.add_option("--timeout", o.timeout, "seconds after which a rank that waits for another gives up: 30, with --engine nccl 300");
}
void add_data_parallel(CLI::App& verb, cli::common_options& o) {
  verb.add_option("--dp", o.dp, "ranks on the data-parallel axis: sequences are dealt to them, gradients are summed over them")->capture_default_str();
}
void add_json(CLI::App& verb, cli::common_options& o) {
  verb.add_flag("--json", o.json, "one machine-readable document on standard output");
}

}  // namespace

int main(int argc, char** argv) {
  listen_to_signals();
  cli::common_options common;
  cli::run_options run;
  cli::generate_options generate;
  cli::train_options train;
  cli::diff_options diff;
  cli::check_options check;
  cli::explain_options explain;

  CLI::App app(
      "Tensor-parallel models whose plan is proved.\nExit status: 0 done, 1 the answer is no, 2 refused with one line "
      "`shardproof[SPnnn] what. Fix: how.`",
      "shardproof");
  app.require_subcommand(1);
  app.set_version_flag("--version", "shardproof 0.1.0");

  auto* v = app.add_subcommand("run", "forward of a checkpoint folder; with labels the loss, with --grad every gradient");
  v->add_option("folder", run.folder, "checkpoint folder: config.json and safetensors weights")->required();
  v->add_option("--input", run.input,
                "safetensors file: input_ids I64 [B, T], optionally labels I64 [B, T] (unshifted, -100 ignored)")
      ->required();
  v->add_option("--output", run.output, "safetensors file to write: logits, loss, grad.NAME")->required();
  v->add_flag("--grad", run.gradients, "also the gradient of every parameter, whole");
  v->add_option("--stats", run.stats, "JSON file to write: bytes, collectives, FLOP and seconds of each rank");
  add_model_options(*v, common);
  add_data_parallel(*v, common);
  add_json(*v, common);

  v = app.add_subcommand("generate", "greedy decoding with a KV cache; prints the new token ids");
  v->add_option("folder", generate.folder, "checkpoint folder")->required();
  v->add_option("--tokens", generate.tokens, "the prompt: token ids separated by commas")->required();
  v->add_option("--new", generate.count, "how many tokens to generate")->capture_default_str();
  v->add_flag("--ignore-eos", generate.ignore_eos, "go on behind an end-of-sequence token");
  v->add_option("--stats", generate.stats, "JSON file to write: FLOP of every step, bytes and collectives of each rank");
  add_model_options(*v, common);
  add_json(*v, common);

  v = app.add_subcommand("train", "AdamW training on the bytes of a file; writes a checkpoint that transformers loads");
  v->add_option("folder", train.folder, "checkpoint folder, or one with config.json alone together with --init")->required();
  v->add_option("--data", train.data, "file whose bytes are the tokens")->required();
  v->add_option("--out", train.output, "checkpoint folder to write")->required();
  v->add_option("--steps", train.steps, "optimizer steps")->capture_default_str();
  v->add_option("--batch", train.batch, "rows of a micro-batch")->capture_default_str();
  v->add_option("--seq", train.sequence, "tokens of a row")->capture_default_str();
  v->add_option("--accumulate", train.accumulate, "micro-batches of a step")->capture_default_str();
  v->add_option("--lr", train.rate, "learning rate")->capture_default_str();
  v->add_option("--warmup", train.warmup, "steps over which the rate rises")->capture_default_str();
  v->add_option("--schedule", train.schedule, "constant, or cosine down to a tenth")->capture_default_str();
  v->add_option("--weight-decay", train.decay, "of AdamW")->capture_default_str();
  v->add_option("--clip", train.clip, "limit of the gradient norm; 0: none")->capture_default_str();
  v->add_option("--init", train.init, "start from fresh parameters with this seed");
  v->add_option("--seed", train.seed, "of the order of the data")->capture_default_str();
  v->add_flag("--resume", train.resume, "go on from the checkpoint and optimizer state in --out");
  v->add_option("--log-every", train.log_every, "print every N-th step")->capture_default_str();
  add_model_options(*v, common);
  add_data_parallel(*v, common);
  add_json(*v, common);

  v = app.add_subcommand("diff", "compares two safetensors files or folders tensor by tensor");
  v->add_option("a", diff.a, "file or folder")->required();
  v->add_option("b", diff.b, "file or folder")->required();
  v->add_option("--rtol", diff.rtol, "accepted difference relative to b")->capture_default_str();
  v->add_option("--atol", diff.atol, "accepted absolute difference")->capture_default_str();
  v->add_option("--most", diff.most, "how many differing tensors to list")->capture_default_str();
  add_json(*v, common);

  v = app.add_subcommand("check", "lints a plan; with --model against a checkpoint's config.json, no weights read");
  v->add_option("plan", check.plan, "a {pattern: style} dictionary")->required();
  v->add_option("--model", check.model, "checkpoint folder (config.json is enough)");
  auto* tp = v->add_option("--tp", common.tp, "ranks on the tensor-parallel axis");
  v->add_flag("--strict", check.strict, "notes are findings too");
  v->add_option("--allow-key", common.allowed_keys, "a configuration key to ignore although nobody knows it")
      ->allow_extra_args(false);
  add_json(*v, common);

  v = app.add_subcommand("explain", "what each rank holds and sends: parameters, collectives, memory");
  v->add_option("folder", explain.folder, "checkpoint folder (config.json is enough)")->required();
  v->add_option("--batch", explain.batch, "rows of the step that is imagined")->capture_default_str();
  v->add_option("--seq", explain.sequence, "tokens of a row")->capture_default_str();
  add_model_options(*v, common);
  add_json(*v, common);

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& e) { return app.exit(e); } catch (const CLI::CallForAllHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion& e) { return app.exit(e); } catch (const CLI::ParseError& e) {
    std::string what = e.what();
    if (!what.empty() && what.back() == '.') what.pop_back();
    const auto verbs = app.get_subcommands();
    if (verbs.empty() && argc > 1 && argv[1][0] != '-') what = "there is no verb \"" + std::string(argv[1]) + "\"";
    return refuse(what + ".", "see shardproof " + (verbs.empty() ? std::string() : verbs.front()->get_name() + " ") + "--help.");
  }
  try {
    check.has_tp = tp->count() > 0;
    cli::answer a = cli::answer::refused;
    const std::string verb = app.get_subcommands().front()->get_name();
    for (int i = 1; i < argc; ++i) cli::command_line += std::string(argv[i]) + '\n';
    cli::want_engine(common);
    if (verb == "run") a = cli::on_ranks(common, [&] { return cli::run(common, run); });
    else if (verb == "generate") a = cli::on_ranks(common, [&] { return cli::generate(common, generate); });
    else if (verb == "train") a = cli::on_ranks(common, [&] { return cli::train(common, train); });
    else if (verb == "diff") a = cli::diff(common, diff);
    else if (verb == "check") a = cli::check(common, check);
    else a = cli::explain(common, explain);
    if (output_failed())
      return refuse(
          shardproof::error(shardproof::code::io_failed, "standard output cannot be written.", "check where it leads.").what());
    return int(a);
  } catch (const std::bad_alloc&) {
    return refuse("there is not enough memory for this request.",
                  "use more ranks, a smaller batch or sequence, or --dtype bf16.");
  } catch (const std::exception& e) { return refuse(e.what()); }
}

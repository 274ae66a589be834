#pragma once
/// @file
/// What the verbs share: how a model is placed, and how the program answers.
#include <optional>
#include <string>
#include <vector>
#include <shardproof/engine/threads.hpp>

namespace cli {

namespace sp = shardproof;

/// Exit status: the contract of the program.
enum class answer { done = 0, no = 1, refused = 2 };

struct common_options {
  int tp = 1, dp = 1;
  bool sequence_parallel = false;
  std::string plan = "auto";                             ///< auto, hf, none, or a file
  bool experts = false;
  std::string engine_of_experts = "all_to_all";
  std::string engine = "threads";
  std::string device = "cpu";
  std::string type = "auto";                             ///< auto, f32, f64, bf16
  std::optional<double> timeout;                         ///< seconds; empty: what the engine thinks fit
  std::vector<std::string> allowed_keys;
  bool json = false;
};

struct run_options { std::string folder, input, output, stats; bool gradients = false; };
struct generate_options { std::string folder, tokens, stats; int count = 32; bool ignore_eos = false; };
struct train_options {
  std::string folder, data, output;
  long steps = 100, batch = 8, sequence = 128, accumulate = 1, warmup = 0, log_every = 1;
  double rate = 1e-3, decay = 0.01, clip = 1.0;
  std::string schedule = "constant";
  bool resume = false;
  std::optional<unsigned long> init;
  unsigned long seed = 0;
};
struct diff_options { std::string a, b; double rtol = 0, atol = 0; int most = 10; };
struct check_options { std::string plan, model; bool strict = false; bool has_tp = false; };
struct explain_options { std::string folder; long batch = 1, sequence = 128; };

answer run(const common_options&, const run_options&);
answer generate(const common_options&, const generate_options&);
answer train(const common_options&, const train_options&);
answer diff(const common_options&, const diff_options&);
answer check(const common_options&, const check_options&);
answer explain(const common_options&, const explain_options&);

}  // namespace cli

/// @file
/// What `train` refuses before the first step.
#include "train.hpp"
#include <cmath>
#include <sys/stat.h>

namespace cli {

bool exists(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0;
}

void want_place(const train_options& o, bool resumes) {
  if (!resumes)
    for (const char* name : {"config.json", "model.safetensors", "model.safetensors.index.json", "optimizer.safetensors",
                             "trainer_state.json", "generation_config.json"})
      if (exists(o.output + "/" + name))
        throw sp::error(sp::code::io_failed,
                        "--out " + sp::io::shown(o.output, 400) + " holds a checkpoint already (" + name + ").",
                        "name a new folder, or go on with the training in that one by --resume.");
  sp::io::atomic_folder folder(o.output);
  folder.add("config.json");
}

void want_numbers(const train_options& o) {
  for (const auto& [name, value] :
       {std::pair{"--steps", o.steps}, {"--batch", o.batch}, {"--accumulate", o.accumulate}, {"--log-every", o.log_every}})
    if (value < 1)
      throw sp::error(sp::code::usage, std::string(name) + " " + std::to_string(value) + " is less than 1.", "pass at least 1.");
  if (o.sequence < 2)
    throw sp::error(sp::code::usage, "--seq " + std::to_string(o.sequence) + " leaves no token to predict.", "pass at least 2.");
  if (o.batch > most_tokens / o.sequence)
    throw sp::error(sp::code::usage,
                    "--batch " + std::to_string(o.batch) + " of --seq " + std::to_string(o.sequence) + " are more than " +
                        std::to_string(most_tokens) + " tokens.",
                    "pass a smaller --batch, and --accumulate.");
  for (const auto& [name, value] :
       {std::pair{"--steps", o.steps}, {"--accumulate", o.accumulate}, {"--log-every", o.log_every}, {"--warmup", o.warmup}})
    if (value > most_steps)
      throw sp::error(sp::code::usage,
                      std::string(name) + " " + std::to_string(value) + " is more than " + std::to_string(most_steps) + ".",
                      "pass a smaller number.");
  if (o.warmup < 0)
    throw sp::error(sp::code::usage, "--warmup " + std::to_string(o.warmup) + " is negative.", "pass at least 0.");
  for (const auto& [name, value] : {std::pair{"--lr", o.rate}, {"--clip", o.clip}, {"--weight-decay", o.decay}})
    if (!(value >= 0) || !std::isfinite(value))
      throw sp::error(sp::code::usage, std::string(name) + " must be a number that is not negative.",
                      "pass a finite number of at least 0.");
  if (o.schedule != "constant" && o.schedule != "cosine")
    throw sp::error(sp::code::unsupported_value, "--schedule " + o.schedule + " is not known.", "use constant or cosine.");
}

}  // namespace cli

/// @file
/// The code of docs/checkpoints.md.
#include "pages.hpp"
#include <cstdio>
#include <filesystem>
#include <unistd.h>
#include <shardproof/engine/threads.hpp>
#include <shardproof/io/checkpoint.hpp>
#include <shardproof/io/file.hpp>
#include <shardproof/shardproof.hpp>

namespace {

struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
template <class At> struct mlp {
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden, sp::with_bias>);
};
inline constexpr sp::plan plan{sp::packed_colwise{"gate_up_proj"}, sp::rowwise{"down_proj"}};
using model_type = mlp<sp::at<plan>>;

bool save_and_load(const std::string& folder) {
  //! [save]
  sp::run(2, [&] {
    model_type model;
    sp::initialise(model, 1);
    sp::save(model, folder, sp::dtype::bf16);                            // stored as bf16; without it, as the parameters are
  });
  //! [save]
  bool right = true;
  //! [load]
  sp::run(3, [&] {
    model_type model;
    sp::io::load_report report = sp::load(model, folder, {.type = sp::dtype::f32});      // without it, as stored
    for (const std::string& name : report.unused) std::printf("nobody has a place for %s\n", name.c_str());
    right = right && report.unused.empty();
  });
  //! [load]
  return right;
}

bool look_inside(const std::string& folder) {
  //! [look]
  const sp::io::checkpoint_files weights(folder);                        // model.safetensors, or several files and their index
  for (const sp::io::stored_tensor& t : weights.tensors()) std::puts(sp::io::described(*t.tensor).c_str());
  //! [look]
  return weights.tensors().size() == 3;
}

bool parameters_of_a_rank() {
  bool right = true;
  //! [parameters]
  sp::run(3, [&] {
    model_type model;
    std::size_t bytes = 0;
    for (const sp::parameter_view& p : sp::parameters(model)) bytes += p.local_bytes(sp::self.where);
    right = right && bytes == 4 * (16 * (8 + 8) + 8 * 16 + 16);          // gate_up, down, the whole bias: before any is made
  });
  //! [parameters]
  return right;
}

bool several_files(const std::string& folder) {
  //! [folder]
  sp::io::atomic_folder out(folder);                                     // appears as a whole, or not at all
  sp::io::json_tree config = sp::io::json_tree::parse(R"({"model_type": "mine"})").value;
  config.set("dtype", "bfloat16");
  out.add("config.json").write(config.pretty());
  out.commit();
  //! [folder]
  return std::filesystem::exists(folder + "/config.json");
}

}  // namespace

bool checkpoints() {
  const auto scratch = std::filesystem::temp_directory_path() / ("shardproof_checkpoints_" + std::to_string(getpid()));
  const std::string folder = (scratch / "saved").string();
  std::filesystem::create_directory(scratch);
  const bool right = save_and_load(folder) && look_inside(folder) && parameters_of_a_rank() &&
                     several_files((scratch / "other").string());
  std::filesystem::remove_all(scratch);
  return right;
}

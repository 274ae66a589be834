/// @file
/// What is refused at start-up and at run time, and the one line that says so. docs/errors.md is made from this program.
///
///     ./refusals                 # prints every message; exits 1 if one is not the line that stands here
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>
#include <vector>
#include <shardproof/engine/environment.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/llama.hpp>
#include <shardproof/families/registry.hpp>
#include <shardproof/io/checkpoint.hpp>
#include <shardproof/io/file.hpp>
#include <shardproof/model/dry_check.hpp>
#include <shardproof/shardproof.hpp>

//! [model]
struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
struct heads : sp::dim<6, sp::units> {};
struct head_dim : sp::dim<4> {};

template <class At> struct block {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<heads, head_dim>>);
  SP_LAYER(q_norm, sp::rms_norm<head_dim>);
  SP_LAYER(o_proj, sp::linear<sp::dims<heads, head_dim>, hidden>);
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto h = x + o_proj(q_norm(q_proj(x)));
    return h + down_proj(sp::silu(up_proj(h)));
  }
};
inline constexpr sp::run_time_plan<> at_start_up;
using model_type = block<sp::at<at_start_up>>;
//! [model]

inline constexpr sp::plan for_files{sp::colwise{"up_proj"}, sp::rowwise{"down_proj"}};
using stream = sp::sizes_of<sp::dims<sp::batch, sp::seq, hidden>>;

static bool all_as_written = true;

/// Runs `wrong`, which throws the refusal or returns it, and compares it with `says`.
template <class F> void refuse(sp::code c, F wrong, const char* says) {
  std::string got;
  try {
    got = wrong();
  } catch (const sp::error& e) { got = e.what(); }
  std::printf("%s\n", got.c_str());
  if (got == says && std::strstr(says, std::to_string(sp::number(c)).c_str())) return;
  std::printf("  expected: %s\n", says);
  all_as_written = false;
}

static void plans() {
  model_type model;
  refuse(sp::code::unmatched_layer, [&] {
    //! [unmatched_layer]
    sp::bind_report report = sp::bind(model, sp::parse_plan(R"({"up_proj": "colwise", "down_proj": "rowwise"})"), 2);
    return report.notes.front();                                         // a note: printed, not thrown
    //! [unmatched_layer]
  }, "shardproof[SP201] this layer is matched by no rule of the plan and stays replicated (see Layer). Fix: add a rule, or mark "
     "the layer replicated. [Layer=q_proj]");
  refuse(sp::code::unmatched_rule, [&] {
    //! [unmatched_rule]
    sp::bind(model, sp::parse_plan(R"({"up_proj": "colwise", "dwn_proj": "rowwise"})"), 2);
    //! [unmatched_rule]
    return "";
  }, "shardproof[SP202] this rule of the plan matches no layer of the model (see rule<>). Fix: correct the pattern, or mark the "
     "rule optional. [Rule=\"dwn_proj\": \"rowwise\", nearest layer down_proj]");
  refuse(sp::code::two_rules, [&] {
    //! [two_rules]
    sp::bind(model, sp::parse_plan(R"({"up_proj": "colwise", "up_proj.weight": "rowwise"})"), 2);
    //! [two_rules]
    return "";
  }, "shardproof[SP203] two rules of the plan match the same layer (see Layer, First, Second). Fix: delete one, or make the "
     "patterns disjoint. [Layer=up_proj, First=\"up_proj\", Second=\"up_proj.weight\"]");
  refuse(sp::code::unsuited_style, [&] {
    //! [unsuited_style]
    sp::bind(model, sp::parse_plan(R"({"q_norm": "rowwise"})"), 2);
    //! [unsuited_style]
    return "";
  }, "shardproof[SP204] this parallel style does not apply to this kind of layer (see style<>, Layer, applicable<>). Fix: use "
     "one of the styles in applicable<>. [at q_norm, Style=rowwise, Applicable=replicated, replicated_with_grad_allreduce, "
     "sequence_parallel, replicate_output]");
  refuse(sp::code::unknown_style, [&] {
    //! [unknown_style]
    sp::parse_plan(R"({"down_proj": "rowise"})");
    //! [unknown_style]
    return "";
  }, "shardproof[SP205] unknown parallel style \"rowise\" for \"down_proj\". Fix: did you mean \"rowwise\"? Known styles: "
     "replicated, colwise, rowwise, packed_colwise, colwise_gather_output, rowwise_split_input, rowwise_partial, "
     "replicated_with_grad_allreduce, embedding_rowwise, embedding_colwise, packed_rowwise, sequence_parallel, replicate_output, "
     "replicated_as_partial, mla_kv_a_proj, grouped_gemm, ep_router, moe_tp_experts, moe_tp_experts_partial, ep_dispatch_experts, "
     "moe_identity_expert, all_reduce, sharded_norm");
  refuse(sp::code::malformed_pattern, [&] {
    //! [malformed_pattern]
    sp::parse_plan(R"({"layers.*.exp*.w1": "colwise"})");
    //! [malformed_pattern]
    return "";
  }, "shardproof[SP206] malformed pattern (see Pattern, Position). Fix: write dot-separated names in which \"*\" stands alone "
     "for one layer number. [Pattern=\"layers.*.exp*.w1\", Position=12]");
  refuse(sp::code::malformed_plan, [&] {
    //! [malformed_plan]
    sp::parse_plan(R"({"up_proj": "colwise", "down_proj": )");
    //! [malformed_plan]
    return "";
  }, "shardproof[SP206] malformed pattern: the plan's text is not a JSON object of \"pattern\": \"style\" pairs (see Position). "
     "Fix: correct the text there. [Fault=\"the text ends too early\", Position=36]");
  refuse(sp::code::no_partition, [&] {
    //! [no_partition]
    sp::bind(model, sp::parse_plan(R"({"q_proj": "colwise"})"), 4);     // 6 heads, 4 ranks
    //! [no_partition]
    return "";
  }, "shardproof[SP105] no legal partition: the extent cannot be divided over the ranks in whole units (see extent<>, unit, "
     "ranks<>, legal<>). Fix: use a rank count in legal<>, pad the dimension, allow an uneven partition, or replicate the "
     "layer. [at q_proj.weight, style colwise, heads = 6, unit head, ranks 4, legal 1, 2, 3, 6]");
  refuse(sp::code::whole_into_rowwise, [&] {
    //! [whole_into_rowwise]
    sp::bind(model, sp::parse_plan(R"({"down_proj": "rowwise"})"), 2);  // up_proj was forgotten
    sp::dry_run(model, sp::ranks{2}, stream{2, 5, 16});
    //! [whole_into_rowwise]
    return "";
  }, "shardproof[SP101] placement mismatch: this layer's parallel style needs a different input placement than it is fed: a "
     "rowwise layer is fed a whole tensor (see fed<>, needs<>). Fix: give this layer the style rowwise_split_input, or give its "
     "producer the style colwise. [at down_proj, style rowwise, fed invariant from up_proj, needs shard<ffn>]");
  refuse(sp::code::drifting_parameter, [&] {
    //! [drifting_parameter]
    sp::bind(model, sp::parse_plan(R"({"q_proj": "colwise", "o_proj": "rowwise"})"), 2);       // q_norm was forgotten
    sp::dry_run(model, sp::ranks{2}, stream{2, 5, 16});
    //! [drifting_parameter]
    return "";
  }, "shardproof[SP301] a replicated parameter meets a rank-dependent activation: each rank would compute another gradient and "
     "the replicas drift apart. Fix: give the layer the style replicated_with_grad_allreduce (sequence_parallel on a sequence "
     "shard). [at q_norm, fed shard<heads> from q_proj and fed invariant from parameter]");
}

static void running() {
  refuse(sp::code::usage, [&] {
    //! [usage]
    sp::run(0, [] {});
    //! [usage]
    return "";
  }, "shardproof[SP001] a mesh of tp 0, dp 1, pp 1 has no ranks. Fix: give every axis at least one rank.");
  refuse(sp::code::no_backend, [&] {
    //! [no_backend]
    auto x = sp::whole(stream{1, 1, 16}, std::vector<float>(16));       // no .cpp of this program includes a backend
    //! [no_backend]
    return "";
  }, "shardproof[SP505] no backend is linked. Fix: include <shardproof/backend/cpu.hpp> in exactly one .cpp of the program. "
     "[device cpu]");
  refuse(sp::code::schedules_differ, [&] {
    //! [schedules_differ]
    sp::run(2, [] {
      float x = 1;
      if (sp::first_rank()) sp::self.world->all_reduce(&x, 1, sp::dtype::f32);
      sp::self.world->barrier();
    });
    //! [schedules_differ]
    return "";
  }, "shardproof[SP501] ranks disagree on the collective schedule: rank 0 is at all_reduce #1, rank 1 at barrier #1. Fix: take "
     "the same branch around collectives on every rank, and bind each collective's result to a named local. [group world]");
  refuse(sp::code::rank_lost, [&] {
    //! [rank_lost]
    sp::run(2, [] {
      if (sp::first_rank()) return;                                      // the other one waits for it
      sp::self.world->barrier();
    });
    //! [rank_lost]
    return "";
  }, "shardproof[SP502] rank 0 was lost: it returned from its body and does not reach barrier #1, where rank 1 waits. Fix: make "
     "the same collective calls on every rank of a group; do not return early on some. [group world]");
  refuse(sp::code::no_launcher, [&] {
    //! [no_launcher]
    sp::read_launch([](const char* name) { return std::strcmp(name, "RANK") ? nullptr : "0"; });   // RANK=0 ./train
    //! [no_launcher]
    return "";
  }, "shardproof[SP503] the launch environment is incomplete: WORLD_SIZE is not set. Fix: start the program by a launcher, or "
     "pass rank, world size and rendezvous explicitly.");
}

/// A safetensors file of zeros.
static void write_file(const char* header, std::size_t data) {
  const std::uint64_t n = std::strlen(header);
  std::ofstream out("model.safetensors", std::ios::binary);
  out.write(reinterpret_cast<const char*>(&n), 8) << header << std::string(data, '\0');
}
static void files() {
  block<sp::at<for_files>> model;
  refuse(sp::code::malformed_file, [&] {
    write_file("{\"up_proj.weight\":{\"dtype\":\"F32\",\"shape\":[24,16],\"data_offsets\":[0,1536]}}", 1000);
    //! [malformed_file]
    sp::load(model, "model.safetensors");                                // cut off while it was copied
    //! [malformed_file]
    return "";
  }, "shardproof[SP601] malformed safetensors file model.safetensors: tensor 'up_proj.weight' ends at 1536 of 1000 data bytes "
     "at byte 72. Fix: write the file again; nothing was loaded from it.");
  write_file("{\"q_proj.weight\":{\"dtype\":\"F32\",\"shape\":[16,24],\"data_offsets\":[0,1536]}}", 1536);
  refuse(sp::code::missing_tensor, [&] {
    //! [missing_tensor]
    sp::io::checkpoint_files("model.safetensors").at("o_proj.weight");
    //! [missing_tensor]
    return "";
  }, "shardproof[SP602] tensor o_proj.weight is missing from model.safetensors. Fix: name its source in the weight map, or "
     "initialise the parameter explicitly.");
  refuse(sp::code::wrong_shape, [&] {
    //! [wrong_shape]
    sp::load(model, "model.safetensors");                                // the file's q_proj is [16, 24]
    //! [wrong_shape]
    return "";
  }, "shardproof[SP603] tensor q_proj.weight is F32 [16, 24] in the file and F32 [24, 16] in the model. Fix: correct the "
     "model's dimensions, or declare the conversion.");
  refuse(sp::code::io_failed, [&] {
    //! [io_failed]
    sp::io::read_text("no_such_folder/config.json");
    //! [io_failed]
    return "";
  }, "shardproof[SP608] cannot open no_such_folder/config.json: No such file or directory. Fix: check the path; to write there, "
     "create its folder first.");
}

/// Enough of a family to read its configuration; sp::register_family would compile its models too.
static sp::families::entry llama_entry{"llama", &sp::families::llama_family::read, nullptr, nullptr};

static void configurations() {
  sp::families::add(llama_entry);
  refuse(sp::code::wrong_configuration, [&] {
    //! [wrong_configuration]
    sp::read_configuration(R"({"model_type": "llama", "vocab_size": -1})");
    //! [wrong_configuration]
    return "";
  }, "shardproof[SP604] config.json: vocab_size is -1: it must lie between 1 and 16777216. Fix: correct the value.");
  refuse(sp::code::unknown_family, [&] {
    //! [unknown_family]
    sp::read_configuration(R"({"model_type": "lama"})");
    //! [unknown_family]
    return "";
  }, "shardproof[SP605] unknown model family \"lama\". Fix: use one of the known ones: llama.");
  refuse(sp::code::unsupported_value, [&] {
    //! [unsupported_value]
    sp::read_configuration(R"({"model_type": "llama", "vocab_size": 256, "hidden_size": 16, "intermediate_size": 24,
                               "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_act": "swishish"})");
    //! [unsupported_value]
    return "";
  }, "shardproof[SP606] config.json: hidden_act is \"swishish\": no such activation exists here. Fix: use one of silu, swish, "
     "gelu, gelu_python, gelu_new, gelu_fast, gelu_accurate, gelu_pytorch_tanh, gelu_python_tanh, relu, relu2, sigmoid, tanh, "
     "linear, gelu_10, quick_gelu, relu6, leaky_relu, hardswish, mish.");
  refuse(sp::code::unknown_key, [&] {
    //! [unknown_key]
    sp::read_configuration(R"({"model_type": "llama", "vocab_size": 256, "hidden_size": 16, "intermediate_size": 24,
                               "num_hidden_layers": 2, "num_attention_heads": 4, "atention_bias": true})");
    //! [unknown_key]
    return "";
  }, "shardproof[SP607] config.json: nothing is known of the key atention_bias. Fix: did you mean attention_bias? Else remove "
     "it, or pass --allow-key atention_bias if it does not change the computation.");
}

int main() {
  const auto folder = std::filesystem::temp_directory_path() / ("shardproof_refusals_" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  std::filesystem::current_path(folder);
  plans();
  running();
  files();
  configurations();
  std::filesystem::current_path(folder.parent_path());
  std::filesystem::remove_all(folder);
  return all_as_written ? 0 : 1;
}

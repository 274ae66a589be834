#pragma once
/// @file
/// A checkpoint folder and how it is to be run: read and checked once, then opened by every rank.
#include <functional>
#include <memory>
#include <type_traits>
#include <shardproof/families/make.hpp>
#include <shardproof/families/registry.hpp>
#include <shardproof/io/checkpoint.hpp>
#include <shardproof/io/json_tree.hpp>
#include <shardproof/shardproof.hpp>
#include "options.hpp"

namespace cli {

/// What is read before any rank starts.
struct session {
  common_options options;
  std::string folder;
  std::string config_text;
  sp::configuration config;
  std::vector<std::int64_t> end_tokens;  ///< of the configuration and of generation_config.json
  sp::device_kind device = sp::device_kind::cpu;
  sp::plan_choice choice = sp::plan_choice::automatic;
  sp::sharing sharing;
  std::string plan_text;                          ///< of a run-time plan
  std::optional<sp::dtype> type;                  ///< of the parameters; empty: as stored
  std::optional<sp::io::checkpoint_files> files;  ///< the folder's weights, opened
  std::vector<std::string> notes;  ///< what is to be said of plan and tables, once nothing more can be refused
  bool head_is_table = false;                     ///< a tied checkpoint that keeps its one table under the head's name

  enum class weights : unsigned char { unread, opened };
  /// Reads config.json and the plan, and opens the weights.
  /// @error SP001, SP504, SP601, SP604 ... SP608, and what the plan breaks.
  session(const common_options&, std::string folder, weights);
  void add_end_tokens(const std::string& file);
  /// A model without weights, its plan bound and checked, on this rank.
  std::unique_ptr<sp::causal_lm> model() const;
  /// Prints the notes, and those given; of rank 0 only.
  void say(const std::vector<std::string>& more = {}) const;
  /// Reads this rank's part of the weights, and says the notes. @error SP602, SP603.
  void load(const std::vector<sp::parameter_view>&, std::optional<sp::dtype>) const;
  /// A model with them.
  std::unique_ptr<sp::causal_lm> loaded() const;
  /// `copies`: values kept for each parameter (itself, gradient, moments).
  /// @error SP001, on a device SP506: all ranks together would need more memory than the machine has.
  void want_memory(int copies) const;
  /// May a step be captured (sp::replay)? Not where ranks ask how many tokens travel to their experts.
  bool captures(sp::causal_lm&) const;
  /// The files that a verb reads of this folder; none of them is to be written over.
  std::vector<std::string> read_files() const;
  /// Runs body on every rank. What it leaves behind for its caller is the first rank's: others may be in other processes.
  void run(const std::function<void()>& body) const;

 private:
  bool ranks_are_threads() const { return options.engine == "threads"; }
  void meet_tied_tables();
};

/// Per-rank figures that --stats writes.
struct rank_stats {
  double weight_bytes = 0, predicted_weight_bytes = 0, peak_bytes = 0, flops_forward = 0, flops_backward = 0, seconds = 0;
  sp::ledger book;
  sp::traffic_counters traffic;
};
/// Fills everything but seconds from the rank's state.
rank_stats stats_of(sp::causal_lm&, const sp::ledger&);
/// Those of all ranks of the world, on every rank. Collective.
std::vector<rank_stats> stats_of_all(const rank_stats& mine);
sp::io::json_tree stats_tree(const std::vector<rank_stats>&);

/// @error SP001: `option` would write over one of the files `read`.
void refuse_overwriting(const char* option, const std::string& path, const std::vector<std::string>& read);

double seconds_now();

}  // namespace cli

#pragma once
/// @file
/// A checkpoint folder and how it is to be run: read and checked once, then opened by every rank.
#include <functional>
#include <memory>
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
  std::vector<std::int64_t> end_tokens;                  ///< of the configuration and of generation_config.json
  sp::plan_choice choice = sp::plan_choice::automatic;
  std::string plan_text;                                 ///< of a run-time plan
  std::optional<sp::dtype> type;                         ///< of the parameters; empty: as stored

  /// Reads config.json and the plan. @error SP001, SP504, SP604 ... SP608.
  session(const common_options&, std::string folder);
  void add_end_tokens(const std::string& file);
  /// A model without weights, its plan bound and checked, on this rank.
  std::unique_ptr<sp::causal_lm> model() const;
  /// The same with the folder's weights.
  std::unique_ptr<sp::causal_lm> loaded(const sp::io::checkpoint_files&) const;
  /// Runs body on every rank.
  void run(const std::function<void()>& body) const;
};

/// Per-rank figures that --stats writes.
struct rank_stats {
  double weight_bytes = 0, predicted_weight_bytes = 0, peak_bytes = 0, flops_forward = 0, flops_backward = 0, seconds = 0;
  sp::ledger book;
  sp::traffic_counters traffic;
};
/// Fills everything but seconds from the rank's state.
rank_stats stats_of(sp::causal_lm&, const sp::ledger&);
sp::io::json_tree stats_tree(const std::vector<rank_stats>&);

double seconds_now();

}  // namespace cli

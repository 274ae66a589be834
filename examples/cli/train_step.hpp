#pragma once
/// @file
/// One step of training: micro-batches, their gradients, AdamW.
///
///     training_step step(session, *lm, optimizer, options, text);
///     step.run(7, 1e-3);                                   // queued when it returns
///     step.loss();                                         // waits for the device
///
/// Where nothing of a step is decided on the host, a device that captures runs it as one graph from the second on: what differs from
/// step to step, the tokens and the learning rate, goes into memory that the graph reads.
#include <shardproof/runtime/replay.hpp>
#include "train.hpp"

namespace cli {

class training_step {
 public:
  /// Keeps references to all of them.
  training_step(const session&, sp::causal_lm&, sp::adamw&, const train_options&, const std::string& text);
  /// Collective.
  void run(long step, double rate);
  /// Of the last step: the mean over its micro-batches.
  double loss() const { return sp::device().read(loss_->v(), 0); }
  bool captured() const { return graph_.captured(); }
  /// What one step costs.
  const sp::ledger& book() const { return book_; }

 private:
  sp::token_ids micro_batch(long step, long micro) const;
  void queue(long step);

  sp::causal_lm& lm_;
  sp::adamw& optimizer_;
  const train_options& options_;
  const std::string& text_;
  const std::vector<sp::parameter_view> all_;
  const bool captures_;
  sp::cache off_{sp::cache::options{.on = false}};
  std::vector<sp::token_ids> ids_;                       ///< of a step that is captured, one a micro-batch
  sp::ref loss_;                                         ///< f64 [1]
  sp::ledger book_;
  sp::replay graph_;
};

}  // namespace cli

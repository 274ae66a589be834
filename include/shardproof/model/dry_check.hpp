#pragma once
/// @file
/// A model that exists is walked by an imagined rank before any data is touched: forward and loss on nodes without buffers.
///
///     sp::ledger l = sp::dry_check(*lm, sp::ranks{4}, sp::tokens{2, 5});               // what a training step costs; SP101 ... SP106
///     sp::ledger g = sp::dry_check(*lm, sp::ranks{4}, sp::tokens{1, 128}, {.training = false});    // a prompt, with cache_bytes
///     sp::ledger r = sp::dry_run(model, sp::ranks{4}, sp::tokens{2, 5});               // a model under a bound run_time_plan: forward
///
/// A run-time plan is proved here: placements meet the rules of the one table as in a real run. No backend is needed, nothing is
/// communicated, no parameter is allocated or changed. Rank 0 is imagined: by the ceil rule it holds the largest part.
#include <shardproof/model/causal_lm.hpp>
#include <shardproof/model/dry_run.hpp>
namespace shardproof {

struct dry_options {
  bool training = true;                                ///< tape and loss; otherwise no tape, and a cache that keeps keys and values
  dtype type = dtype::f32;                             ///< of parameters that are not there yet
};

namespace detail {
/// While it lives, this thread is rank 0 of `r`, computes nothing, charges `book`, and sees parameters without buffers.
class imagined_rank {
  context before_ = self;
  std::vector<std::pair<ref*, ref>> weights_;

 public:
  ledger book;
  /// @error SP105 a parameter cannot be dealt to the ranks.
  imagined_rank(const std::vector<parameter_view>& all, ranks r, const dry_options& o) {
    for (const auto& v : all) require_dealable(v, r.tp);
    weights_.reserve(all.size());
    self.where = imagined_spot(r);
    self.on = {};
    self.world = nullptr;
    self.book = &book;
    self.tape = o.training;
    self.dry = true;
    for (const auto& v : all) {
      ref w = leaf(*v.at ? (*v.at)->type : o.type, v.local_shape(self.where));
      w->tracked = !v.frozen && !v.buffer;
      w->accumulates = true;
      weights_.emplace_back(v.at, std::exchange(*v.at, std::move(w)));
    }
  }
  ~imagined_rank() {
    for (auto& [at, real] : weights_) *at = std::move(real);
    self = before_;
  }
  imagined_rank(const imagined_rank&) = delete;
};
template <class D, class L> tensor<data, D, L> imagined_ids(const sizes_of<D>& s, const layout_value& p) {
  return {s, leaf(dtype::i64, shardproof::local_shape(s, p)), p};
}
}  // namespace detail

/// @error what the plan breaks, at its first layer; SP105 a rank count that cannot share the model.
inline ledger dry_check(causal_lm& lm, ranks r, const tokens& s, const dry_options& o = {}) {
  detail::imagined_rank here(lm.parameters(), r, o);
  const auto ids = detail::imagined_ids<dims<batch, seq>, any>(s, lm.input_place());
  cache kv(cache::options{.on = !o.training});
  const auto logits = lm.forward(ids, kv);
  if (o.training) (void)cross_entropy(logits, ids);
  return here.book;
}

/// Of a model under a bound run-time plan: forward and the backward of its result.
template <class M, class S> requires (!detail::plan_in<M>::type::typed)
ledger dry_run(M& m, ranks r, const S& s, const dry_options& o = {}) {
  detail::imagined_rank here(parameters(m), r, o);
  cache kv(cache::options{.on = !o.training});
  (void)m.forward(detail::imagined_ids<typename S::dims_type, any>(s, input_place(m)), kv);
  return here.book;
}
/// The same with the loss: one training step.
template <class M, class S> requires (!detail::plan_in<M>::type::typed)
ledger dry_step(M& m, ranks r, const S& s) {
  detail::imagined_rank here(parameters(m), r, {});
  cache kv(cache::options{.on = false});
  const auto ids = detail::imagined_ids<typename S::dims_type, any>(s, input_place(m));
  (void)cross_entropy(m.forward(ids, kv), ids);
  return here.book;
}

}  // namespace shardproof

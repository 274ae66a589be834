// error: shardproof[SP103] a nonlinear operation is applied to a Partial value: f(a+b) != f(a)+f(b). Fix: all_reduce (sp::reduced) or reduce_scatter first.
// code: SP103
// near: 22
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct head_only {
  SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
  SP_LAYER(lm_head, sp::linear<hidden, vocab>);
  auto forward(const auto& ids) const { return lm_head(embed_tokens(ids)); }
};
inline constexpr sp::plan one_device{};
inline constexpr auto on_dp = one_device.with_axis<sp::dp, sp::shard<sp::batch>>();

double loss_of(const head_only<sp::at<on_dp>>& model, const std::vector<long>& numbers) {
  auto ids = sp::input(model, sp::tokens{2, 4}, numbers);
  auto loss = sp::cross_entropy(model.forward(ids), sp::next_tokens(ids));
  // Each group of dp holds its own rows' part of the mean.
#ifndef MUST_FAIL
  return sp::reduced(loss).item();
#else
  return loss.item();
#endif
}

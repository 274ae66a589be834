/// @file
/// A step of training: queued, or captured once and run again.
#include "train_step.hpp"
#include <shardproof/runtime/rng.hpp>

namespace cli {
namespace {

/// A graph holds every kernel of a step: beyond so many micro-batches it takes more memory than its launch saves time.
constexpr long most_captured = 64;

/// Rows of bytes at positions that depend on seed, step, micro-batch and row alone: the same for every world size.
std::vector<std::int64_t> batch_at(const std::string& text, const train_options& o, long step, long micro) {
  std::vector<std::int64_t> out(std::size_t(o.batch * o.sequence));
  const long room = long(text.size()) - o.sequence;
  for (long b = 0; b < o.batch; ++b) {
    const std::uint64_t index = std::uint64_t((step * o.accumulate + micro) * o.batch + b);
    const long at = long(sp::uniform_at(o.seed, sp::stream_of("data"), index) * double(room + 1));
    for (long t = 0; t < o.sequence; ++t)
      out[std::size_t(b * o.sequence + t)] = static_cast<unsigned char>(text[std::size_t(at + t)]);
  }
  return out;
}
/// A captured step would drop the same elements each time.
bool drops(const sp::configuration& c) { return c.embedding_dropout > 0 || c.residual_dropout > 0; }

}  // namespace

training_step::training_step(const session& s, sp::causal_lm& lm, sp::adamw& optimizer, const train_options& o, const std::string& text)
    : lm_(lm),
      optimizer_(optimizer),
      options_(o),
      text_(text),
      all_(lm.parameters()),
      captures_(s.captures(lm) && !drops(s.config) && o.accumulate <= most_captured),
      loss_(sp::leaf(sp::dtype::f64, {1})) {}

sp::token_ids training_step::micro_batch(long step, long micro) const {
  return sp::input(lm_, sp::tokens{options_.batch, options_.sequence}, batch_at(text_, options_, step, micro));
}

void training_step::run(long step, double rate) {
  optimizer_.advance(rate);
  if (!captures_) return queue(step);
  for (long micro = 0; micro < options_.accumulate; ++micro) {
    const sp::token_ids given = micro_batch(step, micro);
    if (std::size_t(micro) == ids_.size()) ids_.push_back(given);
    else sp::assign(ids_[std::size_t(micro)], given);
  }
  graph_([&] { queue(step); });
}

void training_step::queue(long step) {
  book_ = {};
  sp::self.book = &book_;
  sp::device().fill(loss_->v(), 0);
  const sp::dropping in_this_step(options_.seed, std::uint64_t(step));
  for (long micro = 0; micro < options_.accumulate; ++micro) {
    const sp::token_ids x = captures_ ? ids_[std::size_t(micro)] : micro_batch(step, micro);
    const auto loss = sp::cross_entropy(lm_.forward(x, off_), sp::next_tokens(x), {.scale = 1.0 / double(options_.accumulate)});
    sp::backward(loss);
    const sp::ref exact = sp::leaf(sp::dtype::f64, {1});
    sp::device().cast(exact->v(), sp::reduced(loss).at->v());
    sp::device().accumulate(loss_->v(), exact->v());
  }
  sp::self.book = nullptr;
  optimizer_.update(all_);
}

}  // namespace cli

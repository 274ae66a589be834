#pragma once
/// @file
/// A language model behind an interface without its types: what the program, a server or a test holds.
///
///     std::unique_ptr<sp::causal_lm> lm = sp::make_causal_lm(config, sp::plan_choice::automatic);
///     auto logits = lm->forward(ids, kv);                    // (batch, seq, vocab), sharded over the vocabulary if its head is
///     auto loss = sp::cross_entropy(logits, sp::next_tokens(ids));
///
/// A family registers itself under its `model_type`; each is one .cpp, so that a program pays only for those it links.
#include <memory>
#include <shardproof/layer/cache.hpp>
#include <shardproof/model/inputs.hpp>
#include <shardproof/model/parameters.hpp>
namespace shardproof {

struct vocab : dim<> {};
using token_ids = tensor<data, dims<batch, seq>, any>;
using token_logits = tensor<data, dims<batch, seq, vocab>, any>;

class causal_lm {
 public:
  virtual ~causal_lm() = default;
  /// ids (batch, seq) i64 -> logits (batch, seq, vocab). Pass a cache with `on = false` to train.
  virtual token_logits forward(const token_ids& ids, cache& kv) = 0;
  /// How token ids lie on the mesh under its plan.
  virtual layout_value input_place() const = 0;
  /// In the order of declaration, named as in the checkpoint.
  virtual std::vector<parameter_view> parameters() = 0;
  /// Pattern and style of every rule of the plan in force.
  virtual std::vector<std::pair<std::string, std::string>> plan() const = 0;
  /// What the plan's import or binding had to say (aliases, repairs, SP201).
  virtual std::vector<std::string> notes() const { return {}; }
  virtual long vocabulary() const = 0;
  virtual long layers() const = 0;
};

/// This rank's part of token ids that are given whole on every rank.
template <class T> token_ids input(const causal_lm& lm, const tokens& s, std::span<const T> values) { return detail::input_at<any>(lm.input_place(), s, values); }
template <class C> token_ids input(const causal_lm& lm, const tokens& s, const C& values) { return input(lm, s, std::span<const typename C::value_type>(values)); }

/// ids as the erased interface takes them.
template <class D, class L> token_ids erased_ids(const tensor<data, D, L>& ids) {
  static_assert(D::rank == 2, "shardproof: token ids are (batch, seq)");
  sizes_of<dims<batch, seq>> s;
  s.n = ids.sizes.n;
  return {s, ids.at, ids.place(), ids.made_by};
}

}  // namespace shardproof

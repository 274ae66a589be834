#pragma once
/// @file
/// A table of token embeddings.
///
///     SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);          // weight (vocab, hidden); embed_tokens.padding = 0
///     auto x = embed_tokens(ids);                                    // (batch, seq) i64 -> (batch, seq, hidden)
#include <shardproof/layer/run_time.hpp>
#include <shardproof/tensor/ops/lookup.hpp>
namespace shardproof {

namespace detail {
template <class At, class Rows, class D> struct table_parameters {
  SP_PARAM(weight, rows<Rows>, width<D>);
  long padding = -1;                                   ///< the row that gets no gradient (torch's padding_idx); -1: none
};
}  // namespace detail

template <class Rows, class D> struct embedding : layer_kind<embedding<Rows, D>> {
  using in = dims<Rows>;
  using out = dims<D>;
  static constexpr bool begins_stream = true;          ///< left whole, it still gives each rank its part of a stream that is cut
  template <class At> using parameters = detail::table_parameters<At, Rows, D>;
  template <class Where> static constexpr auto call(const auto& own, const auto& ids, const auto& w) { return lookup<Where>(ids, w, own.padding); }
};

}  // namespace shardproof

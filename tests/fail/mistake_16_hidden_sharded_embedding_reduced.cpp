// error: shardproof[SP108] a reducing collective is fed a value that is not a pending sum: it would add unrelated shards or count one value once per rank. Fix: all_gather a sharded value; drop the reduction of an equal one.
// code: SP108
// path: operations::all_reduce, fed<shard<hidden>>, needs<partial>
// path: at<by_columns, embed_tokens>
// A table sharded along its columns, in a style of one's own.
#include <shardproof/shardproof.hpp>
#include "llama/attention.hpp"
#include "llama/gated_mlp.hpp"
#include "llama/model.hpp"

struct embedding_by_columns : sp::style_defaults {
  static constexpr auto name = "embedding_by_columns";
  static constexpr sp::role shards = sp::role::width;
#ifdef MUST_FAIL
  static constexpr auto after(const auto& y, const auto& bias) { return sp::all_reduce(y) + bias; }
#else
  static constexpr auto after(const auto& y, const auto& bias) { return sp::all_gather(y) + bias; }
#endif
};
template <class At> struct front {
  SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<decoder_layer, 2>);
  constexpr auto forward(const auto& ids, auto&& cache) const { return layers(embed_tokens(ids), cache); }
};
inline constexpr sp::plan by_columns{embedding_by_columns{"embed_tokens"}, sp::replicated{"layers.*.mlp.down_proj"}};
static_assert(sp::dry_run<front, by_columns>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_gathers == 1);

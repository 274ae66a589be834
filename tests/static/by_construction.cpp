// Mistakes that cannot be made: each would have to be written with `unsafe` to exist at all. (The others are must-fail programs.)
#include <shardproof/shardproof.hpp>
#include <shardproof/layer/with.hpp>

struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
struct odd_vocab : sp::dim<131> {};
struct kv_heads : sp::dim<2, sp::groups> {};
struct q_heads : sp::dim<8, sp::grouped_by<kv_heads>> {};
struct head_dim : sp::dim<4> {};
using sp::batch, sp::seq;
using gate_up = sp::fused<ffn, ffn>;
using stream = sp::sizes_of<sp::dims<batch, seq, hidden>>;

// ---- f is forgotten at a colwise input: the styles that shard outputs bring it -------------------------------------------------
template <class At> struct pair {
  SP_LAYER(left, sp::linear<hidden, ffn>);
  SP_LAYER(right, sp::linear<hidden, ffn>);
  constexpr auto forward(const auto& x, auto&&) const { return left(x) * right(x); }
};
template <class At> struct normed_pair {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(left, sp::linear<hidden, ffn>);
  SP_LAYER(right, sp::linear<hidden, ffn>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto h = norm(x);
    return left(h) * right(h);
  }
};
inline constexpr sp::plan both{sp::colwise{"left", "right"}};
inline constexpr sp::plan both_gathered{sp::colwise_gather_output{"left", "right"}};
static_assert(sp::dry_run<normed_pair, both>(sp::ranks{4}, stream{2, 5, 16}).backward.all_reduces == 1);          // one f serves both
static_assert(sp::dry_run<normed_pair, both_gathered>(sp::ranks{4}, stream{2, 5, 16}).backward.all_reduces == 1);
static_assert(sp::dry_run<pair, both>(sp::ranks{4}, stream{2, 5, 16}).backward.all_reduces == 0);                // an input wants no gradient

// ---- head norms on sharded heads with two micro-batches: the weight goes through f at each use, so each fresh gradient is reduced --
template <class At> struct head_norm {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(q_norm, sp::rms_norm<head_dim>);
  constexpr auto forward(const auto& x, auto&&) const { return q_norm(q_proj(x)); }
};
inline constexpr sp::plan synchronised{sp::colwise{"q_proj"}, sp::replicated_with_grad_allreduce{"q_norm"}};
static_assert(sp::dry_run<head_norm, synchronised>(sp::ranks{2}, stream{2, 5, 16}).backward.all_reduces == 1);
constexpr int reductions_of(int micro_batches) {
  head_norm<sp::at<synchronised>> m;
  int n = 0;
  for (int i = 0; i < micro_batches; ++i) n += sp::dry_run(m, sp::ranks{2}, stream{2, 5, 16}).backward.all_reduces;
  return n;
}
static_assert(reductions_of(2) == 2);
// its parameter stays Invariant, and so does what is accumulated into it
using synced = sp::with<sp::replicated_with_grad_allreduce, sp::rms_norm<head_dim>>;
static_assert(std::is_same_v<decltype(synced::weight)::placement_type, sp::invariant>);

// ---- a packed layer's bias sharded plainly: weight, bias and activation share the dimension, and so the cut ------------------------
using packed = sp::with<sp::packed_colwise, sp::linear<hidden, gate_up, sp::with_bias>>;
static_assert(std::is_same_v<decltype(packed::weight)::placement_type, sp::packed<sp::out<gate_up>>>);
static_assert(std::is_same_v<decltype(packed::bias)::placement_type, sp::packed<sp::out<gate_up>>>);
constexpr sp::ranges bias_of(int rank) { return sp::local_ranges(&sp::info<sp::out<gate_up>>, 48, decltype(packed::bias)::placement_type::value, rank, 2); }
constexpr sp::ranges weight_of(int rank) { return sp::local_ranges(&sp::info<sp::out<gate_up>>, 48, decltype(packed::weight)::placement_type::value, rank, 2); }
static_assert(bias_of(0).count == 2);
static_assert(bias_of(0).at[0] == sp::slice{0, 12} && bias_of(0).at[1] == sp::slice{24, 36});
static_assert(bias_of(1).at[0] == sp::slice{12, 24} && bias_of(1).at[1] == sp::slice{36, 48});
static_assert(weight_of(0).at == bias_of(0).at && weight_of(1).at == bias_of(1).at);

// ---- a KV head cut across ranks: two KV heads on four ranks are held twice, whole --------------------------------------------------
static_assert(sp::block_of(&sp::info<kv_heads>, 2, 0, 4) == sp::slice{0, 1});
static_assert(sp::block_of(&sp::info<kv_heads>, 2, 1, 4) == sp::slice{0, 1});
static_assert(sp::block_of(&sp::info<kv_heads>, 2, 2, 4) == sp::slice{1, 2});
static_assert(sp::block_of(&sp::info<kv_heads>, 2, 3, 4) == sp::slice{1, 2});
static_assert(sp::block_of(&sp::info<q_heads>, 8, 1, 4) == sp::slice{2, 4});

// ---- a vocabulary that does not divide: 131 rows over four ranks are 33, 33, 33, 32 --------------------------------------------------
template <class At> struct odd_model {
  SP_LAYER(embed_tokens, sp::embedding<odd_vocab, hidden>);
  SP_LAYER(lm_head, sp::tied_linear<hidden, odd_vocab>);
  constexpr auto forward(const auto& ids, auto&&) const { return lm_head(embed_tokens(ids), embed_tokens.weight); }
};
inline constexpr sp::plan vocabulary{sp::embedding_rowwise{"embed_tokens"}, sp::colwise{"lm_head"}};
static_assert(sp::covers<odd_model, vocabulary>());
inline constexpr auto vocabulary_on_four = vocabulary.on(4);
static_assert(sp::dry_step<odd_model, vocabulary_on_four>(sp::ranks{4}, sp::tokens{2, 5}).forward.all_reduces == 3);
static_assert(sp::chunk(131, 0, 4) == sp::slice{0, 33});
static_assert(sp::chunk(131, 2, 4) == sp::slice{66, 99});
static_assert(sp::chunk(131, 3, 4) == sp::slice{99, 131});

// ---- a norm's weight unsynchronised under sequence parallelism: it goes through f -------------------------------------------------------
template <class At> struct normed_mlp {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return x + down_proj(sp::silu(up_proj(norm(x)))); }
};
template <class At> struct one_block {
  SP_LAYER(embed_tokens, sp::embedding<odd_vocab, hidden>);
  SP_LAYER(mlp, sp::block<normed_mlp>);
  constexpr auto forward(const auto& ids, auto&&) const { return mlp(embed_tokens(ids)); }
};
inline constexpr sp::plan split_mlp{sp::embedding_rowwise{"embed_tokens"}, sp::colwise{"mlp.up_proj"}, sp::rowwise{"mlp.down_proj"}};
inline constexpr auto along_seq = split_mlp.with_boundary<sp::shard<seq>>();
static_assert(sp::dry_run<one_block, split_mlp>(sp::ranks{4}, sp::tokens{2, 5}).backward.all_reduces == 1);      // f of up_proj's input
static_assert(sp::dry_run<one_block, along_seq>(sp::ranks{4}, sp::tokens{2, 5}).backward.all_reduces == 2);      // norm.weight and down_proj.bias
static_assert(sp::dry_run<one_block, along_seq>(sp::ranks{4}, sp::tokens{2, 5}).backward.reduce_scatters == 1);

// ---- a gathered value enters a sharded layer: its gradient is split, and the layer behind it brings f --------------------------------------
template <class At> struct gathered_then_sharded {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(first, sp::linear<hidden, ffn>);
  SP_LAYER(second, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return second(first(norm(x))); }
};
inline constexpr sp::plan gather_then_shard{sp::colwise_gather_output{"first"}, sp::colwise{"second"}};
constexpr auto gathered = sp::dry_run<gathered_then_sharded, gather_then_shard>(sp::ranks{4}, stream{2, 5, 16});
static_assert(gathered.forward.all_gathers == 1);
static_assert(gathered.backward.all_reduces == 2);                                 // f at both inputs
static_assert(gathered.backward.all_gathers == 0);
using gathering = sp::with<sp::colwise_gather_output, sp::linear<hidden, ffn>>;
static_assert(std::is_same_v<sp::place_in<decltype(std::declval<const gathering&>()(std::declval<sp::tensor<sp::ghost, sp::dims<batch, seq, hidden>>>()))>, sp::invariant>);

/// @file
/// The code of docs/styles.md: what each style communicates, row by row of the table there.
#include "pages.hpp"
#include <shardproof/layer/region.hpp>
#include <shardproof/shardproof.hpp>
#include <shardproof/tensor/ops/rows.hpp>

namespace {

struct vocab : sp::dim<29> {};
struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
struct kv_heads : sp::dim<4, sp::groups> {};
struct q_heads : sp::dim<8, sp::grouped_by<kv_heads>> {};
struct head_dim : sp::dim<4> {};
using stream = sp::sizes_of<sp::dims<sp::batch, sp::seq, hidden>>;

/// Collectives of one step: forward, then backward.
struct counts {
  int all_reduces, all_gathers, reduce_scatters, back_all_reduces, back_all_gathers, back_reduce_scatters;
  constexpr bool operator==(const counts&) const = default;
};
constexpr counts of(const sp::ledger& l) {
  return {l.forward.all_reduces,  l.forward.all_gathers,  l.forward.reduce_scatters,
          l.backward.all_reduces, l.backward.all_gathers, l.backward.reduce_scatters};
}

//! [cost]
template <class At> struct mlp {
  SP_LAYER(norm, sp::rms_norm<hidden>);                                  // so that the layers' input wants a gradient
  SP_LAYER(up, sp::linear<hidden, ffn, sp::with_bias>);
  SP_LAYER(down, sp::linear<ffn, hidden, sp::with_bias>);
  constexpr auto forward(const auto& x, auto&&) const { return down(up(norm(x))); }
};
inline constexpr sp::plan pair{sp::colwise{"up"}, sp::rowwise{"down"}};
constexpr auto step = sp::dry_run<mlp, pair>(sp::ranks{4}, stream{2, 5, 16});
static_assert(step.forward.all_reduces == 1);                            // after down
static_assert(step.backward.all_reduces == 1);                           // of the gradient that leaves up
//! [cost]
static_assert(of(step) == counts{1, 0, 0, 1, 0, 0});
inline constexpr sp::plan gathered{sp::colwise_gather_output{"up"}};
static_assert(of(sp::dry_run<mlp, gathered>(sp::ranks{4}, stream{2, 5, 16})) == counts{0, 1, 0, 1, 0, 0});
inline constexpr sp::plan split{sp::rowwise_split_input{"down"}};
static_assert(of(sp::dry_run<mlp, split>(sp::ranks{4}, stream{2, 5, 16})) == counts{1, 0, 0, 0, 1, 0});
inline constexpr sp::plan none{};
static_assert(of(sp::dry_run<mlp, none>(sp::ranks{4}, stream{2, 5, 16})) == counts{0, 0, 0, 0, 0, 0});

//! [shared]
template <class At> struct fused_mlp {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(gate_up, sp::linear<hidden, sp::fused<ffn, ffn>, sp::with_bias>);
  SP_LAYER(left, sp::linear<ffn, hidden>);
  SP_LAYER(right, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto [a, b] = sp::split(gate_up(norm(x)));                           // two shards of ffn
    return sp::reduced(left(a) + right(b));                              // two pending sums, one all_reduce
  }
};
inline constexpr sp::plan one_reduction{sp::packed_colwise{"gate_up"}, sp::rowwise_partial{"left", "right"}};
static_assert(sp::dry_run<fused_mlp, one_reduction>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);
//! [shared]
static_assert(of(sp::dry_run<fused_mlp, one_reduction>(sp::ranks{4}, stream{2, 5, 16})) == counts{1, 0, 0, 1, 0, 0});

template <class At> struct heads {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(q_norm, sp::rms_norm<head_dim>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return o_proj(q_norm(q_proj(norm(x)))); }
};
inline constexpr sp::plan normed{sp::colwise{"q_proj"}, sp::replicated_with_grad_allreduce{"q_norm"}, sp::rowwise{"o_proj"}};
static_assert(of(sp::dry_run<heads, normed>(sp::ranks{4}, stream{2, 5, 16})) == counts{1, 0, 0, 2, 0, 0});

template <class At> struct table {
  SP_LAYER(embed, sp::embedding<vocab, hidden>);
  constexpr auto forward(const auto& ids, auto&&) const { return embed(ids); }
};
inline constexpr sp::plan rows{sp::embedding_rowwise{"embed"}};
static_assert(of(sp::dry_run<table, rows>(sp::ranks{4}, sp::tokens{2, 5})) == counts{1, 0, 0, 0, 0, 0});

inline constexpr sp::plan columns{sp::embedding_colwise{"embed"}};
static_assert(of(sp::dry_run<table, columns>(sp::ranks{4}, sp::tokens{2, 5})) == counts{0, 1, 0, 0, 0, 0});

template <class At> struct packed_mlp {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(up, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(down, sp::linear<sp::fused<ffn, ffn>, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return down(up(norm(x))); }
};
inline constexpr sp::plan packed_through{sp::packed_colwise{"up"}, sp::packed_rowwise{"down"}};
static_assert(of(sp::dry_run<packed_mlp, packed_through>(sp::ranks{4}, stream{2, 5, 16})) == counts{1, 0, 0, 1, 0, 0});

template <class At> struct whole_normed_heads {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(q_norm, sp::rms_norm<sp::dims<q_heads, head_dim>>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden>);
  constexpr auto forward(const auto& x, auto&&) const { return o_proj(q_norm(q_proj(norm(x)))); }
};
inline constexpr sp::plan number_a_token{sp::colwise{"q_proj"}, sp::sharded_norm{"q_norm"}, sp::rowwise{"o_proj"}};
static_assert(of(sp::dry_run<whole_normed_heads, number_a_token>(sp::ranks{4}, stream{2, 5, 16})) == counts{2, 0, 0, 2, 0, 0});

template <class At> struct gated_branch {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(gate, sp::linear<hidden, sp::one>);
  SP_LAYER(up, sp::linear<hidden, ffn>);
  SP_LAYER(down, sp::linear<ffn, hidden>);
  SP_PARAM(shift, sp::dims<hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto n = norm(x);
    return sp::reduced(sp::scale_rows(down(up(n)), gate(n)) + shift);
  }
};
inline constexpr sp::plan pending{sp::colwise{"up"}, sp::rowwise_partial{"down"}, sp::replicate_output{"gate"}, sp::replicated_as_partial{"shift"}};
static_assert(of(sp::dry_run<gated_branch, pending>(sp::ranks{4}, stream{2, 5, 16})) == counts{1, 0, 0, 2, 0, 0});      // of dx and of the gate

template <class At> struct latent {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(down, sp::linear<hidden, sp::fused<ffn, head_dim>>);
  constexpr auto forward(const auto& x, auto&&) const { return sp::split(down(norm(x))).second; }
};
inline constexpr sp::plan by_part{sp::mla_kv_a_proj{"down"}};
static_assert(of(sp::dry_run<latent, by_part>(sp::ranks{4}, stream{2, 5, 16})) == counts{0, 0, 0, 1, 0, 0});

template <class At> struct inner {
  SP_LAYER(up, sp::linear<hidden, ffn>);
  SP_LAYER(down, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x) const { return down(up(x)); }
};
template <class At> struct outer {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(branch, sp::region<inner>);
  constexpr auto forward(const auto& x, auto&&) const { return branch(norm(x)); }
};
inline constexpr sp::plan closed{sp::all_reduce_region{"branch"}, sp::colwise{"branch.up"}, sp::rowwise_partial{"branch.down"}};
static_assert(of(sp::dry_run<outer, closed>(sp::ranks{4}, stream{2, 5, 16})) == counts{1, 0, 0, 1, 0, 0});

inline constexpr auto norm_on_a_cut_stream = sp::plan{sp::sequence_parallel{"norm"}, sp::embedding_rowwise{"embed"}}.with_boundary<sp::shard<sp::seq>>();
template <class At> struct normed_table {
  SP_LAYER(embed, sp::embedding<vocab, hidden>);
  SP_LAYER(norm, sp::rms_norm<hidden>);
  constexpr auto forward(const auto& ids, auto&&) const { return norm(embed(ids)); }
};
static_assert(of(sp::dry_run<normed_table, norm_on_a_cut_stream>(sp::ranks{4}, sp::tokens{2, 8})) == counts{0, 0, 1, 1, 1, 0});

//! [sequence]
template <class At> struct lm {
  SP_LAYER(embed, sp::embedding<vocab, hidden>);
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(up, sp::linear<hidden, ffn>);
  SP_LAYER(down, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& ids, auto&&) const { return down(up(norm(embed(ids)))); }
};
inline constexpr sp::plan whole_stream{sp::embedding_rowwise{"embed"}, sp::colwise{"up"}, sp::rowwise{"down"}};
inline constexpr auto cut_stream = whole_stream.with_boundary<sp::shard<sp::seq>>();
constexpr sp::pass whole = sp::dry_run<lm, whole_stream>(sp::ranks{4}, sp::tokens{2, 8}).forward;
constexpr sp::pass cut = sp::dry_run<lm, cut_stream>(sp::ranks{4}, sp::tokens{2, 8}).forward;
static_assert(whole.all_reduces == 2);                                   // after embed and after down
static_assert(cut.all_gathers == 1 && cut.reduce_scatters == 2);         // before up; after embed and after down
//! [sequence]
static_assert(of(sp::dry_run<lm, whole_stream>(sp::ranks{4}, sp::tokens{2, 8})) == counts{2, 0, 0, 1, 0, 0});
static_assert(of(sp::dry_run<lm, cut_stream>(sp::ranks{4}, sp::tokens{2, 8})) == counts{0, 1, 2, 1, 2, 1});

//! [suits]
static_assert( sp::suits<sp::colwise, sp::linear<hidden, ffn>>());
static_assert(!sp::suits<sp::rowwise, sp::rms_norm<hidden>>());                      // SP204: it has no role `in`
static_assert(!sp::suits<sp::packed_colwise, sp::linear<hidden, ffn>>());            // nothing is fused
static_assert(!sp::suits<sp::embedding_rowwise, sp::linear<ffn, hidden, sp::with_bias>>());
//! [suits]

}  // namespace

bool styles() { return true; }

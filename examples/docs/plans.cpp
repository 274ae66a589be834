/// @file
/// The code of docs/plans.md.
#include "pages.hpp"
#include <string>
#include <shardproof/families/import.hpp>
#include <shardproof/families/qwen3.hpp>
#include <shardproof/layer/with.hpp>
#include <shardproof/model/dry_check.hpp>
#include <shardproof/shardproof.hpp>

namespace {

using sp::batch, sp::seq;
struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
struct vocab : sp::dim<37> {};
template <class At> struct mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x) const { return x + down_proj(sp::silu(up_proj(x))); }
};
template <class At> struct net {
  SP_LAYER(layers, sp::stack<mlp, 2>);
  constexpr auto forward(const auto& x, auto&&) const { return layers(x); }
};
using stream = sp::sizes_of<sp::dims<batch, seq, hidden>>;

//! [patterns]
static_assert( sp::matches("layers.*.down_proj", "layers.11.down_proj"));        // "*" is one layer number
static_assert(!sp::matches("layers.*.down_proj", "layers.x.down_proj"));
static_assert(!sp::matches("layers.*", "layers.11.down_proj"));                  // the whole path, segment by segment
static_assert(!sp::matches("down_proj", "layers.11.down_proj"));
static_assert( sp::names_layer("layers.*.down_proj.weight", "layers.11.down_proj"));      // the layer that owns the weight
static_assert( sp::fault_in("layers.*.up_*") == 12);                             // SP206: "*" inside a name, at position 12
static_assert( sp::fault_in("?layers.*.q_norm") == -1);                          // well formed; "?" marks the pattern optional
//! [patterns]

//! [values]
inline constexpr sp::plan tensor_parallel{sp::colwise{"layers.*.up_proj", "?layers.*.gate_proj"},
                                          sp::rowwise{"layers.*.down_proj"}};
static_assert(sp::covers<net, tensor_parallel>());                               // no gate_proj here; "?" allows that
static_assert(tensor_parallel.find("layers.0.down_proj") == 1);                  // the second rule
static_assert(sp::rules_for(tensor_parallel, "layers.0.down_proj").count == 1);  // two would be SP203
//! [values]

//! [variants]
inline constexpr auto on_four = tensor_parallel.on(4);                           // 4 ranks: SP105 while compiling
inline constexpr auto with_dp = tensor_parallel.with_axis<sp::dp, sp::shard<batch>>();
inline constexpr auto sequence_parallel = tensor_parallel.with_boundary<sp::shard<seq>>();
static_assert(sp::covers<net, on_four>() && sp::covers<net, with_dp>() && sp::covers<net, sequence_parallel>());
//! [variants]

//! [from_text]
inline constexpr auto from_text = sp::parse_plan(R"({
  "layers.*.up_proj": "colwise",
  "layers.*.down_proj": {"style": "rowwise"},
  "?layers.*.gate_proj": "colwise"
})");
static_assert(from_text.rule_count() == 3 && sp::covers<net, from_text>());
static_assert(sp::dry_run<net, from_text>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 2);
//! [from_text]

//! [aliases]
static_assert(sp::current_name("colwise_rep") == "colwise_gather_output");
static_assert(sp::current_name("rowwise_rep") == "rowwise_split_input");
static_assert(sp::current_name("replicate") == "replicated");
static_assert(sp::nearest_style(sp::standard_styles{}, "rowise") == "rowwise");
//! [aliases]

//! [start_up]
inline constexpr sp::run_time_plan<> at_start_up;
bool read_at_start_up(const std::string& json, int ranks) {
  net<sp::at<at_start_up>> model;
  sp::bind_report report = sp::bind(model, sp::parse_plan(json), ranks);         // SP105, SP202, SP203, SP204; SP205, SP206
  for (const std::string& note : report.notes) std::puts(note.c_str());          // SP201: a layer without a rule
  sp::ledger cost = sp::dry_run(model, sp::ranks{ranks}, stream{2, 5, 16});      // SP101 ... SP107, SP301: the placements
  return cost.forward.all_reduces == 1;
}
//! [start_up]

//! [start_up_cut]
template <class At> struct lm {
  SP_LAYER(embed, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<mlp, 2>);
  constexpr auto forward(const auto& ids, auto&&) const { return layers(embed(ids)); }
};
inline constexpr auto may_be_cut = sp::run_time_plan<>{}.with_boundary<sp::shard<seq>>();
bool cut_at_start_up(const std::string& json, int ranks) {
  lm<sp::at<may_be_cut>> model;
  sp::bind(model, sp::parse_plan(json).with_boundary<sp::shard<seq>>().with_axis<sp::dp, sp::shard<batch>>(), ranks);
  return sp::dry_run(model, sp::ranks{ranks, 2}, sp::tokens{2, 8}).forward.reduce_scatters == 3;      // behind the table and two mlps
}
//! [start_up_cut]

//! [with]
struct welded_mlp {
  sp::with<sp::colwise, sp::linear<hidden, ffn>, struct up_proj> up_proj;        // path "up_proj", parameter "up_proj.weight"
  sp::with<sp::rowwise, sp::linear<ffn, hidden>, struct down_proj> down_proj;
  constexpr auto forward(const auto& x) const { return x + down_proj(sp::silu(up_proj(x))); }
};
//! [with]

//! [import]
bool import() {
  const std::vector<std::string> layers{"model.embed_tokens", "model.layers.0.self_attn.q_norm", "model.layers.0.mlp.up_proj",
                                        "model.layers.0.mlp.down_proj", "lm_head"};
  const auto plan = sp::families::import_plan(sp::families::qwen3_family::published, layers, true);      // true: tied head
  for (const std::string& note : plan.notes) std::puts(note.c_str());
  return sp::parse_plan(plan.text).wrong.broken == sp::code::ok;
}
//! [import]

}  // namespace

bool plans() { return read_at_start_up(R"({"layers.0.up_proj": "colwise", "layers.0.down_proj": "rowwise"})", 4) &&
                     cut_at_start_up(R"({"embed": "embedding_rowwise", "layers.*.up_proj": "colwise", "layers.*.down_proj": "rowwise"})", 4) && import(); }

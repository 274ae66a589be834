// Plans: which style a path gets, what is wrong with a plan by itself, and texts that say the same as style objects.
#include <shardproof/plan/parse.hpp>
namespace sp = shardproof;

struct batch : sp::dim<> {};
struct seq : sp::dim<> {};
struct gathered_twice : sp::style_defaults { static constexpr auto name = "gathered_twice"; };

inline constexpr sp::plan llama{
    sp::embedding_rowwise{"embed_tokens"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj", "lm_head"},
    sp::rowwise{"layers.*.self_attn.o_proj", "layers.*.mlp.down_proj"},
    sp::packed_colwise{"layers.*.mlp.gate_up_proj"},
    sp::replicated_with_grad_allreduce{"?layers.*.self_attn.q_norm"}};
inline constexpr auto text = sp::parse_plan(R"({
  "embed_tokens": "embedding_rowwise",
  "layers.*.self_attn.q_proj": "colwise", "layers.*.self_attn.k_proj": "colwise", "layers.*.self_attn.v_proj": "colwise", "lm_head": "colwise",
  "layers.*.self_attn.o_proj": "rowwise", "layers.*.mlp.down_proj": "rowwise",
  "layers.*.mlp.gate_up_proj": "packed_colwise",
  "?layers.*.self_attn.q_norm": "replicated_with_grad_allreduce"})");

/// The name of the style that a plan gives a path.
template <class Plan> constexpr std::string_view style(const Plan& p, std::string_view path) {
  std::string_view name;
  const int n = p.find(path);
  sp::each_style(typename Plan::styles{}, [&]<class S>(int i, S*) { if (i == n) name = S::name; });
  return name;
}

// a path gets the style of its rule, in a plan of objects
static_assert(style(llama, "embed_tokens") == "embedding_rowwise");
static_assert(style(llama, "lm_head") == "colwise");
static_assert(style(llama, "layers.*.self_attn.q_proj") == "colwise");
static_assert(style(llama, "layers.3.self_attn.k_proj") == "colwise");
static_assert(style(llama, "layers.*.self_attn.o_proj") == "rowwise");
static_assert(style(llama, "layers.*.mlp.down_proj") == "rowwise");
static_assert(style(llama, "layers.*.mlp.gate_up_proj") == "packed_colwise");
static_assert(style(llama, "layers.*.self_attn.q_norm") == "replicated_with_grad_allreduce");
// and replicated where no rule names it
static_assert(style(llama, "norm") == "replicated");
static_assert(style(llama, "layers.*.self_attn.k_norm") == "replicated");
static_assert(style(llama, "layers.*.mlp") == "replicated");
static_assert(style(llama, "layers.*.mlp.down_proj_extra") == "replicated");
static_assert(style(llama, "") == "replicated");
// the same from a text that is parsed while compiling
static_assert(style(text, "embed_tokens") == "embedding_rowwise");
static_assert(style(text, "lm_head") == "colwise");
static_assert(style(text, "layers.*.self_attn.q_proj") == "colwise");
static_assert(style(text, "layers.3.self_attn.k_proj") == "colwise");
static_assert(style(text, "layers.*.self_attn.o_proj") == "rowwise");
static_assert(style(text, "layers.*.mlp.down_proj") == "rowwise");
static_assert(style(text, "layers.*.mlp.gate_up_proj") == "packed_colwise");
static_assert(style(text, "layers.*.self_attn.q_norm") == "replicated_with_grad_allreduce");
static_assert(style(text, "norm") == "replicated");
static_assert(style(text, "layers.*.self_attn.k_norm") == "replicated");
static_assert(text.count == 9);
static_assert(text.rule_count() == 9);
static_assert(text.pattern(0) == "embed_tokens");
static_assert(text.pattern(8) == "?layers.*.self_attn.q_norm");
static_assert(llama.rule_count() == 5);

// an optional rule is a rule like any other where it matches
static_assert(llama.find("layers.*.self_attn.q_norm") == 4);
// a rule that ends in a parameter names the layer
static_assert(style(sp::plan{sp::rowwise{"mlp.down_proj.weight"}}, "mlp.down_proj") == "rowwise");
static_assert(style(sp::parse_plan(R"({"mlp.down_proj.weight": "rowwise"})"), "mlp.down_proj") == "rowwise");

// older names are aliases
static_assert(style(sp::parse_plan(R"({"a": "colwise_rep"})"), "a") == "colwise_gather_output");
static_assert(style(sp::parse_plan(R"({"a": "rowwise_rep"})"), "a") == "rowwise_split_input");
static_assert(style(sp::parse_plan(R"({"a": "replicate"})"), "a") == "replicated");
static_assert(sp::current_name("colwise") == "colwise");
static_assert(sp::current_name("anything") == "anything");
// an object with a style says the same
static_assert(style(sp::parse_plan(R"({"a": {"style": "rowwise", "layers": 32}})"), "a") == "rowwise");
// styles of one's own have names in texts too, if they are listed
static_assert(style(sp::parse_plan<gathered_twice>(R"({"a": "gathered_twice"})"), "a") == "gathered_twice");
static_assert(sp::parse_plan(R"({"a": "gathered_twice"})").wrong.broken == sp::code::unknown_style);
static_assert(sp::parse_plan("{}").count == 0);

// two rules for one path are counted, and named
static_assert(sp::rules_for(llama, "lm_head").count == 1);
static_assert(sp::rules_for(llama, "lm_head").first == 1);
static_assert(sp::rules_for(llama, "norm").count == 0);
static_assert(sp::rules_for(llama, "norm").first == -1);
inline constexpr sp::plan twice{sp::colwise{"a", "b"}, sp::rowwise{"c"}, sp::rowwise{"b"}};
static_assert(sp::rules_for(twice, "a").count == 1);
static_assert(sp::rules_for(twice, "b").count == 2);
static_assert(sp::rules_for(twice, "b").first == 0);
static_assert(sp::rules_for(twice, "b").second == 2);
static_assert(sp::rules_for(sp::plan{sp::colwise{"a", "a.weight"}}, "a").count == 2);

// what is wrong with a plan by itself: nothing
static_assert(llama.fault().broken == sp::code::ok);
static_assert(text.fault().broken == sp::code::ok);
static_assert(text.wrong.broken == sp::code::ok);
// a malformed pattern, with its rule and its position
static_assert(sp::plan{sp::colwise{"a"}, sp::rowwise{"b..c"}}.fault().broken == sp::code::malformed_pattern);
static_assert(sp::plan{sp::colwise{"a"}, sp::rowwise{"b..c"}}.fault().rule == 1);
static_assert(sp::plan{sp::colwise{"a"}, sp::rowwise{"b..c"}}.fault().position == 2);
static_assert(sp::plan{sp::colwise{"a"}, sp::rowwise{"b..c"}}.fault().word == "b..c");
static_assert(sp::plan{sp::colwise{"a", "b*"}}.fault().broken == sp::code::malformed_pattern);
// a layer number, which all layers of a stack would share
static_assert(sp::plan{sp::colwise{"layers.0.a"}}.fault().broken == sp::code::numbered_pattern);
static_assert(sp::plan{sp::colwise{"layers.0.a"}}.fault().position == 7);
static_assert(sp::plan{sp::colwise{"layers.*.fc1"}}.fault().broken == sp::code::ok);
static_assert(sp::parse_plan(R"({"layers.0.a": "colwise"})").wrong.broken == sp::code::ok);        // a run-time plan may name one
static_assert(sp::parse_plan(R"({"layers.0.a": "colwise"})").fault().broken == sp::code::numbered_pattern);
// texts
static_assert(sp::parse_plan(R"({"a": "rowise"})").wrong.broken == sp::code::unknown_style);
static_assert(sp::parse_plan(R"({"a": "rowise"})").wrong.word == "rowise");
static_assert(sp::parse_plan(R"({"a": "rowise"})").wrong.rule == 0);
static_assert(sp::parse_plan(R"({"a": "colwise", "b": "Colwise"})").wrong.rule == 1);
static_assert(sp::parse_plan(R"({"a..b": "rowwise"})").wrong.broken == sp::code::malformed_pattern);
static_assert(sp::parse_plan(R"({"a..b": "rowwise"})").wrong.position == 2);
static_assert(sp::parse_plan(R"(["a"])").wrong.broken == sp::code::malformed_plan);
static_assert(sp::parse_plan(R"({"a": 1})").wrong.broken == sp::code::malformed_plan);
static_assert(sp::parse_plan(R"({"a": "colwise")").wrong.broken == sp::code::malformed_plan);
static_assert(sp::parse_plan(R"({"a": "colwise"} x)").wrong.broken == sp::code::malformed_plan);
static_assert(sp::parse_plan("").wrong.broken == sp::code::malformed_plan);
// the nearest known style
static_assert(sp::nearest_style(sp::standard_styles{}, "rowise") == "rowwise");
static_assert(sp::nearest_style(sp::standard_styles{}, "colwize") == "colwise");
static_assert(sp::nearest_style(sp::standard_styles{}, "replicate_with_grad_allreduce") == "replicated_with_grad_allreduce");
static_assert(sp::nearest_style(sp::standard_styles{}, "packedcolwise") == "packed_colwise");
static_assert(sp::edit_distance("", "") == 0);
static_assert(sp::edit_distance("row", "") == 3);
static_assert(sp::edit_distance("", "row") == 3);
static_assert(sp::edit_distance("rowise", "rowwise") == 1);
static_assert(sp::edit_distance("colwise", "rowwise") == 2);
static_assert(sp::edit_distance("kitten", "sitting") == 3);

// every standard style is found by its name, once
static_assert(sp::style_number(sp::standard_styles{}, "replicated") >= 0);
static_assert(sp::style_number(sp::standard_styles{}, "colwise") >= 0);
static_assert(sp::style_number(sp::standard_styles{}, "rowwise") >= 0);
static_assert(sp::style_number(sp::standard_styles{}, "packed_colwise") >= 0);
static_assert(sp::style_number(sp::standard_styles{}, "colwise_gather_output") >= 0);
static_assert(sp::style_number(sp::standard_styles{}, "rowwise_split_input") >= 0);
static_assert(sp::style_number(sp::standard_styles{}, "rowwise_partial") >= 0);
static_assert(sp::style_number(sp::standard_styles{}, "replicated_with_grad_allreduce") >= 0);
static_assert(sp::style_number(sp::standard_styles{}, "embedding_rowwise") >= 0);
static_assert(sp::style_number(sp::standard_styles{}, "colwise_rep") == -1);
static_assert(sp::style_number(sp::standard_styles{}, "") == -1);

// what a plan says for the whole model
static_assert(llama.ranks == 0);
static_assert(llama.on(4).ranks == 4);
static_assert(style(llama.on(4), "lm_head") == "colwise");
static_assert(text.on(4).ranks == 4);
static_assert(style(text.on(4), "lm_head") == "colwise");
using plain_set = decltype(llama)::set;
using with_dp = decltype(llama.with_axis<sp::dp, sp::shard<batch>>())::set;
using sequential = decltype(llama.with_boundary<sp::shard<seq>>())::set;
using both = decltype(llama.with_axis<sp::dp, sp::shard<batch>>().with_boundary<sp::shard<seq>>())::set;
static_assert(std::is_same_v<plain_set::boundary, sp::invariant>);
static_assert(std::is_same_v<sequential::boundary, sp::shard<seq>>);
static_assert(std::is_same_v<both::boundary, sp::shard<seq>>);
static_assert(std::is_same_v<plain_set::activation<sp::partial>, sp::partial>);
static_assert(std::is_same_v<plain_set::parameter<sp::invariant>, sp::invariant>);
// on another axis activations lie as it says, parameters are Replicate
static_assert(std::is_same_v<with_dp::activation<sp::invariant>, sp::layout<sp::on<sp::dp, sp::shard<batch>>, sp::on<sp::tp, sp::invariant>>>);
static_assert(std::is_same_v<with_dp::parameter<sp::invariant>, sp::layout<sp::on<sp::dp, sp::replicate>, sp::on<sp::tp, sp::invariant>>>);
static_assert(std::is_same_v<both::activation<sp::partial>, sp::layout<sp::on<sp::dp, sp::shard<batch>>, sp::on<sp::tp, sp::partial>>>);
static_assert(std::is_same_v<decltype(text.with_axis<sp::dp, sp::shard<batch>>())::set, with_dp>);
static_assert(style(llama.with_boundary<sp::shard<seq>>(), "lm_head") == "colwise");
static_assert(style(text.with_boundary<sp::shard<seq>>(), "lm_head") == "colwise");
static_assert(llama.on(4).with_axis<sp::dp, sp::shard<batch>>().ranks == 4);

// places: the path as tags
using place = sp::at<llama>::child<struct layers>::child<sp::each>::child<struct mlp>::child<struct down_proj>;
static_assert(place::path() == "layers.*.mlp.down_proj");
static_assert(std::string_view(place::c_path()) == "layers.*.mlp.down_proj");
static_assert(sp::at<llama>::path() == "");
static_assert(sp::at<llama>::child<struct norm>::path() == "norm");
static_assert(place::style_number() == 2);
static_assert(place::rules().count == 1);
static_assert(place::ranks() == 0);
static_assert(place::fault::value.broken == sp::code::ok);
static_assert(sp::at<llama>::child<struct norm>::style_number() == 5);          // behind the five rules: replicated
static_assert(std::is_same_v<sp::nth_style<place::style_number(), sp::plan_of<place>::styles>, sp::rowwise>);

// run-time plans know the standard styles and the program's own
inline constexpr sp::run_time_plan<gathered_twice> later;
static_assert(!decltype(later)::typed);
static_assert( decltype(llama)::typed);
static_assert( decltype(text)::typed);
static_assert(sp::style_number(decltype(later)::styles{}, "gathered_twice") == sp::standard_styles::size);
static_assert(sp::style_number(decltype(later)::styles{}, "colwise") == sp::style_number(sp::standard_styles{}, "colwise"));
static_assert(std::is_same_v<sp::nth_style<sp::standard_styles::size, decltype(later)::styles>, gathered_twice>);

// Mixtures of experts: every way of dealing them to ranks gives the values and gradients of one rank, whatever the counts.
#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>
#include <shardproof/engine/threads.hpp>
#include <shardproof/shardproof.hpp>
#include <shardproof/layer/experts.hpp>

namespace {
struct hidden : sp::dim<8> {};
struct ffn : sp::dim<5> {};
struct n_experts : sp::dim<6, sp::units, sp::uneven> {};

/// Matrices [expert, out, in], a bias for each expert, weights on the way back.
template <class At> struct expert_mlp {
  SP_PARAM(gate_up_proj, sp::per_expert<n_experts>, sp::out<sp::fused<ffn, ffn>>, sp::in<hidden>);
  SP_PARAM(gate_up_proj_bias, sp::per_expert<n_experts>, sp::out<sp::fused<ffn, ffn>>);
  SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<ffn>);
  SP_PARAM(down_proj_bias, sp::per_expert<n_experts>, sp::out<hidden>);
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch(x, chosen, gate_up_proj);
    auto [gate, up] = sp::split(to.bias(to.grouped(to.rows, gate_up_proj), gate_up_proj_bias));
    return to.combine(to.bias(to.grouped(sp::silu(gate) * up, down_proj), down_proj_bias));
  }
};
/// Matrices [expert, in, out], weights on the way in.
template <class At> struct transposed_mlp {
  SP_PARAM(gate_up_proj, sp::per_expert<n_experts>, sp::in<hidden>, sp::out<sp::fused<ffn, ffn>>);
  SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::in<ffn>, sp::out<hidden>);
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch_weighted(x, chosen, gate_up_proj);
    auto [gate, up] = sp::split(to.grouped(to.rows, gate_up_proj));
    return to.combine(to.grouped(sp::silu(gate) * up, down_proj));
  }
};
template <template <class> class Mlp> struct mixture {
  template <class At> struct block {
    SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
    SP_LAYER(experts, sp::region<Mlp>);
    SP_LAYER(mix, sp::linear<hidden, hidden>);
    constexpr void configure(const sp::router_rule& how) { gate.how = how; }
    constexpr auto forward(const auto& x) const {
      auto h = mix(x);
      return h + experts(h, gate(h));
    }
  };
};
template <class At> using biased = mixture<expert_mlp>::block<At>;
template <class At> using transposed = mixture<transposed_mlp>::block<At>;

constexpr sp::plan whole{sp::replicated{"gate"}};
constexpr sp::plan inside{sp::packed_colwise{"experts.gate_up_proj", "?experts.gate_up_proj_bias"}, sp::rowwise{"experts.down_proj"},
                          sp::replicated_as_partial{"?experts.down_proj_bias"}, sp::moe_tp_experts{"experts"}};
constexpr sp::plan masked{sp::grouped_gemm{"experts.gate_up_proj", "experts.down_proj", "?experts.gate_up_proj_bias", "?experts.down_proj_bias"},
                          sp::moe_tp_experts{"experts"}, sp::ep_router{"gate"}};
constexpr sp::plan travelling{sp::grouped_gemm{"experts.gate_up_proj", "experts.down_proj", "?experts.gate_up_proj_bias", "?experts.down_proj_bias"},
                              sp::ep_dispatch_experts{"experts"}};
static_assert(sp::covers<biased, inside>() && sp::covers<biased, masked>() && sp::covers<biased, travelling>());
static_assert(sp::covers<transposed, inside>() && sp::covers<transposed, masked>() && sp::covers<transposed, travelling>());
constexpr sp::run_time_plan<> at_start_up;
const char* const texts[] = {
    R"({"experts.gate_up_proj": "packed_colwise", "?experts.gate_up_proj_bias": "packed_colwise", "experts.down_proj": "rowwise",
        "?experts.down_proj_bias": "replicated_as_partial", "experts": "moe_tp_experts"})",
    R"({"experts.gate_up_proj": "grouped_gemm", "?experts.gate_up_proj_bias": "grouped_gemm", "experts.down_proj": "grouped_gemm",
        "?experts.down_proj_bias": "grouped_gemm", "experts": "moe_tp_experts", "gate": "ep_router"})",
    R"({"experts.gate_up_proj": "grouped_gemm", "?experts.gate_up_proj_bias": "grouped_gemm", "experts.down_proj": "grouped_gemm",
        "?experts.down_proj_bias": "grouped_gemm", "experts": "ep_dispatch_experts"})"};

using stream = sp::sizes_of<sp::dims<sp::batch, sp::seq, hidden>>;
struct result {
  double loss = 0;
  std::vector<double> numbers;                             // of every gradient, x first
};
/// sum(y sin(index)) and its gradients.
template <class M, class Bind> result step(int ranks, const stream& size, const sp::router_rule& how, Bind bind) {
  result out;
  sp::run(ranks, [&] {
    M m;
    sp::configure(m, how);
    bind(m);
    sp::initialise(m, 3, 0.5, sp::dtype::f64);
    std::vector<double> v(std::size_t(size.count())), by(v.size());
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = std::sin(1.7 * double(i)), by[i] = std::cos(0.9 * double(i));
    auto x = sp::whole(size, v);
    x.at->tracked = true;
    auto y = m.forward(x);
    auto weight = sp::whole(size, by);
    double sum = 0;
    const auto here = sp::values(y);
    for (std::size_t i = 0; i < here.size(); ++i) sum += here[i] * by[i];
    sp::device().copy({.dst = y.at->g(), .src = weight.at->v(), .rows = 1, .width = size.count()});
    sp::pull_all(y.at);
    const auto all = sp::parameters(m);
    sp::finish_gradients(all);
    result mine{sum, sp::gradient(x)};
    for (const auto& p : all) for (const double g : sp::gathered_gradient(p)) mine.numbers.push_back(g);
    if (sp::first_rank()) out = mine;
  });
  return out;
}
const auto nothing_to_bind = [](auto&) {};
void agree(const result& one, const result& many, const std::string& label) {
  INFO(label);
  CHECK(many.loss == Approx(one.loss).epsilon(1e-12).margin(1e-12));
  REQUIRE(many.numbers.size() == one.numbers.size());
  double worst = 0;
  for (std::size_t i = 0; i < one.numbers.size(); ++i) worst = std::max(worst, std::abs(many.numbers[i] - one.numbers[i]));
  CHECK(worst < 1e-12);
}
template <template <class> class Model> void every_way(const stream& size, const sp::router_rule& how, const std::string& label, std::initializer_list<int> ranks) {
  const result one = step<Model<sp::at<whole>>>(1, size, how, nothing_to_bind);
  double largest = 0;
  for (const double g : one.numbers) largest = std::max(largest, std::abs(g));
  REQUIRE(largest > 0.1);
  for (const int w : ranks) {
    const std::string at = label + ", ranks " + std::to_string(w);
    agree(one, step<Model<sp::at<whole>>>(w, size, how, nothing_to_bind), at + ", whole");
    agree(one, step<Model<sp::at<inside>>>(w, size, how, nothing_to_bind), at + ", cut inside");
    agree(one, step<Model<sp::at<masked>>>(w, size, how, nothing_to_bind), at + ", dealt");
    agree(one, step<Model<sp::at<travelling>>>(w, size, how, nothing_to_bind), at + ", travelling");
    for (const char* text : texts)
      agree(one, step<Model<sp::at<at_start_up>>>(w, size, how, [&](auto& m) { sp::bind(m, sp::parse_plan(std::string_view(text)), w); }), at + ", " + text);
  }
}
}  // namespace

TEST_CASE("experts whole, cut inside, dealt and reached by all-to-all are one function with one gradient", "[experts]") {
  every_way<biased>({2, 7, 8}, {.chosen = 2, .renormalised = true}, "biased", {1, 2, 3, 4, 5, 8});
  every_way<transposed>({2, 7, 8}, {.chosen = 1, .score = sp::router_score::sigmoid, .by_logit = true}, "transposed", {1, 2, 3, 4, 8});
}

TEST_CASE("fewer tokens than ranks, all experts chosen, and no tokens at all", "[experts]") {
  every_way<biased>({1, 1, 8}, {.chosen = 3}, "one token", {2, 4, 8});
  every_way<biased>({1, 3, 8}, {.chosen = 6, .scale = 2.5}, "all experts", {2, 3, 8});
  const auto refused = [](sp::router_rule how) {
    try { (void)step<biased<sp::at<travelling>>>(1, {1, 3, 8}, how, nothing_to_bind); } catch (const sp::error& e) { return std::string(e.what()); }
    return std::string("accepted");
  };
  for (const auto& [how, says] : {std::pair{sp::router_rule{.chosen = 0}, "chosen = 0"}, {sp::router_rule{.chosen = 7}, "chosen = 7"}, {sp::router_rule{.groups = 4}, "groups = 4"},
                                  {sp::router_rule{.groups = 0}, "groups = 0"}, {sp::router_rule{.groups = 3, .kept_groups = 4}, "kept_groups = 4"},
                                  {sp::router_rule{.chosen = 3, .groups = 3}, "chosen = 3"}})
    CHECK_THAT(refused(how), Catch::Contains("SP001") && Catch::Contains(says) && Catch::Contains("6 experts"));
  const result none = step<biased<sp::at<travelling>>>(3, {0, 4, 8}, {.chosen = 2}, nothing_to_bind);
  CHECK(none.loss == 0);
  for (const double g : none.numbers) CHECK(g == 0);
}

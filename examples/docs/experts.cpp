/// @file
/// The code of docs/models.md about mixtures of experts: the module, two plans, and that both are one function.
#include "pages.hpp"
#include <cmath>
#include <vector>
#include <shardproof/engine/threads.hpp>
#include <shardproof/shardproof.hpp>
#include <shardproof/layer/experts.hpp>

namespace {

struct hidden : sp::dim<16> {};
struct ffn : sp::dim<12> {};
struct shared_ffn : sp::dim<20> {};

//! [mixture]
struct n_experts : sp::dim<6, sp::units, sp::uneven> {};                 // dealt out whole; some ranks may have one more

template <class At> struct gated_experts {
  SP_PARAM(gate_up_proj, sp::per_expert<n_experts>, sp::out<sp::fused<ffn, ffn>>, sp::in<hidden>);
  SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::out<hidden>, sp::in<ffn>);
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch(x, chosen, gate_up_proj);                     // to.rows: a row for each choice, in order of expert
    auto [gate, up] = sp::split(to.grouped(to.rows, gate_up_proj));      // each row times the matrix of its expert
    return to.combine(to.grouped(sp::silu(gate) * up, down_proj));       // each token's rows, weighted and summed
  }
};

template <class At> struct mixture {
  SP_LAYER(gate, sp::topk_router<hidden, n_experts>);                    // gate.how: how many, which scores, groups
  SP_LAYER(experts, sp::region<gated_experts>);                          // a module that rules name as a whole
  SP_LAYER(shared_up, sp::linear<hidden, shared_ffn>);
  SP_LAYER(shared_down, sp::linear<shared_ffn, hidden>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto routed = experts(x, gate(x));
    return sp::reduced(routed + shared_down(sp::silu(shared_up(x))), x);
  }
};
//! [mixture]

//! [plans]
inline constexpr sp::plan cut_inside{                                    // every rank has a piece of every expert: an even load
    sp::packed_colwise{"experts.gate_up_proj"}, sp::rowwise{"experts.down_proj"}, sp::moe_tp_experts_partial{"experts"},
    sp::colwise{"shared_up"}, sp::rowwise_partial{"shared_down"}};       // one reduction for routed and shared
inline constexpr sp::plan dealt{                                         // every rank has some experts, and tokens travel to them
    sp::grouped_gemm{"experts.gate_up_proj", "experts.down_proj"}, sp::ep_dispatch_experts{"experts"},
    sp::colwise{"shared_up"}, sp::rowwise{"shared_down"}};
static_assert(sp::covers<mixture, cut_inside>() && sp::covers<mixture, dealt>());
//! [plans]
using stream = sp::sizes_of<sp::dims<sp::batch, sp::seq, hidden>>;
static_assert(sp::dry_run<mixture, cut_inside>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);
static_assert(sp::dry_run<mixture, dealt>(sp::ranks{4}, stream{2, 5, 16}).forward.all_to_alls == 3);      // the counts, the rows, the results
constexpr auto inside = sp::dry_run<mixture, cut_inside>(sp::ranks{4}, stream{2, 5, 16}), apart = sp::dry_run<mixture, dealt>(sp::ranks{4}, stream{2, 5, 16});
static_assert(apart.forward.all_gathers == 1 && apart.forward.all_reduces == 1);                          // the tokens; the shared expert
inline constexpr sp::plan masked{sp::grouped_gemm{"experts.gate_up_proj", "experts.down_proj"}, sp::moe_tp_experts{"experts"}, sp::ep_router{"gate"}};
static_assert(sp::dry_run<mixture, masked>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);
static_assert(sp::dry_run<mixture, masked>(sp::ranks{4}, stream{2, 5, 16}).forward.all_to_alls == 0);
static_assert(inside.backward.all_reduces == 1);                                                          // of the weights: x wants no gradient here

template <class M> std::vector<double> outcome(int ranks) {
  std::vector<double> out;
  sp::run(ranks, [&] {
    M m;
    m.gate.how = {.chosen = 2, .renormalised = true};
    sp::initialise(m, 1, 0.3, sp::dtype::f64);
    std::vector<double> x(2 * 7 * 16);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(double(i));
    const auto y = sp::values(sp::full(m.forward(sp::whole(stream{2, 7, 16}, x), sp::no_cache)));
    if (sp::first_rank()) out = y;
  });
  return out;
}

}  // namespace

bool experts() {
  const auto one = outcome<mixture<sp::at<cut_inside>>>(1);
  bool right = one.size() == 2 * 7 * 16;
  for (const int ranks : {2, 3, 4})
    for (const auto& y : {outcome<mixture<sp::at<cut_inside>>>(ranks), outcome<mixture<sp::at<dealt>>>(ranks)})
      for (std::size_t i = 0; i < one.size(); ++i) right = right && std::abs(y[i] - one[i]) < 1e-12;
  return right;
}

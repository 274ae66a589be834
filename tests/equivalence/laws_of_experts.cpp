// Tokens to their experts and back, under every placement of tokens, router, and each of the experts' matrices: experts whole, cut inside
// or dealt, tokens everywhere or on their way; 7 experts are dealt to 2 ... 8 ranks unevenly, and an eighth rank has none.
#include "law.hpp"
#include <shardproof/layer/experts.hpp>
#include <shardproof/tensor/ops/identity_weight.hpp>
namespace {
using namespace laws_test;
using sp::in;
using sp::out;
using sp::per_expert;
struct n_experts : sp::dim<7> {};
struct width : sp::dim<3> {};

/// An operand in the place of a module's parameter.
template <class T> struct seen {
  T t;
  constexpr auto seen_by(const auto&) const { return t; }
};
template <class T> seen(T) -> seen<T>;

const sizes<batch, steps, hidden> x{3, 2, 4};
const sizes<batch, steps, n_experts> logits{3, 2, 7};
const sizes<per_expert<n_experts>, out<width>, in<hidden>> up{7, 3, 4};
const sizes<per_expert<n_experts>, out<hidden>, in<width>> down{7, 4, 3};
constexpr sp::router_rule two{.chosen = 2, .renormalised = true};

TEST_CASE("one matrix an expert obeys the laws, its rows weighted on the way out or in") {
  law("dispatch, grouped, combine", 10,
      [](const auto& a, const auto& scores, const auto& w) {
        auto to = sp::dispatch(a, sp::choose(scores, two), seen{w});
        return to.combine(to.grouped(to.rows, seen{w}));
      },
      x, logits, up);
  law("dispatch_weighted", 10,
      [](const auto& a, const auto& scores, const auto& w) {
        auto to = sp::dispatch_weighted(a, sp::choose(scores, two), seen{w});
        return to.combine(to.grouped(to.rows, seen{w}));
      },
      x, logits, up);
  law("grouped, stored the other way round", 10,
      [](const auto& a, const auto& scores, const auto& w) {
        auto to = sp::dispatch(a, sp::choose(scores, two), seen{w});
        return to.combine(to.grouped(to.rows, seen{w}));
      },
      x, logits, sizes<per_expert<n_experts>, in<hidden>, out<width>>{7, 4, 3});
}
TEST_CASE("an expert of two layers and a bias obeys the laws") {
  law("two layers an expert", 8,
      [](const auto& a, const auto& scores, const auto& u, const auto& d) {
        auto to = sp::dispatch(a, sp::choose(scores, two), seen{u});
        return to.combine(to.grouped(sp::tanh(to.grouped(to.rows, seen{u})), seen{d}));
      },
      sizes<batch, hidden>{5, 4}, sizes<batch, n_experts>{5, 7}, up, down);
  law("grouped_bias", 8,
      [](const auto& a, const auto& scores, const auto& w, const auto& b) {
        auto to = sp::dispatch(a, sp::choose(scores, two), seen{w});
        return to.combine(to.bias(to.grouped(to.rows, seen{w}), seen{b}));
      },
      sizes<batch, hidden>{5, 4}, sizes<batch, n_experts>{5, 7}, up, sizes<per_expert<n_experts>, out<width>>{7, 3});
}
TEST_CASE("fused matrices of experts, and one token, obey the laws") {
  law("gate and up, fused", 8,
      [](const auto& a, const auto& scores, const auto& w) {
        auto to = sp::dispatch(a, sp::choose(scores, two), seen{w});
        auto [gate, top] = sp::split(to.grouped(to.rows, seen{w}));
        return to.combine(sp::silu(gate) * top);
      },
      x, logits, sizes<per_expert<n_experts>, out<sp::fused<width, width>>, in<hidden>>{7, 6, 4});
  law("one token", 8,
      [](const auto& a, const auto& scores, const auto& w) {
        auto to = sp::dispatch(a, sp::choose(scores, two), seen{w});
        return to.combine(to.grouped(to.rows, seen{w}));
      },
      sizes<batch, hidden>{1, 4}, sizes<batch, n_experts>{1, 7}, up);
}
TEST_CASE("what stands beside experts obeys the laws") {
  law("identity_weight", 4, [](const auto& scores) { return sp::identity_weight(sp::choose(scores, {.chosen = 3}), 4); }, logits);
  exact_law("kept_by_one", 6, [](const auto& a) { return sp::kept_by_one(a); }, x);
  exact_law("own_tokens", 3, [](const auto& a) { return sp::own_tokens(a); }, x);
  law("own_tokens of a routing", 3, [](const auto& scores) { return sp::own_tokens(sp::choose(scores, two)).weights; }, logits);
  law("to_replicate of a routing", 4, [](const auto& scores) { return sp::to_replicate(sp::choose(scores, two)).weights; }, logits);
}
}  // namespace

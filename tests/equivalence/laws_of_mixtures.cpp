// The operations that mixtures of experts, latent attention and Llama 4 brought, under every placement of their operands.
#include "law.hpp"
#include <shardproof/tensor/ops/choose.hpp>
#include <shardproof/tensor/ops/join.hpp>
#include <shardproof/tensor/ops/norm.hpp>
#include <shardproof/tensor/ops/temper.hpp>
namespace {
using namespace laws_test;
struct heads : sp::dim<6, sp::units, sp::uneven> {};
struct one_head : sp::dim<1> {};
struct nope : sp::dim<3> {};
struct turning : sp::dim<2> {};
struct n_experts : sp::dim<7> {};

TEST_CASE("values side by side obey the laws") {
  exact_law("join", 5, [](const auto& a, const auto& b) { return sp::join(a, b); }, sizes<batch, heads, nope>{2, 6, 3}, sizes<batch, heads, turning>{2, 6, 2});
  exact_law("join, one for all heads", 5, [](const auto& a, const auto& b) { return sp::join(a, b); }, sizes<batch, heads, nope>{2, 6, 3}, sizes<batch, one_head, turning>{2, 1, 2});
  exact_law("join and split", 5, [](const auto& a, const auto& b) { auto [u, v] = sp::split(sp::join(a, b)); return 2 * v + v; }, sizes<batch, heads, nope>{2, 6, 3},
      sizes<batch, heads, turning>{2, 6, 2});
}
TEST_CASE("norms without a weight and tempered queries obey the laws") {
  law("unweighted_rms", 4, [](const auto& a) { return sp::unweighted_rms(a, 1e-5); }, sizes<batch, heads, nope>{2, 6, 3});
  law("temper", 7, [](const auto& a) { return sp::temper(a, {3}, {.every = 2, .strength = 0.3}); }, sizes<batch, steps, heads, nope>{2, 5, 6, 3});
}
TEST_CASE("a router's weights obey the laws") {
  const sizes<batch, steps, n_experts> logits{2, 5, 7};
  law("choose", 4, [](const auto& a) { return sp::choose(a, {.chosen = 2}).weights; }, logits);
  law("choose, renormalised", 4, [](const auto& a) { return sp::choose(a, {.chosen = 3, .renormalised = true, .scale = 2.5}).weights; }, logits);
  law("choose, sigmoid", 4, [](const auto& a) { return sp::choose(a, {.chosen = 2, .score = sp::router_score::sigmoid, .renormalised = true, .sum_eps = 1e-20}).weights; }, logits);
  law("choose, by logit", 4, [](const auto& a) { return sp::choose(a, {.chosen = 1, .score = sp::router_score::sigmoid, .by_logit = true}).weights; }, logits);
}
}  // namespace

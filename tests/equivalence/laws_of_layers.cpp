// What layers are made of (matrix products, norms, rotary positions, attention, tables, splits, losses) under every placement
// of its inputs, with KV heads in copies where ranks outnumber them, in f64.
#include "law.hpp"
namespace {
using namespace laws_test;
struct kv_heads : sp::dim<2, sp::groups> {};
struct q_heads : sp::dim<4, sp::grouped_by<kv_heads>> {};
struct few_heads : sp::dim<3, sp::groups, sp::uneven> {};  // on two and four ranks not alike, on four one has none
struct many_heads : sp::dim<6, sp::grouped_by<few_heads>> {};
struct head_dim : sp::dim<4> {};
struct value_dim : sp::dim<3> {};
struct vocab : sp::dim<7> {};
using pair = sp::fused<ffn, single>;
using triple = sp::fused<ffn, hidden, single>;

TEST_CASE("matrix products obey the laws, with the weight placed in every way") {
  using sp::in;
  using sp::out;
  exact_law("contract", 8, [](const auto& x, const auto& w) { return sp::contract<here, sp::dims<hidden>, sp::dims<ffn>>(x, w); },
      sizes<batch, steps, hidden>{4, 1, 4}, sizes<out<ffn>, in<hidden>>{});
  exact_law(
      "contract, square", 7,
      [](const auto& x, const auto& w) { return sp::contract<here, sp::dims<hidden>, sp::dims<hidden>>(x, w); },
      sizes<batch, hidden>{3, 4}, sizes<out<hidden>, in<hidden>>{});
  exact_law(
      "contract, fused output", 8,
      [](const auto& x, const auto& w) { return sp::contract<here, sp::dims<hidden>, sp::dims<pair>>(x, w); },
      sizes<batch, hidden>{3, 4}, sizes<out<pair>, in<hidden>>{});
  exact_law(
      "contract, fused input", 8,
      [](const auto& x, const auto& w) { return sp::contract<here, sp::dims<pair>, sp::dims<hidden>>(x, w); },
      sizes<batch, pair>{3, 6}, sizes<out<hidden>, in<pair>>{});
  exact_law(
      "contract to heads", 8,
      [](const auto& x, const auto& w) { return sp::contract<here, sp::dims<hidden>, sp::dims<q_heads, head_dim>>(x, w); },
      sizes<batch, hidden>{3, 4}, sizes<out<q_heads>, out<head_dim>, in<hidden>>{});
  exact_law(
      "contract over heads", 8,
      [](const auto& x, const auto& w) { return sp::contract<here, sp::dims<q_heads, head_dim>, sp::dims<hidden>>(x, w); },
      sizes<batch, q_heads, head_dim>{3, 4, 4}, sizes<out<hidden>, in<q_heads>, in<head_dim>>{});
  exact_law(
      "contract over KV heads", 8,
      [](const auto& x, const auto& w) { return sp::contract<here, sp::dims<kv_heads, head_dim>, sp::dims<hidden>>(x, w); },
      sizes<batch, kv_heads, head_dim>{3, 2, 4}, sizes<out<hidden>, in<kv_heads>, in<head_dim>>{});
}

TEST_CASE("norms obey the laws") {
  law(
      "rms_norm", 4, [](const auto& x, const auto& w) { return sp::normalise<here, hidden>(x, w, 1e-6); },
      sizes<batch, steps, hidden>{4, 1, 4}, sizes<hidden>{});
  law(
      "rms_norm, offset 1", 4, [](const auto& x, const auto& w) { return sp::normalise<here, hidden>(x, w, 1e-2, 1.0); },
      sizes<batch, steps, hidden>{3, 2, 4}, sizes<hidden>{});
  law(
      "layer_norm", 4, [](const auto& x, const auto& w) { return sp::standardise<here, hidden>(x, w, 1e-5); },
      sizes<batch, steps, hidden>{3, 2, 4}, sizes<hidden>{});
}

TEST_CASE("rotary positions obey the laws") {
  const sizes<batch, steps, q_heads, head_dim> q{2, 3, 4, 4};
  law("rope, halves", 6, [](const auto& x) { return sp::rope(x, {3}); }, q);
  law("rope, interleaved", 6, [](const auto& x) { return sp::rope(x, {3}, {.base = 100, .interleaved = true}); }, q);
  law("rope, partial", 6, [](const auto& x) { return sp::rope(x, {0}, {.base = 100, .partial = 0.5}); }, q);
  law(
      "rope, partial, interleaved", 6,
      [](const auto& x) { return sp::rope(x, {7}, {.base = 100, .partial = 0.5, .interleaved = true}); }, q);
}

TEST_CASE("attention obeys the laws, with KV heads in copies at four ranks") {
  const sizes<batch, steps, q_heads, head_dim> q{2, 3, 4, 4};
  const sizes<batch, steps, kv_heads, head_dim> k{2, 3, 2, 4};
  const sizes<batch, steps, kv_heads, value_dim> v{2, 3, 2, 3};
  const auto with = [](const sp::mask& m) {
    return [m](const auto& a, const auto& b, const auto& c) { return sp::attention(a, sp::no_cache.extend(b, c), m); };
  };
  law("attention", 4, with({}), q, k, k);
  law("attention, other value width", 4, with({}), q, k, v);
  law("attention, window", 4, with({.window = 2}), q, k, k);
  law("attention, chunk", 4, with({.chunk = 2}), q, k, k);
  law("attention, softcap and scale", 4, with({.scale = 0.7, .softcap = 2}), q, k, k);
  law("attention, not causal", 4, with({.causal = false}), q, k, k);
  law("attention, heads by themselves", 4, with({}), sizes<batch, steps, kv_heads, head_dim>{2, 3, 2, 4}, k, k);
  law("attention, uneven groups", 4, with({}), sizes<batch, steps, many_heads, head_dim>{1, 3, 6, 4},
      sizes<batch, steps, few_heads, head_dim>{1, 3, 3, 4}, sizes<batch, steps, few_heads, head_dim>{1, 3, 3, 4});
}

// Sinks are a free parameter of a module, seen beside q; here they are an operand like the others.
struct operand_itself {
  template <class T> struct seen { T t; constexpr auto seen_by(const auto&) const { return t; } };
};
TEST_CASE("attention sinks obey the laws") {
  law(
      "attention, sinks", 4,
      [](const auto& a, const auto& b, const auto& c, const auto& s) {
        return sp::attention(a, sp::no_cache.extend(b, c), {}, operand_itself::seen<std::remove_cvref_t<decltype(s)>>{s});
      },
      sizes<batch, steps, q_heads, head_dim>{1, 3, 4, 4}, sizes<batch, steps, kv_heads, head_dim>{1, 3, 2, 4},
      sizes<batch, steps, kv_heads, head_dim>{1, 3, 2, 4}, sizes<q_heads>{});
}

TEST_CASE("tables obey the laws") {
  const ids<batch, steps> tokens{{4, 2}, 7};
  const sizes<sp::rows<vocab>, sp::width<hidden>> table{};
  exact_law("lookup", 11, [](const auto& i, const auto& t) { return sp::lookup<here>(i, t); }, tokens, table);
  const sizes<sp::rows<single>, sp::width<hidden>> one_row{};
  exact_law(
      "lookup in one row", 11, [](const auto& i, const auto& t) { return sp::lookup<here>(i, t); }, ids<batch, steps>{{4, 2}, 1},
      one_row);
}

TEST_CASE("splits obey the laws") {
  const sizes<batch, pair> two{4, 6};
  const sizes<batch, triple> three{4, 10};
  exact_law("split, first of two", 7, [](const auto& x) { return sp::split(x).first; }, two);
  exact_law("split, second of two", 7, [](const auto& x) { return sp::split(x).second; }, two);
  law(
      "split, gate and up", 4,
      [](const auto& x) {
        auto [gate, up] = sp::split(x);
        return sp::silu(gate) * up;
      },
      sizes<batch, sp::fused<ffn, ffn>>{4, 10});
  exact_law("split, first of three", 7, [](const auto& x) { return sp::split(x).first; }, three);
  exact_law("split, second of three", 7, [](const auto& x) { return sp::split(x).second; }, three);
  exact_law("split, third of three", 7, [](const auto& x) { return sp::split(x).third; }, three);
}

TEST_CASE("losses and labels obey the laws") {
  const ids<batch, steps> labels{{4, 2}, 8, -1};                              // -1: no label
  law(
      "cross_entropy", 8, [](const auto& x, const auto& t) { return sp::cross_entropy(x, t); },
      sizes<batch, steps, vocab>{4, 2, 7}, labels);
  law(
      "cross_entropy, scaled", 8, [](const auto& x, const auto& t) { return sp::cross_entropy(x, t, {.scale = 0.25}); },
      sizes<batch, steps, vocab>{4, 2, 7}, labels);
  law(
      "cross_entropy, counted outside", 8, [](const auto& x, const auto& t) { return sp::cross_entropy(x, t, {.tokens = 11}); },
      sizes<batch, steps, vocab>{4, 2, 7}, labels);
  law(
      "cross_entropy, one class", 8, [](const auto& x, const auto& t) { return sp::cross_entropy(x, t); },
      sizes<batch, steps, single>{4, 2, 1}, ids<batch, steps>{{4, 2}, 2, -1});
  exact_law("next_tokens", 3, [](const auto& i) { return sp::next_tokens(i); }, ids<batch, steps>{{4, 3}, 9});
}

}  // namespace

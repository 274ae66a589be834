// Every elementwise operation and every conversion under every placement of its inputs, on uneven and empty shards, in f64; and
// the checker itself, which must report operations that are wrong.
#include "law.hpp"
#include <shardproof/tensor/ops/routing.hpp>
#include <shardproof/tensor/ops/dropout.hpp>
#include <shardproof/tensor/ops/position_ids.hpp>
namespace {
using namespace laws_test;
struct kv_heads : sp::dim<2, sp::groups> {};
using pair = sp::fused<ffn, single>;
const sizes<batch, ffn, single> x{4, 5, 1};

TEST_CASE("activations obey the laws") {
  law("silu", 5, [](const auto& a) { return sp::silu(a); }, x);
  law("gelu", 5, [](const auto& a) { return sp::gelu(a); }, x);
  law("gelu_tanh", 5, [](const auto& a) { return sp::gelu_tanh(a); }, x);
  exact_law("relu", 5, [](const auto& a) { return sp::relu(a); }, x);
  exact_law("squared_relu", 5, [](const auto& a) { return sp::squared_relu(a); }, x);
  law("sigmoid", 5, [](const auto& a) { return sp::sigmoid(a); }, x);
  law("tanh", 5, [](const auto& a) { return sp::tanh(a); }, x);
  law("exp", 5, [](const auto& a) { return sp::exp(a); }, x);
  law("softcap", 5, [](const auto& a) { return sp::softcap(a, 0.5); }, x);
  law("rsqrt", 5, [](const auto& a) { return sp::rsqrt(a * a, 0.3); }, x);
  exact_law("at_most", 5, [](const auto& a) { return sp::at_most(a, 0.6); }, x);
  exact_law("clamp", 5, [](const auto& a) { return sp::clamp(a, 0.6); }, x);
  for (int kind = 0; kind < 14; ++kind)
    law("activate", 5, [kind](const auto& a) { return sp::activate(sp::activation_kind(kind), a); }, x);
}

TEST_CASE("sums and products obey the laws") {
  exact_law("scale", 6, [](const auto& a) { return 0.5 * a; }, x);
  exact_law("shift", 5, [](const auto& a) { return a + 0.5; }, x);
  exact_law("add", 6, [](const auto& a, const auto& b) { return a + b; }, x, x);
  exact_law("subtract", 6, [](const auto& a, const auto& b) { return a - b; }, x, x);
  exact_law("multiply", 7, [](const auto& a, const auto& b) { return a * b; }, x, x);
  // A whole operand may meet a cut one if it lacks the dimension that is cut.
  exact_law("add, repeated over batch", 6, [](const auto& a, const auto& b) { return a + b; }, x, sizes<ffn, single>{});
  exact_law("multiply, repeated over batch", 7, [](const auto& a, const auto& b) { return a * b; }, x, sizes<ffn, single>{});
  exact_law("multiply, repeated over all", 7, [](const auto& a, const auto& b) { return a * b; }, x, sizes<single>{});
  law("the same tensor twice", 5, [](const auto& a) { return a * sp::silu(a); }, x);
  exact_law("multiply of packed and products", 8, [](const auto& a, const auto& b) { return a * b; }, sizes<pair>{}, sizes<pair>{});
}

TEST_CASE("conversions obey the laws") {
  exact_law("to_replicate", 5, [](const auto& a) { return sp::to_replicate(a); }, x);
  exact_law("to_shard", 3, [](const auto& a) { return sp::to_shard(a, sp::along<ffn>{}); }, x);
  exact_law("all_reduce", 1, [](const auto& a) { return sp::all_reduce(a); }, x);
  exact_law("reduced", 6, [](const auto& a) { return sp::reduced(a); }, x);
  exact_law("all_gather", 3, [](const auto& a) { return sp::all_gather(a); }, x);
  exact_law("reduce_scatter", 1, [](const auto& a) { return sp::reduce_scatter(a, sp::along<ffn>{}); }, x);
  exact_law("one conversion, two consumers", 3, [](const auto& a) {
    auto first = sp::to_shard(sp::to_replicate(a), sp::along<ffn>{});
    auto second = sp::to_shard(sp::to_replicate(a), sp::along<ffn>{});
    return first * second;
  }, sizes<ffn>{});
  exact_law("there and back", 1, [](const auto& a) { return sp::all_gather(sp::reduce_scatter(a, sp::along<ffn>{})); }, x);
  exact_law("all_gather of packed", 3, [](const auto& a) { return sp::all_gather(a); }, sizes<batch, pair>{4, 6});
  exact_law("to_replicate of packed", 5, [](const auto& a) { return sp::to_replicate(a); }, sizes<batch, pair>{4, 6});
}

TEST_CASE("conversions that take what they are given obey the laws") {
  exact_law("to_partial", 3, [](const auto& a) { return sp::to_partial(a); }, x);
  exact_law("whole_to_replicate", 6, [](const auto& a) { return sp::whole_to_replicate(a); }, x);
  exact_law("reduced to a stream", 30, [](const auto& a, const auto& stream) { return sp::reduced(a, stream); }, x, sizes<batch, single>{4, 1});
  exact_law("replicate_beside", 30, [](const auto& a, const auto& stream) { return sp::replicate_beside(a, stream, sp::shard<batch>{}); }, x,
            sizes<batch, single>{4, 1});
  exact_law("position_ids", 4, [](const auto& i) { return sp::position_ids(i, {3}); }, ids<batch, hidden>{{4, 4}, 9});
}
TEST_CASE("dropout drops the elements that one rank drops, under every placement") {
  const auto half = [](const auto& a) {
    const sp::dropping on(3, 17);
    return sp::dropout(a, 0.5);
  };
  exact_law("dropout", 6, half, x);
  exact_law("dropout of packed", 8, half, sizes<batch, pair>{4, 6});
  exact_law("dropout of copies", 5, half, sizes<batch, kv_heads>{3, 2});
  law("dropout of a third", 6, [](const auto& a) {
    const sp::dropping on(3, 17);
    return sp::dropout(sp::dropout(a, 0.3), 0.3);
  }, x);
  law("dropout when nothing is dropped", 6, [](const auto& a) { return sp::dropout(a, 0.3); }, x);
}
TEST_CASE("what is dropped follows from seed, step, and which dropout of the step it is; another one drops others") {
  const sizes<batch, ffn, single> many{200, 5, 1};
  const auto ones = sp::whole(many, std::vector<double>(1000, 1.0));
  const auto drawn = [&](std::uint64_t seed, std::uint64_t step, int call) {
    const sp::dropping on(seed, step);
    for (int k = 0; k < call; ++k) (void)sp::dropout(ones, 0.25);
    return sp::values(sp::dropout(ones, 0.25));
  };
  const std::vector<double> first = drawn(1, 2, 0);
  CHECK(first == drawn(1, 2, 0));
  for (const auto& other : {drawn(2, 2, 0), drawn(1, 3, 0), drawn(1, 2, 1), drawn(2, 1, 0)}) CHECK(first != other);
  double dropped = 0;
  for (const double v : first) {
    CHECK((v == 0 || v == Approx(4.0 / 3)));
    dropped += v == 0;
  }
  CHECK(dropped == Approx(250).margin(45));                                  // 13.7 is one deviation
  CHECK(sp::values(sp::dropout(ones, 0.25)) == std::vector<double>(1000, 1.0));
  CHECK_THROWS_WITH(sp::dropout(ones, 1.0), Catch::Contains("SP001"));
  CHECK_THROWS_WITH(sp::dropout(ones, -0.1), Catch::Contains("SP001"));
}
TEST_CASE("conversions of heads in copies obey the laws") {
  const sizes<batch, kv_heads> heads{3, 2};                                  // at four ranks two hold each head
  exact_law("to_replicate of copies", 4, [](const auto& a) { return sp::to_replicate(a); }, heads);
  exact_law("to_shard into copies", 3, [](const auto& a) { return sp::to_shard(a, sp::along<kv_heads>{}); }, heads);
  exact_law("all_gather of copies", 2, [](const auto& a) { return sp::all_gather(a); }, heads);
  exact_law("reduce_scatter into copies", 1, [](const auto& a) { return sp::reduce_scatter(a, sp::along<kv_heads>{}); }, heads);
}

TEST_CASE("parts placed apart obey the laws") {
  const sizes<batch, pair> whole{4, 6};
  using I = sp::invariant;
  using R = sp::replicate;
  exact_law("to_product", 1, [](const auto& a) { return sp::to_product<I, R>(a); }, whole);
  exact_law("to_product, first part", 1, [](const auto& a) { return sp::split(sp::to_product<I, R>(a)).first; }, whole);
  exact_law("to_product, second part", 1, [](const auto& a) { return sp::split(sp::to_product<I, R>(a)).second; }, whole);
  law("to_product, both replicate", 1, [](const auto& a) {
    auto [u, v] = sp::split(sp::to_product<R, R>(a));
    return u * sp::silu(u) + u;
  }, whole);
}

// ---- operations that are wrong ------------------------------------------------------------------------------------------
struct squared : sp::operation<squared> {
  static constexpr double flops = 1;
  static constexpr sp::outcome rule(sp::placement a) { return sp::rules::nonlinear(a); }
  static void compute(auto y, auto a) { for (long i = 0; i < y.count(); ++i) y[i] = a[i] * a[i]; }
  static void pull(auto dy, auto, auto a, auto da) { for (long i = 0; i < da.count(); ++i) da[i] += 2 * a[i] * dy[i]; }
};
struct half_a_gradient : sp::operation<half_a_gradient> {
  static constexpr double flops = 1;
  static constexpr sp::outcome rule(sp::placement a) { return sp::rules::nonlinear(a); }
  static void compute(auto y, auto a) { squared::compute(y, a); }
  static void pull(auto dy, auto, auto a, auto da) { for (long i = 0; i < da.count(); ++i) da[i] += a[i] * dy[i]; }
};
struct overwrites_its_gradient : sp::operation<overwrites_its_gradient> {
  static constexpr double flops = 1;
  static constexpr sp::outcome rule(sp::placement a) { return sp::rules::nonlinear(a); }
  static void compute(auto y, auto a) { squared::compute(y, a); }
  static void pull(auto dy, auto, auto a, auto da) { for (long i = 0; i < da.count(); ++i) da[i] = 2 * a[i] * dy[i]; }
};
struct takes_partial : sp::operation<takes_partial> {
  static constexpr double flops = 1;
  static constexpr sp::outcome rule(sp::placement a) { return sp::rules::linear_map(a); }
  static void compute(auto y, auto a) { squared::compute(y, a); }
  static void pull(auto dy, auto y, auto a, auto da) { squared::pull(dy, y, a, da); }
};
struct calls_it_invariant : sp::operation<calls_it_invariant> {
  static constexpr double flops = 1;
  static constexpr sp::outcome rule(sp::placement a) {
    return {a.whole() ? sp::code::ok : sp::code::operands_differ, sp::invariant::value};
  }
  static void compute(auto y, auto a) { squared::compute(y, a); }
  static void pull(auto dy, auto y, auto a, auto da) { squared::pull(dy, y, a, da); }
};
// Forgets f: an Invariant operand enters rank-dependent compute, where each rank makes only an addend of its gradient.
struct forgets_f : sp::operation<forgets_f> {
  static constexpr double flops = 1;
  static constexpr sp::outcome rule(sp::placement a, sp::placement b) {
    const bool meet = (a.k == sp::kind::invariant && b.k == sp::kind::invariant) ||
                      (a.splits() && a.d == &sp::info<batch> && b.k == sp::kind::invariant);
    return {meet ? sp::code::ok : sp::code::needs_f, a};
  }
  static void compute(auto y, auto a, auto b) { for (long i = 0; i < y.count(); ++i) y[i] = a[i] * b[i % b.count()]; }
  static void pull(auto dy, auto, auto a, auto b, auto da, auto db) {
    for (long i = 0; i < dy.count(); ++i) { da[i] += dy[i] * b[i % b.count()]; db[i % b.count()] += dy[i] * a[i]; }
  }
};
// Mixes the last dimension and lets it be cut.
template <class D> struct shares_of_a_row : sp::operation<shares_of_a_row<D>> {
  static constexpr double flops = 2;
  static constexpr sp::outcome rule(sp::placement a) { return sp::rules::nonlinear(a); }
  static void compute(auto y, auto a) {
    for (long r = 0; r < a.count(); r += a.last()) {
      auto sum = a[0] * 0;
      for (long i = r; i < r + a.last(); ++i) sum += a[i] * a[i];
      for (long i = r; i < r + a.last(); ++i) y[i] = a[i] / sum;
    }
  }
  static void pull(auto dy, auto y, auto a, auto da) {
    for (long r = 0; r < a.count(); r += a.last()) {
      auto sum = a[0] * 0, dot = a[0] * 0;
      for (long i = r; i < r + a.last(); ++i) { sum += a[i] * a[i]; dot += dy[i] * y[i]; }
      for (long i = r; i < r + a.last(); ++i) da[i] += (dy[i] - 2 * a[i] * dot) / sum;
    }
  }
};

TEST_CASE("an operation that is right passes, and a wrong one is named") {
  law("squared", 5, [](const auto& a) { return sp::call(squared{}, a); }, x);
  breaks(
      "half a gradient", "1 rank, invariant: gradient of input 0 is ",
      [](const auto& a) { return sp::call(half_a_gradient{}, a); }, x);
  breaks(
      "overwrites its gradient", "1 rank, invariant: gradient of input 0 is ",
      [](const auto& a) { return sp::call(overwrites_its_gradient{}, a); }, x);
  breaks(
      "lets a pending sum through", "2 ranks, partial -> partial: value is ",
      [](const auto& a) { return sp::call(takes_partial{}, a); }, x);
  breaks(
      "calls a Replicate Invariant", "2 ranks, replicate -> invariant: gradient of input 0 is ",
      [](const auto& a) { return sp::call(calls_it_invariant{}, a); }, x);
  breaks("forgets f", "2 ranks, shard<batch>, invariant -> shard<batch>: gradient of input 1 is ",
         [](const auto& a, const auto& b) { return sp::call(forgets_f{}, a, b); }, sizes<batch, ffn>{4, 5}, sizes<ffn>{});
  breaks(
      "lets its row be cut", "shard<ffn> -> shard<ffn>: value is ",
      [](const auto& a) { return sp::call(shares_of_a_row<ffn>{}, a); }, sizes<batch, ffn>{4, 5});
}

TEST_CASE("the checker names what ranks do differently") {
  breaks("communicates without a charge", "charges 0 all_reduce forward and makes 1", [](const auto& a) {
    if (const sp::buffer n(8); sp::self.on[0]) {
      sp::device().fill({n.get(), sp::dtype::f64, {1}}, 1);
      sp::self.on[0]->all_reduce(n.get(), 1, sp::dtype::f64);
    }
    return sp::silu(a);
  }, x);
  breaks("refuses on one rank", "one rank refuses what another accepts", [](const auto& a) {
    if (sp::rank_on() == 1) throw sp::error(sp::code::needs_f, "on rank 1");
    return sp::silu(a);
  }, x);
  breaks("leaves the others waiting", "shardproof[SP50", [](const auto& a) {
    if (sp::self.on[0] && sp::rank_on() == 0) sp::self.on[0]->barrier();
    return sp::silu(a);
  }, x);
  breaks("places by rank", "ranks differ in the result's placement", [](const auto& a) {
    auto y = sp::silu(a);
    if (sp::rank_on() == 1) y.place_ = sp::interned(sp::varying::value);
    return y;
  }, x);
  breaks(
      "refuses everything", "every placement of the inputs is refused",
      [](const auto& a) { return sp::all_gather(sp::all_reduce(a)); }, x);
  breaks("drops the last item", "elements instead of", [](const auto& a) {
    auto y = sp::silu(a);
    if (sp::ranks_on() > 1) y.at = sp::leaf(y.at->type, {y.at->s[0] - 1});
    return y;
  }, sizes<ffn>{});
}

}  // namespace

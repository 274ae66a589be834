// What the compiler cannot see, since it is a number or an order of calls, is refused when it happens: nothing is computed from it.
#include <catch2/catch.hpp>
#include <filesystem>
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/kept.hpp>
#include <shardproof/io/checkpoint.hpp>
#include <shardproof/shardproof.hpp>
#include "scratch_folder.hpp"
namespace {
struct batch : sp::dim<> {};
struct seq : sp::dim<> {};
struct hidden : sp::dim<6> {};
struct vocab : sp::dim<5> {};
struct unknown : sp::dim<> {};
template <class At> struct net {
  SP_LAYER(table, sp::embedding<vocab, hidden>);
  SP_PARAM(pos, seq, hidden);
  SP_LAYER(head, sp::linear<hidden, vocab>);
  auto forward(const auto& ids) const { return head(table(ids) + pos); }
};
inline constexpr sp::plan one_device{};
inline constexpr sp::run_time_plan<> at_start_up;
inline constexpr sp::plan cut_by_rows{sp::embedding_rowwise{"table"}};
inline constexpr auto on_dp = one_device.with_axis<sp::dp, sp::shard<batch>>();
using model = net<sp::at<one_device>>;

using rows = sp::sizes_of<sp::dims<batch, seq>>;
using Catch::Matchers::Contains;
sp::extent_table three_steps() {
  sp::extent_table t;
  t.set<seq>(3);
  return t;
}
template <class F> std::string refusal(F f, int ranks = 1) {
  try { sp::run(ranks, f); } catch (const sp::error& e) { return e.what(); }
  return "no error";
}
template <class M> void ready(M& m) {
  static const sp::extent_table extents = three_steps();
  sp::set_extents(m, &extents);
  sp::initialise(m, 1);
}
/// Loss of two rows of three steps.
template <class T> auto loss_of(const std::vector<T>& ids, const std::vector<long>& labels) {
  model m;
  ready(m);
  return sp::cross_entropy(m.forward(sp::whole(rows{2, 3}, ids)), sp::whole(rows{2, 3}, labels));
}
const std::vector<long> good{0, 1, 2, 3, 4, 0};
}  // namespace

TEST_CASE("extents that a program passes are compared where two operands meet") {
  CHECK_THAT(refusal([] {
    const auto a = sp::whole(sp::sizes_of<sp::dims<batch, hidden>>{2, 6}, std::vector<float>(12));
    const auto b = sp::whole(sp::sizes_of<sp::dims<batch, hidden>>{5, 6}, std::vector<float>(30));
    (void)(a + b);
  }), Contains("SP109") && Contains("batch = 2 and 5"));
  CHECK_THAT(refusal([] {                                                   // three positions, four steps
    model m;
    ready(m);
    (void)m.forward(sp::whole(rows{1, 4}, std::vector<long>{0, 1, 2, 3}));
  }), Contains("SP109") && Contains("seq = 4 and 3"));
  CHECK_THAT(refusal([] {
    model m;
    ready(m);
    (void)sp::cross_entropy(m.forward(sp::whole(rows{2, 3}, good)), sp::whole(rows{1, 3}, std::vector<long>{1, 2, 3}));
  }), Contains("SP109") && Contains("batch = 2 and 1"));
}

TEST_CASE("a dimension without an extent is named when values are wanted") {
  CHECK_THAT(refusal([] { model m; sp::initialise(m, 1); }), Contains("SP001") && Contains("\"pos\"") && Contains("\"seq\" has no extent yet"));
}

TEST_CASE("numbers that mean nothing are refused") {
  CHECK_THAT(refusal([] { (void)sp::whole(rows{-2, -3}, std::vector<long>(6)); }), Contains("SP001") && Contains("negative extent"));
  CHECK_THAT(refusal([] { (void)sp::rope(sp::whole(sp::sizes_of<sp::dims<seq, vocab, hidden>>{2, 5, 6}, std::vector<float>(60)), {}, {.partial = 3}); }),
             Contains("SP001") && Contains("more features than a head has"));
}

TEST_CASE("ids of any whole type are the same ids") {
  double as_long = 0, as_int = 0, as_short = 0;
  sp::run(1, [&] {
    as_long = loss_of(good, good).item();
    as_int = loss_of(std::vector<int>{0, 1, 2, 3, 4, 0}, good).item();
    as_short = loss_of(std::vector<short>{0, 1, 2, 3, 4, 0}, good).item();
  });
  CHECK(as_long > 0);
  CHECK(as_int == as_long);
  CHECK(as_short == as_long);
}

TEST_CASE("ids that name no row are refused, with the id") {
  CHECK_THAT(refusal([] { loss_of(std::vector<long>{0, 1, 5, 3, 4, 0}, good); }), Contains("SP001") && Contains("ids hold 5, and there are 5 rows"));
  CHECK_THAT(refusal([] { loss_of(std::vector<long>{0, 1, -1, 3, 4, 0}, good); }), Contains("SP001") && Contains("ids hold -1"));
  CHECK_THAT(refusal([] { loss_of(good, {0, 1, 2, 3, 4, 7}); }), Contains("SP001") && Contains("labels hold 7, and there are 5 rows"));
  CHECK(refusal([] { loss_of(good, {0, 1, -100, -1, 4, 0}); }) == "no error");
  CHECK_THAT(refusal([] { loss_of(std::vector<float>{0, 1, 2, 3, 4, 0}, good); }), Contains("SP001") && Contains("ids are of type F32"));
}

TEST_CASE("a free parameter bears its own name and shape") {
  model m;
  ready(m);
  const auto all = sp::parameters(m);
  REQUIRE(all.size() == 3);
  CHECK(all[1].name == "pos");
  CHECK(all[1].unroled);
  CHECK((all[1].global.rank == 2 && all[1].global.n[0] == 3 && all[1].global.n[1] == 6));
  net<sp::at<at_start_up>> n;
  ready(n);
  CHECK(sp::parameters(n)[1].name == "pos");
  CHECK_FALSE(all[0].unroled);
}

TEST_CASE("a plan is bound before there are values, and may be read from a text that is gone") {
  CHECK_THAT(refusal([] {
    net<sp::at<at_start_up>> m;
    ready(m);
    sp::bind(m, sp::parse_plan(R"({"head": "colwise_gather_output"})"));
  }), Contains("SP001") && Contains("(table.weight)") && Contains("bind first"));
  const auto plan = sp::parse_plan(std::string(R"({"a_long_name_that_no_small_string_can_hold": "colwise"})"));
  std::string_view pattern;
  plan.each_pattern([&](int, std::string_view p) { pattern = p; });
  CHECK(pattern == "a_long_name_that_no_small_string_can_hold");
}

TEST_CASE("one rank's part of a loss is not read as the loss") {
  CHECK_THAT(refusal([] {
    net<sp::at<on_dp>> m;
    ready(m);
    const auto loss = sp::cross_entropy(m.forward(sp::input(m, rows{2, 3}, good)), sp::input(m, rows{2, 3}, good));
    static_assert(sp::detail::pending_sum(sp::value_of<sp::place_in<decltype(loss)>>));
    (void)loss.as<sp::any>().item();
  }), Contains("SP103") && Contains("item()"));
}

TEST_CASE("backward without history, or a second time, is refused") {
  CHECK_THAT(refusal([] {
    const sp::no_grad off;
    sp::backward(loss_of(good, good));
  }), Contains("SP001") && Contains("nothing wants a gradient"));
  CHECK_THAT(refusal([] {
    const auto loss = loss_of(good, good);
    sp::backward(loss);
    sp::backward(loss);
  }), Contains("SP001") && Contains("an earlier backward has passed"));
}

TEST_CASE("a value that backward has passed is not passed again as if it had a history") {
  CHECK_THAT(refusal([] {                                                   // two losses of one forward
    model m;
    ready(m);
    const auto logits = m.forward(sp::whole(rows{2, 3}, good));
    sp::backward(sp::cross_entropy(logits, sp::whole(rows{2, 3}, good)));
    sp::backward(sp::cross_entropy(logits, sp::whole(rows{2, 3}, std::vector<long>{1, 1, 1, 1, 1, 1})));
  }), Contains("SP001") && Contains("an earlier backward has passed"));
}

TEST_CASE("gradients may be finished between micro-batches: each part is summed once") {
  const auto gradients = [](int dp, bool between) {
    std::vector<double> out;
    sp::run(sp::mesh{.dp = dp}, [&] {
      net<sp::at<on_dp>> m;
      static const sp::extent_table extents = three_steps();
      sp::set_extents(m, &extents);
      sp::initialise(m, 3, 0.3, sp::dtype::f64);
      const auto all = sp::parameters(m);
      for (const auto& ids : {good, std::vector<long>{4, 4, 2, 1, 0, 3}, std::vector<long>{1, 2, 2, 2, 3, 3}}) {
        sp::backward(sp::cross_entropy(m.forward(sp::input(m, rows{2, 3}, ids)), sp::input(m, rows{2, 3}, good)));
        if (between) (void)sp::gradient_norm(all);
      }
      std::vector<double> mine{sp::gradient_norm(all), sp::gradient_norm(all)};
      for (const auto& v : all) for (const double g : sp::gathered_gradient(v)) mine.push_back(g);
      if (sp::first_rank()) out = mine;
    });
    return out;
  };
  const auto one = gradients(1, false);
  REQUIRE(one[0] > 0.1);
  CHECK(one[0] == one[1]);
  for (const int dp : {1, 2})
    for (const bool between : {false, true}) {
      const auto shared = gradients(dp, between);
      REQUIRE(shared.size() == one.size());
      for (std::size_t i = 0; i < one.size(); ++i) CHECK(shared[i] == Approx(one[i]).epsilon(1e-12).margin(1e-14));
    }
}

TEST_CASE("a parameter may be frozen and thawed at any time") {
  sp::run(1, [] {
    model m;
    ready(m);
    const auto train = [&] {
      sp::adamw optimizer{.lr = 0.1};
      sp::backward(sp::cross_entropy(m.forward(sp::whole(rows{2, 3}, good)), sp::whole(rows{2, 3}, std::vector<long>{1, 2, 3, 4, 0, 1})));
      optimizer.step(sp::parameters(m));
    };
    const auto before = sp::values(m.table.weight);
    m.table.weight.frozen = true;
    train();
    CHECK(sp::values(m.table.weight) == before);
    m.table.weight.frozen = false;
    train();
    CHECK(sp::values(m.table.weight) != before);
  });
}

TEST_CASE("parameters of other ranks or extents are refused where they are used") {
  model outside;
  static const sp::extent_table extents = three_steps();
  sp::set_extents(outside, &extents);
  sp::run(1, [&] { sp::initialise(outside, 1); });
  net<sp::at<cut_by_rows>> own[2];                                          // one a rank: values are for one thread
  for (auto& m : own) {
    sp::set_extents(m, &extents);
    sp::run(1, [&] { sp::initialise(m, 1); });
  }
  CHECK_THAT(refusal([&] { (void)own[sp::rank_on()].forward(sp::whole(rows{2, 3}, good)); }, 2), Contains("SP001") && Contains("parameter \"weight\" holds [5, 6] and its part is ["));
  CHECK_THAT(refusal([&] {
    sp::extent_table two;
    two.set<seq>(2);
    sp::set_extents(outside, sp::families::kept(two));
    (void)outside.forward(sp::whole(rows{1, 2}, std::vector<long>{0, 1}));
  }), Contains("SP001") && Contains("holds [3, 6] and its part is [2, 6]"));
}

TEST_CASE("an optimizer's update is refused before its first advance") {
  CHECK_THAT(refusal([] {
               model m;
               ready(m);
               sp::backward(sp::cross_entropy(m.forward(sp::whole(rows{2, 3}, good)), sp::whole(rows{2, 3}, good)));
               sp::adamw optimizer;
               optimizer.update(sp::parameters(m));
             }),
             Contains("SP001") && Contains("update comes before its first advance"));
}

TEST_CASE("an optimizer keeps to the ranks it began on") {
  sp::adamw begun[2];
  const auto step = [](sp::adamw& optimizer) {
    net<sp::at<cut_by_rows>> m;
    ready(m);
    sp::backward(sp::cross_entropy(m.forward(sp::whole(rows{2, 3}, good)), sp::whole(rows{2, 3}, good)));
    optimizer.step(sp::parameters(m));
  };
  for (auto& own : begun) sp::run(1, [&] { step(own); });
  CHECK_THAT(refusal([&] { step(begun[sp::rank_on()]); }, 2),
             Contains("SP001") && Contains("optimizer's state of table.weight"));
}

TEST_CASE("a cache is for one request") {
  using steps = sp::sizes_of<sp::dims<batch, seq, vocab, hidden>>;
  const auto extend = [](sp::cache& kv, const steps& s, auto zero) {
    const auto x = sp::whole(s, std::vector<decltype(zero)>(std::size_t(s.count()), 1));
    return kv.extend(x, x).k.at->s[1];
  };
  CHECK_THAT(refusal([&] { const sp::no_grad off; sp::cache kv; extend(kv, {1, 2, 5, 6}, 0.f); extend(kv, {2, 1, 5, 6}, 0.f); }), Contains("SP001") && Contains("a cache of 1 sequences"));
  CHECK_THAT(refusal([&] { const sp::no_grad off; sp::cache kv; extend(kv, {2, 2, 5, 6}, 0.f); extend(kv, {1, 1, 5, 6}, 0.f); }), Contains("SP001") && Contains("is extended by 1"));
  CHECK_THAT(refusal([&] { const sp::no_grad off; sp::cache kv; extend(kv, {1, 2, 5, 6}, 0.f); extend(kv, {1, 1, 5, 6}, 0.0); }), Contains("SP001") && Contains("in F64"));
  sp::run(1, [&] {
    const sp::no_grad off;
    sp::cache kv;
    CHECK(extend(kv, {2, 3, 5, 6}, 0.f) == 3);
    CHECK(extend(kv, {2, 1, 5, 6}, 0.f) == 4);
    kv.clear();
    CHECK(extend(kv, {1, 2, 5, 6}, 0.0) == 2);
  });
}

TEST_CASE("a model without values is not saved, and leaves nothing behind") {
  const scratch_folder dir;
  CHECK_THAT(refusal([&] { model m; static const sp::extent_table e = three_steps(); sp::set_extents(m, &e); sp::save(m, dir.at("none")); }), Contains("SP001") && Contains("table.weight"));
  CHECK(std::filesystem::is_empty(dir.at(".")));
}

TEST_CASE("a long tape that nobody walks is given back without a deep stack") {
  sp::run(1, [] {
    auto x = sp::whole(sp::sizes_of<sp::dims<hidden>>{6}, std::vector<float>(6, 1));
    x.at->tracked = true;
    auto y = x;
    for (int i = 0; i < 300000; ++i) y = 1.0 * y;
    y = x;
  });
  SUCCEED("no overflow");
}

TEST_CASE("what one run saves, every rank of it can load") {
  const scratch_folder dir;
  for (int round = 0; round < 3; ++round) {
    std::vector<double> seen(4), expected(4);
    sp::run(4, [&] {
      model m, back;
      static const sp::extent_table extents = three_steps();
      sp::set_extents(m, &extents);
      sp::set_extents(back, &extents);
      sp::initialise(m, std::uint64_t(round + 1));
      sp::save(m, dir.at("shared"));
      sp::load(back, dir.at("shared"));
      expected[std::size_t(sp::rank_on())] = sp::values(m.head.weight)[3];
      seen[std::size_t(sp::rank_on())] = sp::values(back.head.weight)[3];
    });
    CHECK(seen == expected);
  }
}

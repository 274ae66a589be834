// tensor/operation.hpp: operations of the user's own. That a rule is true is checked by equivalence/laws; here, how they run.
#include <cmath>
#include <catch2/catch.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/shardproof.hpp>
#include <shardproof/tensor/operation.hpp>
namespace {
struct batch : sp::dim<> {};
struct hidden : sp::dim<5> {};
struct wide : sp::dim<10> {};

struct squared_relu : sp::operation<squared_relu> {
  static constexpr double flops = 2;
  static constexpr sp::outcome rule(sp::placement x) { return sp::rules::nonlinear(x); }
  static void compute(auto y, auto x) { for (long i = 0; i < y.count(); ++i) { auto r = x[i] > 0 ? x[i] : 0; y[i] = r * r; } }
  static void pull(auto dy, auto, auto x, auto dx) {
    for (long i = 0; i < dx.count(); ++i) dx[i] += dy[i] * 2 * (x[i] > 0 ? x[i] : 0);
  }
};
constexpr auto relu2(const sp::tensor_like auto& x) { return sp::call(squared_relu{}, x); }

// Five operands, one of them whole numbers, and 128 bytes of state.
struct gathered_sum : sp::operation<gathered_sum> {
  double factor[16]{};
  static constexpr double flops = 4, backward_flops = 3;
  static constexpr sp::outcome rule(sp::placement a, sp::placement, sp::placement, sp::placement, sp::placement) {
    return sp::rules::nonlinear(a);
  }
  void compute(auto y, auto a, sp::indices ids, auto b, auto c, auto d) const {
    using T = typename decltype(y)::value_type;
    for (long i = 0; i < y.count(); ++i) y[i] = T(factor[15]) * a[ids[i]] + b[i] * c[i] * d[i];
  }
  void pull(auto dy, auto, auto, sp::indices ids, auto b, auto c, auto d, auto da, auto db, auto dc, auto dd) const {
    using T = typename decltype(db)::value_type;
    for (long i = 0; i < dy.count(); ++i) {
      da[ids[i]] += T(factor[15]) * dy[i];
      db[i] += dy[i] * c[i] * d[i];
      dc[i] += dy[i] * b[i] * d[i];
      dd[i] += dy[i] * b[i] * c[i];
    }
  }
};
static_assert(sizeof(gathered_sum) == 128);

// The result lies over another dimension than the operand; its kernels write which part they stand on.
struct twice_as_wide : sp::operation<twice_as_wide> {
  static constexpr double flops = 0;
  static constexpr sp::outcome rule(sp::placement x) {
    return {x.k == sp::kind::invariant ? sp::code::ok : sp::code::operands_differ, sp::shard<wide>::value};
  }
  static void compute(auto y, auto x) {
    using T = typename decltype(y)::value_type;
    for (long i = 0; i < y.count(); ++i) y[i] = T(100 * y.held.begin + 10 * x.held.begin) + x[(y.held.begin + i) / 2];
  }
  static void pull(auto dy, auto, auto, auto dx) { for (long i = 0; i < dy.count(); ++i) dx[(dy.held.begin + i) / 2] += dy[i]; }
};
constexpr auto widen(const sp::tensor_like auto& x) { return sp::call_as<wide, sp::shard<wide>>(twice_as_wide{}, x); }

using row = sp::dims<hidden>;
template <class T> auto row_of(std::vector<T> v) { return sp::whole(sp::sizes_of<row>{}, v); }
std::vector<double> values(const sp::ref& x) { return sp::detail::host_copy(x->v()); }
std::vector<double> gradient(const sp::ref& x) { return sp::detail::host_copy(x->g()); }
void backward(const sp::ref& y) { sp::seed(y, 1); sp::pull_all(y); }

// Under a constexpr plan and on ghosts: the placement is deduced, and the ledger charged while compiling.
template <class L> constexpr sp::ledger cost() {
  sp::imagined world{.where = {{0, 0, 0}, {2, 1, 1}}};
  (void)relu2(sp::tensor<sp::ghost, row, L>{{}, &world, L::value, "", true});
  return world.book;
}
static_assert(cost<sp::invariant>().forward.flops == 2 * 5 && cost<sp::invariant>().backward.flops == 4 * 5);
static_assert(cost<sp::shard<hidden>>().forward.flops == 2 * 3 && cost<sp::shard<hidden>>().activation_bytes == 3 * 4);
static_assert(std::is_same_v<decltype(relu2(sp::tensor<sp::data, row, sp::shard<hidden>>{}))::placement_type, sp::shard<hidden>>);
static_assert(std::is_same_v<decltype(relu2(sp::tensor<sp::data, row, sp::any>{}))::placement_type, sp::any>);
static_assert(std::is_same_v<decltype(relu2(sp::broken{})), sp::broken>);
static_assert(
    std::is_same_v<decltype(widen(sp::tensor<sp::data, row>{})), sp::tensor<sp::data, sp::dims<wide>, sp::shard<wide>>>);
static_assert(
    std::is_same_v<decltype(squared_relu{}(sp::tensor<sp::data, row>{})), decltype(relu2(sp::tensor<sp::data, row>{}))>);

TEMPLATE_TEST_CASE("the kernels serve f32 and f64", "", float, double) {
  auto x = row_of(std::vector<TestType>{1, -2, 3, 0, -1});
  x.at->tracked = true;
  auto y = relu2(x);
  CHECK(y.at->type == sp::dtype_of<TestType>);
  CHECK(values(y.at) == std::vector<double>{1, 0, 9, 0, 0});
  backward(y.at);
  CHECK(gradient(x.at) == std::vector<double>{2, 0, 6, 0, 0});
}

TEST_CASE("a bf16 operand is widened once and gets its gradient in f32") {
  auto x = row_of(std::vector<float>{1, -2, 3, 0, -1});
  sp::tensor<sp::data, row> p{{}, sp::leaf(sp::dtype::bf16, {5})};
  sp::device().cast(p.at->v(), x.at->v());
  p.at->tracked = true;
  auto y = relu2(p);
  CHECK(values(y.at) == std::vector<double>{1, 0, 9, 0, 0});
  backward(y.at);
  CHECK(gradient(p.at) == std::vector<double>{2, 0, 6, 0, 0});
}

void check_five_operands() {
  gathered_sum op;
  op.factor[15] = 10;
  auto a = row_of(std::vector<double>{1, 2, 3, 4, 5}), b = row_of(std::vector<double>{1, 1, 2, 2, 3}),
       c = row_of(std::vector<double>{1, 2, 3, 4, 5}), d = row_of(std::vector<double>{2, 2, 2, 2, 2});
  auto ids = row_of(std::vector<long>{4, 4, 0, 1, 2});
  a.at->tracked = c.at->tracked = d.at->tracked = true;                        // not b
  auto y = sp::call(op, a, ids, b, c, d);
  op.factor[15] = 0;                                                           // the node has its own copy
  CHECK(values(y.at) == std::vector<double>{52, 54, 22, 36, 60});
  backward(y.at);
  CHECK(gradient(a.at) == std::vector<double>{10, 10, 10, 0, 20});
  CHECK(gradient(c.at) == std::vector<double>{2, 2, 4, 4, 6});
  CHECK(gradient(d.at) == std::vector<double>{1, 2, 6, 8, 15});
  CHECK(!b.at->has_gradient());
  CHECK(!ids.at->has_gradient());
}
TEST_CASE("five operands, ids among them, and 128 bytes of state; what is not tracked gets no gradient") {
  check_five_operands();
}

TEST_CASE("on a device that is not the host, kernels work on copies") {
  sp::backend* const here = &sp::device();
  struct elsewhere {
    sp::backend* old;
    explicit elsewhere(sp::backend* b) : old(std::exchange(sp::detail::registered_backends[0], nullptr)) { sp::self.device = b; }
    ~elsewhere() { sp::detail::registered_backends[0] = old; }
  } until_the_end{here};
  check_five_operands();
  auto x = row_of(std::vector<float>{1, -2, 3, 0, -1});
  x.at->tracked = true;
  auto y = relu2(x);
  auto z = relu2(x);
  auto sum = y + z;
  backward(sum.at);
  CHECK(gradient(x.at) == std::vector<double>{4, 0, 12, 0, 0});                // each adds
}

TEST_CASE("nothing is recorded without a tape, or of operands that want no gradient") {
  auto x = row_of(std::vector<float>{1, -2, 3, 0, -1});
  CHECK(!relu2(x).at->tracked);
  x.at->tracked = true;
  const sp::no_grad off;
  CHECK(!relu2(x).at->tracked);
  CHECK(!relu2(x).at->in[0]);
}

TEST_CASE("a dry run charges and computes nothing") {
  sp::ledger book;
  sp::self.book = &book;
  {
    const sp::dry dry;
    sp::tensor<sp::data, row, sp::any> x{{}, sp::leaf(sp::dtype::f32, {5})};
    x.at->tracked = true;
    auto y = relu2(x);
    CHECK(!y.at->data);
    CHECK(y.at->s == sp::shape{5});
  }
  sp::self.book = nullptr;
  CHECK(book.forward.flops == 10);
  CHECK(book.backward.flops == 20);
  CHECK(book.activation_bytes == 20);
}

TEST_CASE("kernels are told which part of a sharded dimension they hold") {
  sp::run(2, [] {
    auto x = row_of(std::vector<double>{1, 2, 3, 4, 5});
    x.at->tracked = true;
    auto y = widen(x);                                                         // [wide/tp]
    const std::vector<double> mine = values(y.at);
    backward(y.at);
    const std::vector<double> dx = gradient(x.at);
    static std::vector<double> seen[2], pulled[2];
    seen[sp::rank_on()] = mine;
    pulled[sp::rank_on()] = dx;
    sp::self.on[0]->barrier();
    if (sp::rank_on()) return;
    CHECK(seen[0] == std::vector<double>{1, 1, 2, 2, 3});
    CHECK(seen[1] == std::vector<double>{503, 504, 504, 505, 505});
    CHECK(pulled[0] == std::vector<double>{2, 2, 1, 0, 0});
    CHECK(pulled[1] == std::vector<double>{0, 0, 1, 2, 2});
  });
}

TEST_CASE("a parameter's roles end at the operation") {
  sp::tensor<sp::data, sp::dims<sp::out<hidden>>, sp::shard<sp::out<hidden>>> w{{}, row_of(std::vector<float>{1, 2, 3, 4, 5}).at};
  static_assert(std::is_same_v<decltype(relu2(w)), sp::tensor<sp::data, row, sp::shard<hidden>>>);
  CHECK(values(relu2(w).at) == std::vector<double>{1, 4, 9, 16, 25});
  auto at_run_time = relu2(w.as<sp::any>());
  CHECK(at_run_time.place().on[0] == sp::shard<hidden>::value);
}

std::string refusal(auto f) {
  try { f(); } catch (const sp::error& e) { return e.what(); }
  return "";
}
TEST_CASE("refusals name the operation and the operand") {
  auto x = row_of(std::vector<float>{1, 2, 3, 4, 5});
  auto ids = row_of(std::vector<long>{1, 2, 3, 4, 0});
  sp::tensor<sp::data, row, sp::any> p{{}, x.at, sp::partial::value};
  CHECK(refusal([&] { relu2(p); }).find("shardproof[SP103]") == 0);
  CHECK(refusal([&] { relu2(p); }).find("[at squared_relu, fed partial from input]") != std::string::npos);
  CHECK(refusal([&] {
          relu2(ids);
        }).find("shardproof[SP001] operand 0 of squared_relu is I64, but its kernels take F32 or F64 there. Fix: ") == 0);
  CHECK(refusal([&] {
          sp::call(gathered_sum{}, x, x, x, x, x);
        }).find("shardproof[SP001] operand 1 of gathered_sum is F32, but its kernels take I64 there. Fix: ") == 0);
  auto d = row_of(std::vector<double>{1, 2, 3, 4, 5});
  CHECK(refusal([&] {
          sp::call(gathered_sum{}, x, ids, x, d, x);
        }).find("operand 3 of gathered_sum is F64, but its kernels take F32 there") != std::string::npos);
}

}  // namespace

// Defects of the field, reproduced: gradients, their sums over ranks, and what is made of them. docs/defects.md lists them all.
#include "one_layer.hpp"
#include <algorithm>
#include <cmath>
#include <numeric>
#include <shardproof/layer/experts.hpp>
#include <shardproof/tensor/ops/join.hpp>
namespace {
using namespace one_layer;
using Catch::Matchers::Contains;
using sp::batch, sp::seq;
struct features : sp::dim<> {};
struct wide : sp::dim<> {};
struct vocabulary : sp::dim<> {};
struct kv_heads : sp::dim<sp::dynamic, sp::groups> {};
struct q_heads : sp::dim<sp::dynamic, sp::grouped_by<kv_heads>> {};
struct heads : sp::dim<6, sp::units> {};
struct head_dim : sp::dim<> {};
using x_sizes = sp::sizes_of<sp::dims<rows, features>>;
using id_sizes = sp::sizes_of<sp::dims<rows>>;
using stream = sp::sizes_of<sp::dims<batch, seq, features>>;
inline constexpr sp::plan whole_everywhere{};

using numbers = std::vector<double>;
/// f() on every rank of a mesh, in world order.
template <class F> std::vector<numbers> each_rank(const sp::mesh& mesh, F f) {
  std::vector<numbers> out{std::size_t(mesh.size())};
  sp::run(mesh, [&](int r) { out[std::size_t(r)] = f(); });
  return out;
}
template <class F> std::vector<numbers> each_rank(int tp, F f) { return each_rank(sp::mesh{.tp = tp}, f); }
template <class F> std::string refusal(F f) {
  try {
    f();
  } catch (const sp::error& e) { return e.what(); }
  return "accepted";
}
double close(const numbers& a, const numbers& b) { return difference(a, b); }
double by_index(std::string_view, long i) { return double(i + 1); }
double spread(std::string_view name, long i) { return number(sp::stream_of(name), i); }
/// backward from y with the gradient dy everywhere.
void pull(const auto& y, double dy = 1) {
  const numbers all(static_cast<std::size_t>(y.at->s.count()), dy);
  sp::device().from_host(y.at->g(), all.data());
  sp::pull_all(y.at);
}
template <template <class> class Model, const auto& Plan, class X = x_sizes>
void equals_one_device(const std::string& text, const sp::extent_table& t, const std::vector<int>& ranks) {
  const figures one = measure<Model<sp::at<whole_everywhere>>, X>(1, t, "")[0];
  REQUIRE_FALSE(one.y[0].empty());
  for (const int w : ranks) {
    for (const figures& f : measure<Model<sp::at<Plan>>, X>(w, t, "")) {
      INFO(w << " ranks, constexpr plan");
      CHECK(f.miscounted == "");
      CHECK(difference(f, one) < 1e-12);
    }
    for (const figures& f : measure<Model<sp::at<at_start_up>>, X>(w, t, text)) {
      INFO(w << " ranks, plan read at start-up");
      CHECK(difference(f, one) < 1e-12);
    }
  }
}

// ---- tables ----
template <class At> struct table { SP_LAYER(embed, sp::embedding<vocabulary, features>); };
inline constexpr sp::plan by_rows{sp::embedding_rowwise{"embed"}};
TEST_CASE("B06 the padding row loses its gradient on the rank that has it, and no other row of any rank does") {
  sp::extent_table t;
  t.set<rows>(8).set<vocabulary>(8).set<features>(2);
  for (const long padding : {-1, 1, 5, 6, 7})
    for (const int w : {1, 2, 3, 8, 9}) {
      INFO("padding " << padding << ", " << w << " ranks");
      numbers expected(16, 3);
      if (padding >= 0) expected[std::size_t(2 * padding)] = expected[std::size_t(2 * padding + 1)] = 0;
      for (const numbers& g : each_rank(w, [&] {
             table<sp::at<by_rows>> m;
             sp::set_extents(m, &t);
             m.embed.padding = padding;
             sp::fill(m, by_index, sp::dtype::f64);
             pull(m.embed(sp::whole(id_sizes(&t), std::vector<long>{0, 1, 2, 3, 4, 5, 6, 7})), 3);
             return sp::gathered_gradient(sp::parameters(m)[0]);
           }))
        CHECK(g == expected);
    }
}

template <class At> struct tied {
  SP_LAYER(embed, sp::embedding<vocabulary, features>);
  SP_LAYER(lm_head, sp::tied_linear<features, vocabulary>);
  constexpr auto forward(const auto& ids) const { return closed(lm_head(embed(ids), embed.weight)); }
};
template <class At> struct untied {
  SP_LAYER(embed, sp::embedding<vocabulary, features>);
  SP_LAYER(lm_head, sp::linear<features, vocabulary>);
  constexpr auto forward(const auto& ids) const { return closed(lm_head(embed(ids))); }
};
inline constexpr sp::plan one_table{sp::embedding_rowwise{"embed"}, sp::colwise{"lm_head"}};
TEST_CASE("B14 a tied table of 10 rows on 3 ranks gives 10 logits, and its gradient is the sum of both uses") {
  sp::extent_table t;
  t.set<rows>(4).set<vocabulary>(10).set<features>(3);
  const std::vector<long> ids{9, 0, 4, 9};
  const auto step = [&]<class M>(M m) {
    sp::set_extents(m, &t);
    sp::fill(
        m, [](std::string_view, long i) { return number(1, i); }, sp::dtype::f64);  // both tables alike
    const auto y = m.forward(sp::whole(id_sizes(&t), ids));
    pull(y);
    numbers out = sp::values(y);
    const auto all = sp::parameters(m);
    numbers sum(30);
    for (const auto& p : all) {
      const numbers g = sp::gathered_gradient(p);
      for (std::size_t i = 0; i < 30; ++i) sum[i] += g[i];
    }
    out.insert(out.end(), sum.begin(), sum.end());
    out.push_back(double(all.size()));
    return out;
  };
  numbers apart = each_rank(1, [&] { return step(untied<sp::at<whole_everywhere>>{}); })[0];
  REQUIRE(apart.size() == 40 + 30 + 1);  // logits of width 10
  REQUIRE(apart.back() == 2);
  apart.back() = 1;  // one parameter where the table is tied
  for (const int w : {1, 2, 3, 5, 11})
    for (const numbers& y : each_rank(w, [&] { return step(tied<sp::at<one_table>>{}); })) CHECK(close(y, apart) < 1e-12);
  const auto later = [&](std::string_view text) {
    return refusal([&] {
      sp::run(3, [&] {
        tied<sp::at<at_start_up>> m;
        sp::set_extents(m, &t);
        sp::bind(m, sp::parse_plan(text));
        (void)step(m);
      });
    });
  };
  CHECK(later(R"({"embed": "embedding_rowwise", "lm_head": "colwise"})") == "accepted");
  CHECK_THAT(later(R"({"lm_head": "colwise"})"), Contains("SP404"));
  CHECK_THAT(later(R"({"embed": "embedding_rowwise"})"), Contains("SP404"));
}

// ---- f and its place ----
template <class At> struct gathered_then_cut {
  SP_LAYER(first, sp::linear<features, wide, sp::with_bias>);
  SP_LAYER(second, sp::linear<wide, features, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return closed(sp::silu(second(sp::silu(first(x))))); }
};
inline constexpr sp::plan gather_then_cut{sp::colwise_gather_output{"first"}, sp::colwise{"second"}};
TEST_CASE("B25 a gathered value enters compute that differs from rank to rank; its producer's gradient is that of one device") {
  sp::extent_table t;
  t.set<rows>(3).set<features>(5).set<wide>(7);
  equals_one_device<gathered_then_cut, gather_then_cut>(R"({"first": "colwise_gather_output", "second": "colwise"})", t,
                                                        {2, 3, 4});
}

template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<features, sp::dims<q_heads, head_dim>>);
  SP_LAYER(k_proj, sp::linear<features, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<features, sp::dims<kv_heads, head_dim>, sp::with_bias>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, features>);
  SP_LAYER(q_norm, sp::rms_norm<head_dim>);
  constexpr auto forward(const auto& x) const {
    auto cache = sp::no_cache;
    return o_proj(sp::attention(q_norm(q_proj(x)), cache.extend(k_proj(x), v_proj(x))));
  }
};
template <class At> struct gated_mlp {
  SP_LAYER(gate, sp::linear<features, wide>);
  SP_LAYER(up, sp::linear<features, wide>);
  SP_LAYER(down, sp::linear<wide, features>);
  constexpr auto forward(const auto& x) const { return down(sp::silu(gate(x)) * up(x)); }
};
template <class At> struct decoder_layer {
  SP_LAYER(first_norm, sp::rms_norm<features>);
  SP_LAYER(attn, sp::block<attention>);
  SP_LAYER(second_norm, sp::rms_norm<features>);
  SP_LAYER(mlp, sp::block<gated_mlp>);
  constexpr auto forward(const auto& x) const {
    auto h = x + attn(first_norm(x));
    return h + mlp(second_norm(h));
  }
};
inline constexpr sp::plan megatron{sp::colwise{"attn.q_proj", "attn.k_proj", "attn.v_proj", "mlp.gate", "mlp.up"},
                                   sp::rowwise{"attn.o_proj", "mlp.down"}, sp::replicated_with_grad_allreduce{"?attn.q_norm"}};
constexpr auto megatron_text =
    R"({"attn.q_proj": "colwise", "attn.k_proj": "colwise", "attn.v_proj": "colwise", "mlp.gate": "colwise", "mlp.up": "colwise",
    "attn.o_proj": "rowwise", "mlp.down": "rowwise", "attn.q_norm": "replicated_with_grad_allreduce"})";
sp::extent_table sizes_of_layer(long q, long kv, long width) {
  sp::extent_table t;
  t.set<batch>(2).set<seq>(3).set<features>(5).set<wide>(7).set<q_heads>(q).set<kv_heads>(kv).set<head_dim>(width);
  return t;
}
TEST_CASE("B26 q, k, v share one f, and so do gate and up; a layer has two all-reduces forward, and two backward") {
  const sp::extent_table t = sizes_of_layer(4, 2, 2);
  for (const int w : {2, 4})
    for (const figures& f : measure<decoder_layer<sp::at<megatron>>, stream>(w, t, "")) {
      CHECK(f.miscounted == "");  // what is charged is what the ranks did
      CHECK(f.book.forward.collectives() == 2);
      CHECK(f.book.backward.collectives() == 2 + 1);  // q_norm's weight is used on sharded heads
    }
}

// ---- gradients of replicated parameters ----
struct one_feature : sp::dim<1> {};
struct four_heads : sp::dim<4, sp::units> {};
template <class At> struct norm_of_heads { SP_LAYER(norm, sp::rms_norm<one_feature>); };
inline constexpr sp::plan synchronised{sp::replicated_with_grad_allreduce{"norm"}};
TEST_CASE("B27 four ranks with a gradient of 1 in each micro-batch accumulate 4, 8, 12, 16; only the fresh one is reduced") {
  for (const numbers& g : each_rank(4, [] {
         norm_of_heads<sp::at<synchronised>> m;
         m.norm.eps = 0;  // of one feature that is 1: y = weight
         sp::fill(m, by_index, sp::dtype::f64);
         numbers out;
         for (int micro = 0; micro < 4; ++micro) {
           const auto x = sp::whole(sp::sizes_of<sp::dims<four_heads, one_feature>>{4, 1}, numbers(4, 1));
           pull(m.norm(sp::to_shard(x, sp::along<four_heads>{})));
           out.push_back(sp::gradient(m.norm.weight)[0]);
         }
         sp::finish_gradients(sp::parameters(m));  // nothing is left to sum
         out.push_back(sp::gradient(m.norm.weight)[0]);
         return out;
       }))
    CHECK(g == numbers{4, 8, 12, 16, 16});
}

template <class At> struct frozen_then_norm {
  SP_LAYER(q_proj, sp::linear<features, sp::dims<q_heads, head_dim>>);
  SP_LAYER(q_norm, sp::rms_norm<head_dim>);
};
inline constexpr sp::plan cut_heads{sp::colwise{"q_proj"}, sp::replicated_with_grad_allreduce{"q_norm"}};
TEST_CASE("B27b behind frozen projections, where no input wants a gradient, a norm's gradient is still summed over the ranks") {
  const sp::extent_table t = sizes_of_layer(4, 4, 3);
  const auto gradient = [&]<class M>(M m) {
    sp::set_extents(m, &t);
    sp::fill(m, spread, sp::dtype::f64);
    m.q_proj.weight.frozen = true;
    numbers x;
    for (long i = 0; i < 30; ++i) x.push_back(number(7, i));
    const auto y = m.q_norm(m.q_proj(sp::whole(stream(&t), x)));
    pull(y);
    numbers out = sp::gradient(m.q_norm.weight);
    out.push_back(double(m.q_proj.weight.at->has_gradient()));
    return out;
  };
  const numbers one = each_rank(1, [&] { return gradient(frozen_then_norm<sp::at<whole_everywhere>>{}); })[0];
  REQUIRE(std::abs(one[0]) > 1e-3);
  for (const int w : {2, 4})
    for (const numbers& g : each_rank(w, [&] { return gradient(frozen_then_norm<sp::at<cut_heads>>{}); }))
      CHECK(close(g, one) < 1e-12);
}

// ---- routers ----
thread_local numbers rows_here;  // what the experts of this rank were given; tokens here are no zeros
/// Without the rows of nobody, which a device has room for behind them: it does not tell the host how many there are.
numbers of_tokens(numbers rows, std::size_t width) {
  while (rows.size() >= width && std::all_of(rows.end() - long(width), rows.end(), [](double v) { return v == 0; })) rows.resize(rows.size() - width);
  return rows;
}
struct two_experts : sp::dim<2, sp::units> {};
struct many_experts : sp::dim<128, sp::units> {};
template <class Experts, class In> struct one_matrix {
  template <class At> struct module {
    SP_PARAM(matrix, sp::per_expert<Experts>, sp::out<In>, sp::in<In>);
    constexpr auto forward(const auto& x, const auto& chosen) const {
      auto to = sp::dispatch(x, chosen, matrix);
      if constexpr (requires { sp::values(to.rows); }) {
        if (!sp::self.dry) rows_here = of_tokens(sp::values(to.rows), 4);
      }
      return to.combine(to.grouped(to.rows, matrix));
    }
  };
};
template <class Experts, class In> struct mixture_of {
  template <class At> struct model {
    SP_LAYER(gate, sp::topk_router<In, Experts>);
    SP_LAYER(experts, sp::region<one_matrix<Experts, In>::template module>);
    constexpr auto forward(const auto& x) const { return experts(x, gate(x)); }
  };
};
inline constexpr sp::plan masked{sp::grouped_gemm{"experts.matrix"}, sp::moe_tp_experts{"experts"}, sp::ep_router{"gate"}};
inline constexpr sp::plan travelling{sp::grouped_gemm{"experts.matrix"}, sp::ep_dispatch_experts{"experts"}};
template <const auto& Plan> using two_of_one = mixture_of<two_experts, one_feature>::model<sp::at<Plan>>;

TEST_CASE("B28 a router's scores pass f before experts are masked by rank; every replica gets the whole gradient") {
  // Logits 0.3 and -0.4, expert outputs 2 and 5, one token; dz_e = p_e (y_e - sum of p y).
  const double p = 1 / (1 + std::exp(-0.7)), y = 2 * p + 5 * (1 - p);
  const numbers expected{p * (2 - y), (1 - p) * (5 - y), y};
  CHECK(expected[0] == Approx(-0.6651).margin(5e-5));
  const auto step = []<class M>(M m) {
    m.gate.how.chosen = 2;
    sp::fill(
        m, [](std::string_view name, long i) { return name.find("gate") != name.npos ? (i ? -0.4 : 0.3) : (i ? 5 : 2); },
        sp::dtype::f64);
    const auto out = m.forward(sp::whole(sp::sizes_of<sp::dims<rows, one_feature>>{1, 1}, numbers{1}));
    pull(out);
    sp::finish_gradients(sp::parameters(m));
    numbers g = sp::gradient(m.gate.weight);
    g.push_back(sp::values(out)[0]);
    return g;
  };
  for (const int w : {1, 2}) {
    for (const numbers& g : each_rank(w, [&] { return step(two_of_one<masked>{}); })) CHECK(close(g, expected) < 1e-14);
    for (const numbers& g : each_rank(w, [&] { return step(two_of_one<travelling>{}); })) CHECK(close(g, expected) < 1e-14);
  }
}

struct tokens_here : sp::dim<4> {};
template <const auto& Plan> using many_of_four = mixture_of<many_experts, tokens_here>::model<sp::at<Plan>>;
TEST_CASE("B29 a choice and its weight stay a pair; of 128 experts on 8 ranks, rank 0 gets two rows of sixteen") {
  const long ids[4][4] = {{52, 42, 119, 67}, {102, 89, 61, 40}, {82, 103, 4, 34}, {93, 23, 109, 11}};
  // Token t is the unit vector t, so that column t of the gate is its logits; the four to be chosen stand out, best first.
  const auto gate = [&](long i) {
    for (int k = 0; k < 4; ++k)
      if (ids[i % 4][k] == i / 4) return 4 - 0.5 * k;
    return -1.0;
  };
  const auto step = [&]<class M>(M m) {
    m.gate.how.chosen = 4;
    m.gate.how.renormalised = true;
    sp::fill(
        m, [&](std::string_view name, long i) { return name.find("gate") != name.npos ? gate(i) : number(9, i); },
        sp::dtype::f64);
    numbers x(16);
    for (std::size_t i = 0; i < 4; ++i) x[5 * i] = 1;
    const auto y = m.forward(sp::whole(sp::sizes_of<sp::dims<rows, tokens_here>>{4, 4}, x));
    pull(y);
    sp::finish_gradients(sp::parameters(m));
    numbers out = sp::values(y), g = sp::gradient(m.gate.weight);
    out.insert(out.end(), g.begin(), g.end());
    return out;
  };
  const numbers one = each_rank(1, [&] { return step(many_of_four<whole_everywhere>{}); })[0];
  std::vector<numbers> got(8);
  const auto eight = each_rank(8, [&] {
    numbers y = step(many_of_four<masked>{});
    got[std::size_t(sp::rank_on())] = rows_here;
    return y;
  });
  for (const numbers& y : eight) CHECK(close(y, one) < 1e-12);
  CHECK(got[0] == numbers{0, 0, 1, 0, 0, 0, 0, 1});  // expert 4 gets token 2, expert 11 token 3
  std::size_t all = 0;
  for (const numbers& r : got) all += r.size() / 4;
  CHECK(all == 16);  // every choice is on one rank
}

TEST_CASE(
    "B46 with experts dealt out each rank sends its own tokens, not all of them, and the result is that of the masked form") {
  const auto step = []<class M>(M m) {
    m.gate.how.chosen = 2;
    sp::fill(m, spread, sp::dtype::f64);
    numbers x;
    for (long i = 0; i < 8 * 4; ++i) x.push_back(number(11, i));
    const auto before = sp::self.on[0]->counters();
    const auto y = m.forward(sp::whole(sp::sizes_of<sp::dims<rows, tokens_here>>{8, 4}, x));
    const auto& after = sp::self.on[0]->counters();
    const int kind = int(sp::collective::all_to_all);
    numbers out = sp::values(y);
    out.push_back(double(after.calls[kind] - before.calls[kind]));
    out.push_back((after.bytes[kind] - before.bytes[kind]));
    out.push_back(double(rows_here.size() / 4));
    return out;
  };
  for (const int w : {2, 4}) {
    const auto dealt = each_rank(w, [&] { return step(many_of_four<masked>{}); });
    const auto sent = each_rank(w, [&] { return step(many_of_four<travelling>{}); });
    double rows = 0, rows_masked = 0;
    for (int r = 0; r < w; ++r) {
      const numbers &a = dealt[std::size_t(r)], &b = sent[std::size_t(r)];
      CHECK(close(numbers(a.begin(), a.end() - 3), numbers(b.begin(), b.end() - 3)) < 1e-12);
      CHECK(a[32] == 0);
      CHECK(b[32] == 3);  // how many rows, the rows, and back
      // A rank sends a count for each expert, and its own 8 / w tokens twice (2 choices); all tokens would be 8 * 2 rows.
      const double there = 128 * 8 + 8.0 / w * 2 * 4 * 8, back = b[34] * 4 * 8;
      CHECK(b[33] == there + back);
      rows += b[34];
      rows_masked += a[34];
    }
    CHECK(rows == 16);  // none is dropped, none is doubled
    CHECK(rows_masked == 16);
  }
}

inline constexpr auto masked_on_a_mesh = masked.with_axis<sp::dp, sp::shard<rows>>();
inline constexpr auto travelling_on_a_mesh = travelling.with_axis<sp::dp, sp::shard<rows>>();
TEST_CASE("B30 on a mesh of tp and dp experts are dealt along tp alone, and each rank of dp brings its own tokens to them") {
  const auto step = []<class M>(M m) {
    m.gate.how.chosen = 2;
    sp::fill(m, spread, sp::dtype::f64);
    numbers out, x;
    for (long i = 0; i < 7 * 4; ++i) x.push_back(number(11, i));
    const auto y = m.forward(sp::input(m, sp::sizes_of<sp::dims<rows, tokens_here>>{7, 4}, x));
    pull(y, 0.7);
    for (const double v : sp::values(sp::full(y))) out.push_back(v);
    const auto all = sp::parameters(m);
    out.push_back(sp::gradient_norm(all));
    for (const auto& p : all)
      for (const double g : sp::gathered_gradient(p)) out.push_back(g);
    return out;
  };
  const numbers one = each_rank(1, [&] { return step(many_of_four<whole_everywhere>{}); })[0];
  REQUIRE(one[28] > 0.1);
  for (const sp::mesh& mesh :
       {sp::mesh{.tp = 1, .dp = 2}, sp::mesh{.tp = 2, .dp = 2}, sp::mesh{.tp = 4, .dp = 3}, sp::mesh{.tp = 2, .dp = 8}}) {
    INFO("tp " << mesh.tp << ", dp " << mesh.dp);
    for (const numbers& f : each_rank(mesh, [&] { return step(many_of_four<masked_on_a_mesh>{}); })) CHECK(close(f, one) < 1e-12);
    for (const numbers& f : each_rank(mesh, [&] { return step(many_of_four<travelling_on_a_mesh>{}); }))
      CHECK(close(f, one) < 1e-12);
  }
}

// ---- latent attention ----
struct latent : sp::dim<3> {};
struct nope : sp::dim<2> {};
struct turning : sp::dim<2> {};
struct one_head : sp::dim<1> {};
template <class At> struct latent_keys {
  SP_LAYER(q_proj, sp::linear<features, sp::dims<heads, sp::fused<nope, turning>>>);
  SP_LAYER(kv_a_proj, sp::linear<features, sp::fused<latent, sp::flat<one_head, turning>>, sp::with_bias>);
  SP_LAYER(norm, sp::rms_norm<latent>);
  SP_LAYER(kv_b_proj, sp::linear<latent, sp::dims<heads, nope>>);
  SP_LAYER(o_proj, sp::linear<sp::dims<heads, sp::fused<nope, turning>>, features>);
  constexpr auto forward(const auto& x) const {
    auto [c, shared] = sp::split(kv_a_proj(x));  // shared: one rotary key for all heads
    auto k = sp::join(kv_b_proj(norm(c)), shared);
    return o_proj(sp::silu(k) * q_proj(x));
  }
};
inline constexpr sp::plan latents{sp::colwise{"q_proj", "kv_b_proj"}, sp::mla_kv_a_proj{"kv_a_proj"}, sp::rowwise{"o_proj"}};
TEST_CASE("B32 the rotary key that all heads share passes f, the latent does not pass it twice; dx and all gradients are exact") {
  sp::extent_table t;
  t.set<rows>(3).set<features>(5);
  equals_one_device<latent_keys, latents>(
      R"({"q_proj": "colwise", "kv_b_proj": "colwise", "kv_a_proj": "mla_kv_a_proj", "o_proj": "rowwise"})", t, {1, 2, 3, 6});
  CHECK_THAT(refusal([&] {  // without the f on the shared key
               (void)measure<latent_keys<sp::at<at_start_up>>, x_sizes>(
                   2, t, R"({"q_proj": "colwise", "kv_b_proj": "colwise", "o_proj": "rowwise"})");
             }),
             Contains("SP102"));
}

// ---- heads ----
TEST_CASE("B35 a KV head that two ranks hold gets the sum of both ranks' gradients; a head is never cut") {
  const sp::extent_table t = sizes_of_layer(8, 2, 3);
  equals_one_device<decoder_layer, megatron, stream>(megatron_text, t, {1, 2, 4, 8});
  // Before finish_gradients each of the two has its own addend, which is not the gradient.
  const auto half = each_rank(4, [&] {
    decoder_layer<sp::at<megatron>> m;
    sp::set_extents(m, &t);
    sp::fill(m, spread, sp::dtype::f64);
    numbers x;
    for (long i = 0; i < 30; ++i) x.push_back(number(7, i));
    pull(m.forward(sp::whole(stream(&t), x)));
    const double own = sp::gradient(m.attn.k_proj.weight)[0];
    sp::finish_gradients(sp::parameters(m));
    return numbers{double(m.attn.k_proj.weight.at->s.n[0]), own, sp::gradient(m.attn.k_proj.weight)[0]};
  });
  for (const int r : {0, 2}) {
    const numbers &a = half[std::size_t(r)], &b = half[std::size_t(r) + 1];
    CHECK(a[0] == 1);
    CHECK(std::abs(a[1] - b[1]) > 1e-6);
    CHECK(a[2] == Approx(a[1] + b[1]));
    CHECK(a[2] == b[2]);
  }
  const auto bound = [](long q, long kv, int w) {
    return refusal([&] {
      const sp::extent_table here = sizes_of_layer(q, kv, 4);
      decoder_layer<sp::at<at_start_up>> m;
      sp::set_extents(m, &here);
      sp::bind(m, sp::parse_plan(std::string_view(megatron_text)), w);
    });
  };
  CHECK(bound(24, 2, 4) == "accepted");
  CHECK(bound(32, 8, 16) == "accepted");
  CHECK_THAT(bound(14, 2, 4), Contains("SP105") && Contains("legal 1, 2, 14"));
  CHECK_THAT(bound(28, 4, 8), Contains("SP105") && Contains("legal 1, 2, 4, 28"));
  CHECK_THAT(bound(32, 32, 5), Contains("SP105") && Contains("legal 1, 2, 4, 8, 16, 32"));
}

// ---- what is made of gradients ----
struct two_rows : sp::dim<2> {};
template <class At> struct two_parameters {
  SP_LAYER(up, sp::linear<one_feature, two_rows>);
  SP_LAYER(norm, sp::rms_norm<one_feature>);
};
inline constexpr sp::plan cut_up{sp::colwise{"up"}};
TEST_CASE("B36 the gradient norm counts shards of all ranks and replicas once, and every rank scales by the same factor") {
  for (const int w : {1, 2, 3}) {
    const auto all = each_rank(w, [&] {
      two_parameters<sp::at<cut_up>> m;
      sp::fill(m, by_index, sp::dtype::f64);
      numbers shards{3, 4};
      if (w > 1) shards = sp::rank_on() < 2 ? numbers{3.0 + sp::rank_on()} : numbers{};
      const double replicated = 0.1;
      if (!shards.empty()) sp::device().from_host(m.up.weight.at->g(), shards.data());
      sp::device().from_host(m.norm.weight.at->g(), &replicated);
      const double norm = sp::clip_gradients(sp::parameters(m), 1);
      return numbers{norm, sp::gradient(m.norm.weight)[0], shards.empty() ? 0 : sp::gradient(m.up.weight)[0] / shards[0]};
    });
    const double norm = std::sqrt(9 + 16 + 0.01);
    for (int r = 0; r < w; ++r) {
      const numbers& g = all[std::size_t(r)];
      CHECK(g[0] == Approx(norm).epsilon(1e-14));  // 5.001, not 3.002 and 4.001
      CHECK(g[1] == Approx(0.1 / norm).epsilon(1e-6));
      if (r < 2) CHECK(g[2] == Approx(1 / norm).epsilon(1e-6));
      CHECK(g[1] == all[0][1]);  // replicas stay equal to the bit
    }
  }
}

template <class At> struct language_model {
  SP_LAYER(embed, sp::embedding<vocabulary, features>);
  SP_LAYER(lm_head, sp::linear<features, vocabulary>);
  constexpr auto forward(const auto& ids) const { return lm_head(embed(ids)); }
};
inline constexpr auto with_dp =
    sp::plan{sp::embedding_rowwise{"embed"}, sp::colwise{"lm_head"}}.with_axis<sp::dp, sp::shard<batch>>();
TEST_CASE("B37 the loss is the mean over the tokens, however many ranks of tp and of dp compute it") {
  sp::extent_table t;
  t.set<vocabulary>(11).set<features>(3);
  const auto step = [&]<class M>(M m) {
    sp::set_extents(m, &t);
    sp::fill(m, spread, sp::dtype::f64);
    const auto ids = sp::input(m, sp::tokens{3, 4}, std::vector<long>{1, 5, 3, 10, 2, 2, 0, 7, 9, 4, 6, 8});
    const auto loss = sp::cross_entropy(m.forward(ids), sp::next_tokens(ids));
    sp::backward(loss);
    const auto all = sp::parameters(m);
    sp::finish_gradients(all);
    numbers out{sp::reduced(loss).item()};
    for (const auto& p : all)
      for (const double g : sp::gathered_gradient(p)) out.push_back(g);
    return out;
  };
  const numbers one = each_rank(1, [&] { return step(language_model<sp::at<whole_everywhere>>{}); })[0];
  REQUIRE(one[0] > 1);
  for (const sp::mesh& mesh :
       {sp::mesh{.tp = 2}, sp::mesh{.tp = 3}, sp::mesh{.tp = 2, .dp = 2}, sp::mesh{.tp = 1, .dp = 2}, sp::mesh{.tp = 2, .dp = 4}})
    for (const numbers& f : each_rank(mesh, [&] { return step(language_model<sp::at<with_dp>>{}); })) {
      INFO("tp " << mesh.tp << ", dp " << mesh.dp);
      CHECK(close(f, one) < 1e-12);
    }
}

TEST_CASE("B38 random numbers are keyed by global index; shards draw different ones, replicas and world sizes the same") {
  const auto drawn = [](int w) {
    return each_rank(w, [] {
      sp::extent_table t;
      t.set<vocabulary>(7).set<features>(3);
      language_model<sp::at<with_dp>> m;
      sp::set_extents(m, &t);
      sp::initialise(m, 5, 1, sp::dtype::f64);
      numbers out = sp::values(m.lm_head.weight);
      out.resize(1);
      for (const auto& p : sp::parameters(m))
        for (const double v : sp::gathered_values(p)) out.push_back(v);
      return out;
    });
  };
  const numbers one = drawn(1)[0];
  for (const int w : {2, 3}) {
    const auto all = drawn(w);
    for (const numbers& v : all) CHECK(numbers(v.begin() + 1, v.end()) == numbers(one.begin() + 1, one.end()));
    CHECK(all[0][0] != all[1][0]);
  }
}

}  // namespace

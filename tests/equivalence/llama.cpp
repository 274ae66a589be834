/// A Llama with grouped heads, per-head norms, a fused gate|up, a bias and a tied head: every rank count, mesh and kind of plan
/// gives the numbers of one device.
#include <cmath>
#include <map>
#include <string>
#include <catch2/catch.hpp>
#include <range/v3/view/cartesian_product.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/shardproof.hpp>

namespace llama_test {
struct hidden : sp::dim<24> {};
struct ffn : sp::dim<26> {};
struct vocab : sp::dim<37> {};
struct kv_heads : sp::dim<sp::dynamic, sp::groups> {};              // so that one compilation serves several counts
struct q_heads : sp::dim<12, sp::grouped_by<kv_heads>> {};
struct head_dim : sp::dim<4> {};

template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::with_bias>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden, sp::with_bias>);
  SP_LAYER(q_norm, sp::rms_norm<head_dim>);
  SP_LAYER(k_norm, sp::rms_norm<head_dim>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = sp::rope(q_norm(q_proj(x)), cache.positions());
    auto k = sp::rope(k_norm(k_proj(x)), cache.positions());
    auto v = v_proj(x);
    return o_proj(sp::attention(q, cache.extend(k, v)));
  }
};
template <class At> struct gated_mlp {
  SP_LAYER(gate_up_proj, sp::linear<hidden, sp::fused<ffn, ffn>>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x) const {
    auto [gate, up] = sp::split(gate_up_proj(x));
    return down_proj(sp::silu(gate) * up);
  }
};
template <class At> struct decoder_layer {
  SP_LAYER(input_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(self_attn, sp::block<attention>);
  SP_LAYER(post_attention_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(mlp, sp::block<gated_mlp>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto h = x + self_attn(input_layernorm(x), cache);
    return h + mlp(post_attention_layernorm(h));
  }
};
template <class At> struct llama {
  SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<decoder_layer, 2>);
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(lm_head, sp::tied_linear<hidden, vocab>);
  constexpr auto forward(const auto& ids, auto&& cache) const { return lm_head(norm(layers(embed_tokens(ids), cache)), embed_tokens.weight); }
};

inline constexpr sp::plan alone{};
inline constexpr sp::plan tensor_parallel{
    sp::embedding_rowwise{"embed_tokens"}, sp::packed_colwise{"layers.*.mlp.gate_up_proj"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj", "lm_head"},
    sp::rowwise{"layers.*.self_attn.o_proj", "layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm"}};
inline constexpr auto data_parallel = tensor_parallel.with_axis<sp::dp, sp::shard<sp::batch>>();
inline constexpr auto sequence_parallel = tensor_parallel.with_boundary<sp::shard<sp::seq>>();
inline constexpr sp::run_time_plan<> from_json;
constexpr auto json = R"({"embed_tokens": "embedding_rowwise", "layers.*.self_attn.q_proj": "colwise", "layers.*.self_attn.k_proj": "colwise",
  "layers.*.self_attn.v_proj": "colwise", "layers.*.self_attn.o_proj": "rowwise", "layers.*.self_attn.q_norm": "replicated_with_grad_allreduce",
  "layers.*.self_attn.k_norm": "replicated_with_grad_allreduce", "layers.*.mlp.gate_up_proj": "packed_colwise", "layers.*.mlp.down_proj": "rowwise", "lm_head": "colwise"})";

using figures = std::map<std::string, std::vector<double>>;
std::vector<long> text(long count, long shift) {
  std::vector<long> out;
  for (long i = 0; i < count; ++i) out.push_back((i * i * 7 + i + shift) % 37);
  return out;
}
inline const sp::extent_table four_kv_heads = [] { sp::extent_table t; t.set<kv_heads>(4); return t; }();
inline const sp::extent_table twelve_kv_heads = [] { sp::extent_table t; t.set<kv_heads>(12); return t; }();
template <class M> void prepare(M& m, sp::dtype t, const sp::extent_table& heads = four_kv_heads) {
  sp::set_extents(m, &heads);
  if constexpr (requires { m.lm_head.bound; }) sp::bind(m, sp::parse_plan(json));
  sp::fill(m, [](std::string_view n, long i) { return (n.find("norm") != n.npos ? 1.0 : 0.0) + 0.3 * sp::normal_at(1, sp::stream_of(n), std::uint64_t(i)); }, t);
}
/// Three accumulated micro-batches, then everything that must be equal.
template <class M>
figures step(const sp::mesh& mesh, sp::dtype t, long rows = 2, bool counts = false, const sp::extent_table& heads = four_kv_heads) {
  figures out;
  sp::run(mesh, [&] {
    M m;
    prepare(m, t, heads);
    double total = 0;
    sp::ledger book;
    sp::self.book = &book;
    for (long micro = 0; micro < 3; ++micro) {
      auto ids = sp::input(m, sp::tokens{rows, 5}, text(rows * 5, micro));
      auto loss = sp::cross_entropy(m.forward(ids, sp::no_cache), sp::next_tokens(ids), {.scale = 1.0 / 3});
      sp::backward(loss);
      total += sp::reduced(loss).item();
    }
    sp::self.book = nullptr;
    if (counts && sp::self.on[0]) {
      const auto& c = sp::self.on[0]->counters();
      if (sp::first_rank()) out["all_reduces"] = {double(c.calls[int(sp::collective::all_reduce)]), double(book.forward.all_reduces + book.backward.all_reduces), double(c.calls[int(sp::collective::all_gather)])};
    }
    auto all = sp::parameters(m);
    const double norm = sp::gradient_norm(all);
    for (auto& p : all) {
      auto g = sp::gathered_gradient(p);
      if (sp::first_rank()) out[p.name] = std::move(g);
    }
    sp::adamw{.lr = 1e-2, .clip = 0.5}.step(all);
    for (auto& p : all) {
      auto w = sp::gathered_values(p);
      if (sp::first_rank()) out["stepped " + p.name] = std::move(w);
    }
    if (sp::first_rank()) { out["loss"] = {total}; out["norm"] = {norm}; }
  });
  return out;
}
double difference(const figures& a, const figures& b) {
  double worst = 0;
  for (const auto& [name, v] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second.size() != v.size()) return 1e9;
    for (std::size_t i = 0; i < v.size(); ++i) worst = std::max(worst, std::isfinite(v[i]) ? std::abs(v[i] - other->second[i]) : 1e9);
  }
  return worst;
}
using one_device = llama<sp::at<alone>>;
using fixed = llama<sp::at<tensor_parallel>>;
using read = llama<sp::at<from_json>>;

TEST_CASE("three accumulated micro-batches: loss, gradients, clip norm and the step equal one device in f64") {
  const figures one = step<one_device>({}, sp::dtype::f64);
  REQUIRE(one.size() > 40);
  REQUIRE(one.at("norm")[0] > 0.1);
  for (int w : {1, 2, 4, 12}) {                                              // 12 ranks: each KV head lies in three copies
    INFO("ranks " << w);
    CHECK(difference(one, step<fixed>({w}, sp::dtype::f64)) < 1e-10);
    CHECK(difference(one, step<read>({w}, sp::dtype::f64)) < 1e-10);
  }
}
TEST_CASE("the same with twelve key/value heads, which three ranks can share too") {
  const figures one = step<one_device>({}, sp::dtype::f64, 2, false, twelve_kv_heads);
  for (int w : {2, 3, 4, 6, 12}) {
    INFO("ranks " << w);
    CHECK(difference(one, step<fixed>({w}, sp::dtype::f64, 2, false, twelve_kv_heads)) < 1e-10);
    CHECK(difference(one, step<read>({w}, sp::dtype::f64, 2, false, twelve_kv_heads)) < 1e-10);
  }
}
TEST_CASE("the same in f32") {
  const figures one = step<one_device>({}, sp::dtype::f32);
  for (int w : {2, 4}) CHECK(difference(one, step<fixed>({w}, sp::dtype::f32)) < 1e-2);   // AdamW turns tiny gradients into signs
}
TEST_CASE("data parallel and tensor parallel together, empty and uneven parts of the batch included") {
  using ranges::views::cartesian_product;
  const std::map<long, figures> one{{2, step<one_device>({}, sp::dtype::f64, 2)}, {3, step<one_device>({}, sp::dtype::f64, 3)}};
  const sp::mesh meshes[] = {{1, 2}, {2, 2}, {2, 4}, {4, 3}};
  for (const auto& [m, expected] : cartesian_product(meshes, one)) {
    const long rows = expected.first;
    INFO("tp " << m.tp << ", dp " << m.dp << ", rows " << rows);
    CHECK(difference(expected.second, step<llama<sp::at<data_parallel>>>(m, sp::dtype::f64, rows)) < 1e-10);
  }
}
TEST_CASE("sequence parallelism is the plan's boundary, nothing else") {
  const figures one = step<one_device>({}, sp::dtype::f64);
  for (int w : {2, 4, 12}) {                                                 // 5 tokens: uneven and empty parts
    INFO("ranks " << w);
    CHECK(difference(one, step<llama<sp::at<sequence_parallel>>>({w}, sp::dtype::f64)) < 1e-10);
  }
}
TEST_CASE("the ledger predicts the collectives that happen, and logits are never gathered to train") {
  const auto all = step<fixed>({4}, sp::dtype::f64, 2, true).at("all_reduces");
  REQUIRE(all[0] == all[1]);
  REQUIRE(all[0] == 3 * (7 + 9));                                            // two layers: 1 + 2 * 2 + 2 forward, 1 + 2 * 4 backward
  REQUIRE(all[2] == 0);
}
TEST_CASE("200 steps at one world size give the same bits") {
  std::vector<double> first;
  sp::run(2, [&] {
    fixed m;
    prepare(m, sp::dtype::f32);
    const auto all = sp::parameters(m);
    for (int i = 0; i < 200; ++i) {
      auto ids = sp::input(m, sp::tokens{2, 5}, text(10, 0));
      auto loss = sp::cross_entropy(m.forward(ids, sp::no_cache), sp::next_tokens(ids));
      sp::backward(loss);
      std::vector<double> now{loss.item()};
      for (const auto& p : all) for (double g : sp::gathered_gradient(p)) now.push_back(g);
      sp::clear_gradients(all);
      if (!sp::first_rank()) continue;
      if (first.empty()) first = now;
      if (now != first) throw std::runtime_error("step " + std::to_string(i) + " gives other bits");
    }
  });
  REQUIRE(first.size() > 1000);
}
TEST_CASE("decoding with a cache equals the whole sequence at once") {
  for (int w : {1, 2, 4, 12}) {
    double worst = -1;
    sp::run(w, [&] {
      fixed m;
      prepare(m, sp::dtype::f64);
      sp::no_grad off;
      const auto all = text(10, 0);
      auto whole = sp::full(m.forward(sp::input(m, sp::tokens{2, 5}, all), sp::no_cache));
      sp::cache kv;
      double d = 0;
      for (long t : {0L, 3L, 4L}) {                                          // three tokens, then one, then one
        const long n = t ? 1 : 3;
        std::vector<long> some;
        for (long r = 0; r < 2; ++r) for (long i = t; i < t + n; ++i) some.push_back(all[std::size_t(r * 5 + i)]);
        auto part = sp::full(m.forward(sp::input(m, sp::tokens{2, n}, some), kv));
        for (long r = 0; r < 2; ++r) for (long i = 0; i < n; ++i) for (long j = 0; j < 37; ++j)
          d = std::max(d, std::abs(sp::device().read(whole.at->v(), (r * 5 + t + i) * 37 + j) - sp::device().read(part.at->v(), (r * n + i) * 37 + j)));
      }
      if (sp::first_rank()) worst = d;
    });
    INFO("ranks " << w);
    CHECK(worst >= 0);
    CHECK(worst < 1e-12);
  }
}
TEST_CASE("a cache under a tape is refused: its gradient would be lost") {
  fixed m;
  prepare(m, sp::dtype::f32);
  sp::cache kv;
  auto ids = sp::input(m, sp::tokens{2, 5}, text(10, 0));
  REQUIRE_THROWS_WITH(m.forward(ids, kv), Catch::Contains("SP001") && Catch::Contains("no_grad"));
}
TEST_CASE("a forward before there are values is refused by the parameter's name, under either kind of plan") {
  const auto forward = [](auto m) {
    sp::set_extents(m, &four_kv_heads);
    if constexpr (requires { m.lm_head.bound; }) sp::bind(m, sp::parse_plan(json));
    (void)m.forward(sp::input(m, sp::tokens{2, 5}, text(10, 0)), sp::no_cache);
  };
  CHECK_THROWS_WITH(forward(fixed{}), Catch::StartsWith("shardproof[SP001] parameter \"weight\" is used and has no values yet. Fix: call sp::initialise"));
  CHECK_THROWS_WITH(forward(read{}), Catch::StartsWith("shardproof[SP001] parameter \"weight\" is used and has no values yet."));
}
TEST_CASE("frozen parameters cost no backward communication and get no gradient") {
  long calls = -1;
  bool any = true;
  sp::run(2, [&] {
    fixed m;
    prepare(m, sp::dtype::f32);
    sp::each_parameter(m, [](auto& p) { p.frozen = true; });
    auto ids = sp::input(m, sp::tokens{2, 5}, text(10, 0));
    auto loss = sp::cross_entropy(m.forward(ids, sp::no_cache), sp::next_tokens(ids));
    const long before = sp::self.on[0]->counters().calls[0];
    bool some = false, refused = false;
    try { sp::backward(loss); } catch (const sp::error& e) { refused = e.which() == sp::code::usage; }     // nothing is left to do, and that is said
    for (auto& p : sp::parameters(m)) some = some || (*p.at)->has_gradient();
    if (sp::first_rank()) { calls = sp::self.on[0]->counters().calls[0] - before; any = some || !refused; }
  });
  REQUIRE(calls == 0);
  REQUIRE_FALSE(any);
}
TEST_CASE("rank counts that would cut a head are refused with the legal ones, under either kind of plan") {
  for (int w : {3, 5, 6, 8}) {
    INFO("ranks " << w);
    CHECK_THROWS_WITH(step<fixed>({w}, sp::dtype::f32), Catch::Contains("SP105") && Catch::Contains("legal 1, 2, 4, 12"));
    CHECK_THROWS_WITH(step<read>({w}, sp::dtype::f32), Catch::Contains("SP105") && Catch::Contains("legal 1, 2, 4, 12"));
  }
}
TEST_CASE("a skipped collective is SP501, not a hang") {
  REQUIRE_THROWS_WITH(sp::run({.mesh = {2}, .timeout_seconds = 2}, [&] {
    fixed m;
    prepare(m, sp::dtype::f32);
    auto ids = sp::input(m, sp::tokens{2, 5}, text(10, 0));
    const auto one = sp::whole(sp::sizes_of<sp::dims<>>{}, std::vector<double>{1});
    if (sp::rank_on() == 0) sp::self.on[0]->all_reduce(one.at->data.get(), 1, sp::dtype::f64);
    (void)m.forward(ids, sp::no_cache);
  }), Catch::Contains("SP501") || Catch::Contains("SP502"));
}
TEST_CASE("ranks see the same parameters whatever the world size: initialisation is by global index") {
  std::map<int, std::vector<double>> w;
  for (int n : {1, 2, 4}) sp::run(n, [&] {
    fixed m;
    sp::set_extents(m, &four_kv_heads);
    sp::initialise(m, 7);
    for (const auto& p : sp::parameters(m)) { auto v = sp::gathered_values(p); if (sp::first_rank()) w[n].insert(w[n].end(), v.begin(), v.end()); }
  });
  REQUIRE(w[1] == w[2]);
  REQUIRE(w[1] == w[4]);
}
}  // namespace llama_test

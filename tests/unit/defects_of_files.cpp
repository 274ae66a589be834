// Defects of the field, reproduced: what is read from a checkpoint, what is written, and what a rank holds of it. docs/defects.md
// lists them all.
#include <catch2/catch.hpp>
#include <map>
#include <numeric>
#include <shardproof/engine/threads.hpp>
#include <shardproof/io/checkpoint.hpp>
#include <shardproof/layer/experts.hpp>
#include <shardproof/shardproof.hpp>
#include "scratch_folder.hpp"

namespace io = shardproof::io;
namespace {
using Catch::Matchers::Contains;
using numbers = std::vector<double>;
struct in : sp::dim<3> {};
struct four : sp::dim<4> {};
struct five : sp::dim<5> {};
struct eight : sp::dim<8> {};
struct sixteen : sp::dim<16> {};
struct experts_dim : sp::dim<4, sp::units> {};
using rows = sp::sizes_of<sp::dims<sp::batch, in>>;
inline constexpr sp::plan whole_everywhere{};
inline constexpr sp::run_time_plan<> at_start_up;

double by_index(std::string_view, long i) { return double(i); }
double by_name(std::string_view name, long i) { return double(name.size()) + 0.25 * double(i) - 3; }
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
using shape = std::vector<std::int64_t>;
std::map<std::string, shape> tensors_in(const std::string& folder) {
  std::map<std::string, shape> out;
  const io::checkpoint_files files(folder);
  for (const auto& t : files.tensors()) out[std::string(t.name())] = shape(t.tensor->shape.begin(), t.tensor->shape.end());
  return out;
}
std::string bytes_in(const scratch_folder& dir, const std::string& name) { return dir.get(name + "/model.safetensors"); }
/// Writes a model that is whole on one rank, then one that `ranks` ranks load and write again; true if the bytes are the same.
template <template <class> class Model, const auto& Plan> bool round_trip(const scratch_folder& dir, int ranks) {
  sp::run(1, [&] {
    Model<sp::at<whole_everywhere>> m;
    sp::fill(m, by_name);
    sp::save(m, dir.at("whole"));
  });
  sp::run(ranks, [&] {
    Model<sp::at<Plan>> m;
    sp::load(m, dir.at("whole"));
    sp::save(m, dir.at("again"));
  });
  return !bytes_in(dir, "whole").empty() && bytes_in(dir, "whole") == bytes_in(dir, "again");
}

// ---- names ----
template <class At> struct adjacent {
  SP_LAYER(proj, sp::linear<in, five>);
  SP_LAYER(back, sp::linear<five, in, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return back(proj(x)); }
};
template <class At> struct inner_stack {
  SP_LAYER(h, sp::stack<adjacent, 2>);
  constexpr auto forward(const auto& x) const { return h(x); }
};
template <class At> struct digits {
  SP_LAYER(fc1, sp::linear<in, five, sp::with_bias>);
  SP_LAYER(fc2, sp::linear<five, in, sp::with_bias>);
  SP_LAYER(w1, sp::linear<in, five>);
  SP_LAYER(dense_4h_to_h, sp::linear<five, in>);
  SP_LAYER(layers, sp::stack<inner_stack, 2>);
};
inline constexpr sp::plan of_digits{sp::colwise{"fc1", "w1", "layers.*.h.*.proj"},
                                    sp::rowwise{"fc2", "dense_4h_to_h", "layers.*.h.*.back"}};
TEST_CASE(
    "B01 layers with digits in their names are saved whole and under their names; fc1, w1, dense_4h_to_h, layers.0.h.1.proj") {
  const scratch_folder dir;
  for (const int w : {1, 2, 3, 8}) {
    INFO(w << " ranks");
    CHECK(round_trip<digits, of_digits>(dir, w));
    const auto saved = tensors_in(dir.at("again"));
    CHECK(saved.size() == 6 + 4 * 3);
    CHECK(saved.at("fc1.weight") == shape{5, 3});
    CHECK(saved.at("fc1.bias") == shape{5});
    CHECK(saved.at("dense_4h_to_h.weight") == shape{3, 5});
    CHECK(saved.at("layers.0.h.1.proj.weight") == shape{5, 3});
    CHECK(saved.at("layers.1.h.0.back.weight") == shape{3, 5});
  }
}

template <class At> struct row_layer {
  SP_LAYER(down, sp::linear<five, in, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return down(x); }
};
inline constexpr sp::plan by_rows{sp::rowwise_split_input{"down"}};
TEST_CASE("B02 after a forward the bias of a rowwise layer is still called bias, is whole, and was added once") {
  const scratch_folder dir;
  const auto all = each_rank(2, [&] {
    row_layer<sp::at<by_rows>> m;
    sp::fill(
        m, [](std::string_view name, long i) { return name == "down.bias" ? 100.0 * double(i + 1) : 1.0; }, sp::dtype::f32);
    const auto y = sp::values(m.forward(sp::whole(sp::sizes_of<sp::dims<sp::batch, five>>{1, 5}, numbers(5, 1))));
    sp::save(m, dir.at("saved"));
    return y;
  });
  for (const numbers& y : all) CHECK(y == numbers{105, 205, 305});
  CHECK(tensors_in(dir.at("saved")) == std::map<std::string, shape>{{"down.bias", {3}}, {"down.weight", {3, 5}}});
}

// ---- experts ----
template <class At> struct expert_matrices {
  SP_PARAM(up, sp::per_expert<experts_dim>, sp::out<four>, sp::in<in>);
  SP_PARAM(down, sp::per_expert<experts_dim>, sp::out<in>, sp::in<four>);
  constexpr auto forward(const auto& x, const auto&) const { return x; }
};
template <class At> struct mixture { SP_LAYER(experts, sp::region<expert_matrices>); };
inline constexpr sp::plan dealt{sp::grouped_gemm{"experts.up", "experts.down"}, sp::moe_tp_experts{"experts"}};
inline constexpr auto dealt_on_a_mesh = dealt.with_axis<sp::dp, sp::shard<sp::batch>>();
TEST_CASE("B03 experts that are dealt out are all in the file that is saved") {
  const scratch_folder dir;
  for (const int w : {2, 4}) {
    CHECK(round_trip<mixture, dealt>(dir, w));
    CHECK(tensors_in(dir.at("again")) == std::map<std::string, shape>{{"experts.up", {4, 4, 3}}, {"experts.down", {4, 3, 4}}});
  }
}
TEST_CASE("B30 the rank on tp, not the device's or the world's number, says which experts a rank holds, in the file's type") {
  const scratch_folder dir;
  sp::run(1, [&] {
    mixture<sp::at<whole_everywhere>> m;
    sp::fill(m, by_index, sp::dtype::bf16);
    sp::save(m, dir.at("c"));
  });
  const auto held = each_rank(sp::mesh{.tp = 2, .dp = 2}, [&] {
    mixture<sp::at<dealt_on_a_mesh>> m;
    sp::load(m, dir.at("c"));
    numbers out = sp::values(m.experts.up);
    out.push_back(double(m.experts.up.at->type == sp::dtype::bf16));
    return out;
  });
  for (int r = 0; r < 4; ++r) {
    numbers expected(24);
    std::iota(expected.begin(), expected.end(),
              r % 2 ? 24.0 : 0.0);  // experts 0 and 1 on ranks 0 and 2, 2 and 3 on ranks 1 and 3
    expected.push_back(1);
    CHECK(held[std::size_t(r)] == expected);
  }
}

// ---- fused layers ----
template <class Fused> struct fused_layer {
  template <class At> struct model {
    SP_LAYER(fused, sp::linear<in, Fused, sp::with_bias>);
    constexpr auto forward(const auto& x) const { return fused(x); }
  };
};
inline constexpr sp::plan packed{sp::packed_colwise{"fused"}};
/// Rows of the file that each rank holds of the weight, and elements of the bias.
template <class Fused> std::vector<numbers> rows_held(int ranks, bool of_the_bias) {
  return each_rank(ranks, [&] {
    typename fused_layer<Fused>::template model<sp::at<packed>> m;
    sp::fill(m, by_index);
    if (of_the_bias) return sp::values(m.fused.bias);
    numbers out;
    const numbers w = sp::values(m.fused.weight);
    for (std::size_t i = 0; i < w.size(); i += 3) out.push_back(w[i] / 3);
    return out;
  });
}
TEST_CASE("B04 the bias of a fused layer follows the blocks of its outputs; g0 g1 u0 u1 on rank 0, and the file has g before u") {
  using gate_up = sp::fused<four, four>;
  for (const bool bias : {true, false}) {
    const auto held = rows_held<gate_up>(2, bias);
    CHECK(held[0] == numbers{0, 1, 4, 5});
    CHECK(held[1] == numbers{2, 3, 6, 7});
  }
  const scratch_folder dir;
  CHECK(round_trip<fused_layer<gate_up>::model, packed>(dir, 2));
}
TEST_CASE("B20 blocks of 5 and 5 on two ranks; rows 4 and 9 are held, once") {
  using uneven = sp::fused<five, five>;
  for (const bool bias : {true, false}) {
    const auto held = rows_held<uneven>(2, bias);
    CHECK(held[0] == numbers{0, 1, 2, 5, 6, 7});
    CHECK(held[1] == numbers{3, 4, 8, 9});
  }
  const scratch_folder dir;
  for (const int w : {2, 3, 4, 8}) CHECK(round_trip<fused_layer<uneven>::model, packed>(dir, w));
}
struct q_rows : sp::dim<8> {};
struct k_rows : sp::dim<4> {};
struct v_rows : sp::dim<4> {};
TEST_CASE("B22 three unequal blocks, q, k and v of 8, 4 and 4 rows, are read and written back whole on two ranks and on three") {
  using qkv = sp::fused<q_rows, k_rows, v_rows>;
  CHECK(rows_held<qkv>(2, false)[1] == numbers{4, 5, 6, 7, 10, 11, 14, 15});
  CHECK(rows_held<qkv>(3, true)[2] == numbers{6, 7});  // four k and v rows on three ranks: 2, 2 and 0
  const scratch_folder dir;
  for (const int w : {2, 3, 4, 8}) CHECK(round_trip<fused_layer<qkv>::model, packed>(dir, w));
}
template <class At> struct stacked_gate_up {
  SP_PARAM(gate_up, sp::per_expert<experts_dim>, sp::out<sp::fused<four, four>>, sp::in<in>);
  constexpr auto forward(const auto& x, const auto&) const { return x; }
};
template <class At> struct stacked { SP_LAYER(experts, sp::region<stacked_gate_up>); };
inline constexpr sp::plan cut_inside{sp::packed_colwise{"experts.gate_up"}, sp::moe_tp_experts{"experts"}};
TEST_CASE("B17 gate and up that a file keeps apart are cut each by itself, after they have been put together") {
  const scratch_folder dir;
  const auto views = [](auto& m) {  // each expert's gate and up are tensors of their own
    auto all = sp::parameters(m);
    for (int e = 0; e < 4; ++e)
      for (const char* part : {".gate", ".up"}) all[0].stored.push_back("experts." + std::to_string(e) + part);
    return all;
  };
  sp::run(1, [&] {
    stacked<sp::at<whole_everywhere>> m;
    sp::fill(m, by_index);
    io::atomic_folder out(dir.at("apart"));
    io::save_weights(views(m), &out.add("model.safetensors"));
    out.commit("model.safetensors");
  });
  const auto saved = tensors_in(dir.at("apart"));
  CHECK(saved.size() == 8);
  CHECK(saved.at("experts.3.up") == shape{4, 3});
  const auto held = each_rank(2, [&] {
    stacked<sp::at<cut_inside>> m;
    io::load_weights(views(m), io::checkpoint_files(dir.at("apart")));
    numbers out;
    const numbers w = sp::values(m.experts.gate_up);
    for (std::size_t i = 0; i < w.size(); i += 3) out.push_back(w[i] / 3);
    return out;
  });
  for (int r = 0; r < 2; ++r) {  // rows [0, 2) or [2, 4) of gate and of up, of every expert
    numbers expected;
    for (int e = 0; e < 4; ++e)
      for (const int part : {0, 4})
        for (const int i : {0, 1}) expected.push_back(8 * e + part + 2 * r + i);
    CHECK(held[std::size_t(r)] == expected);
  }
}
template <class At> struct wide_fused { SP_LAYER(fused, sp::linear<sixteen, sp::fused<four, four>>); };
TEST_CASE("B18 a dimension is cut by its name, not by its place; [2 x 4, 16] on two ranks is [4, 16]") {
  for (const numbers& s : each_rank(2, [] {
         wide_fused<sp::at<packed>> m;
         sp::fill(m, by_index);
         return numbers{double(m.fused.weight.at->s.n[0]), double(m.fused.weight.at->s.n[1])};
       }))
    CHECK(s == numbers{4, 16});
}
template <class At> struct two_matrices {
  SP_LAYER(gate, sp::linear<in, four>);
  SP_LAYER(up, sp::linear<in, four>);
};
template <class At> struct named_fused { SP_LAYER(fused, sp::linear<in, sp::fused<four, four>>); };
TEST_CASE("B19 whether gate and up are packed is never guessed from shapes; what is not declared is refused by name") {
  const scratch_folder dir;
  sp::run(1, [&] {
    two_matrices<sp::at<whole_everywhere>> m;
    sp::fill(m, by_index);
    sp::save(m, dir.at("apart"));
    named_fused<sp::at<whole_everywhere>> n;
    sp::fill(n, by_index);
    sp::save(n, dir.at("fused"));
  });
  for (const int w : {1, 2}) {
    CHECK_THAT(refusal([&] {
                 sp::run(w, [&] {
                   named_fused<sp::at<packed>> m;
                   sp::load(m, dir.at("apart"));
                 });
               }),
               Contains("SP602") && Contains("fused.weight"));
    CHECK_THAT(refusal([&] {
                 sp::run(w, [&] {
                   two_matrices<sp::at<whole_everywhere>> m;
                   sp::load(m, dir.at("fused"));
                 });
               }),
               Contains("SP602") && Contains("gate.weight"));
  }
}

// ---- parameters that no rule names, replicas, bytes ----
template <class At> struct with_scale {
  SP_PARAM(scale, in);
  SP_LAYER(up, sp::linear<in, five, sp::with_bias>);
  SP_LAYER(new_head, sp::linear<in, in>);  // no rule names it
  constexpr auto forward(const auto& x) const { return up(new_head(x * scale)); }
};
inline constexpr sp::plan only_up{sp::colwise{"up"}};
TEST_CASE("B39 a parameter of the model itself, named without a dot and by no rule, is whole on every rank, saved and loaded") {
  const scratch_folder dir;
  CHECK(round_trip<with_scale, only_up>(dir, 2));
  CHECK(tensors_in(dir.at("again")).at("scale") == shape{3});
  for (const numbers& v : each_rank(2, [&] {
         with_scale<sp::at<at_start_up>> m;
         sp::bind(m, sp::parse_plan(std::string_view(R"({"up": "colwise"})")));
         sp::load(m, dir.at("whole"));
         return sp::values(m.scale);
       }))
    CHECK(v == numbers{2, 2.25, 2.5});
}
TEST_CASE("B40 parameters are initialised by global index; replicas have the same bits whatever random state a process is in") {
  const auto drawn = [](int w) {
    return each_rank(w, [] {
      std::srand(unsigned(sp::rank_on()) + 1);  // the state of a process is not asked
      with_scale<sp::at<only_up>> m;
      sp::initialise(m, 3);
      numbers out = sp::values(m.new_head.weight);
      for (const auto& p : sp::parameters(m))
        for (const double v : sp::gathered_values(p)) out.push_back(v);
      return out;
    });
  };
  const numbers one = drawn(1)[0];
  REQUIRE(one.size() == 9 + 3 + 15 + 5 + 9);
  REQUIRE(one[0] != one[1]);
  for (const int w : {2, 3, 7})
    for (const numbers& v : drawn(w)) CHECK(v == one);
}

template <class At> struct every_style {
  SP_LAYER(table, sp::embedding<five, in>);
  SP_LAYER(columns, sp::embedding<five, in>);
  SP_LAYER(up, sp::linear<in, five, sp::with_bias>);
  SP_LAYER(gathered, sp::linear<in, five, sp::with_bias>);
  SP_LAYER(down, sp::linear<five, in, sp::with_bias>);
  SP_LAYER(fused, sp::linear<in, sp::fused<four, five>, sp::with_bias>);
  SP_LAYER(back, sp::linear<sp::fused<four, five>, in, sp::with_bias>);
  SP_LAYER(plain, sp::linear<in, five, sp::with_bias>);
  SP_LAYER(norm, sp::rms_norm<in>);
  SP_LAYER(experts, sp::region<expert_matrices>);
};
inline constexpr auto all_styles = sp::plan{
    sp::embedding_rowwise{"table"},
    sp::embedding_colwise{"columns"},
    sp::colwise{"up"},
    sp::colwise_gather_output{"gathered"},
    sp::rowwise{"down"},
    sp::packed_colwise{"fused"},
    sp::packed_rowwise{"back"},
    sp::replicated{"plain"},
    sp::replicated_with_grad_allreduce{"norm"},
    sp::grouped_gemm{"experts.up", "experts.down"},
    sp::moe_tp_experts{"experts"}}.with_axis<sp::dp, sp::shard<sp::batch>>();
TEST_CASE("B45 the bytes that are predicted for each style are those that a rank allocates, on a mesh of tp and dp too") {
  const std::map<std::string, std::pair<long, long>> by_hand{
      // elements on the first and the second of two ranks of tp
      {"table.weight", {9, 6}},    {"columns.weight", {10, 5}}, {"up.weight", {9, 6}},     {"up.bias", {3, 2}},
      {"gathered.weight", {9, 6}}, {"gathered.bias", {3, 2}},   {"down.weight", {9, 6}},   {"down.bias", {3, 3}},
      {"fused.weight", {15, 12}},  {"fused.bias", {5, 4}},      {"back.weight", {15, 12}}, {"back.bias", {3, 3}},
      {"plain.weight", {15, 15}},  {"plain.bias", {5, 5}},      {"norm.weight", {3, 3}},   {"experts.up", {24, 24}},
      {"experts.down", {24, 24}}};
  for (const sp::mesh& mesh : {sp::mesh{.tp = 2}, sp::mesh{.tp = 2, .dp = 2}}) {
    std::vector<std::map<std::string, std::pair<long, long>>> found{std::size_t(mesh.size())};
    sp::run(mesh, [&](int r) {
      every_style<sp::at<all_styles>> m;
      auto& mine = found[std::size_t(r)];
      for (const auto& p : sp::parameters(m)) mine[p.name].first = long(p.local_bytes(sp::self.where, sp::dtype::bf16));
      sp::fill(m, by_index, sp::dtype::bf16);
      for (const auto& p : sp::parameters(m)) mine[p.name].second = long((*p.at)->v().bytes());
    });
    for (int r = 0; r < mesh.size(); ++r) {
      CHECK(found[std::size_t(r)].size() == by_hand.size());
      for (const auto& [name, elements] : by_hand) {
        INFO(name << " on world rank " << r);
        const long bytes = 2 * (r % 2 ? elements.second : elements.first);
        CHECK(found[std::size_t(r)][name] == std::pair{bytes, bytes});
      }
    }
  }
}

}  // namespace

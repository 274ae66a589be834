/// The mistakes of tests/fail once more: each printed fix, applied, equals one device. (The files hold it outside of MUST_FAIL; those
/// whose fix is the plan of llama/model.hpp are one model.)
#include <cmath>
#include <catch2/catch.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/layer/experts.hpp>
#include <shardproof/shardproof.hpp>
#include "fail/llama/attention.hpp"
#include "fail/llama/gated_mlp.hpp"
#include "fail/llama/model.hpp"

namespace mistake_04 {
#include "fail/llama/again.hpp"
#include "fail/mistake_04_all_reduce_missing_in_a_block.cpp"
using model = llama<sp::at<pending>>;
}  // namespace mistake_04
namespace mistake_05 {
#include "fail/llama/again.hpp"
#include "fail/mistake_05_all_reduce_twice.cpp"
using model = llama<sp::at<tensor_parallel>>;
}  // namespace mistake_05
namespace mistake_06 {
#include "fail/llama/again.hpp"
#include "fail/mistake_06_bias_before_the_all_reduce.cpp"
using model = llama<sp::at<pending>>;
}  // namespace mistake_06
namespace mistake_07 {
#include "fail/llama/again.hpp"
#include "fail/mistake_07_residual_on_a_partial.cpp"
using model = tower<sp::at<pending>>;
}  // namespace mistake_07
namespace mistake_08 {
#include "fail/llama/again.hpp"
#include "fail/mistake_08_nonlinearity_on_a_partial.cpp"
using model = llama<sp::at<pending>>;
}  // namespace mistake_08
namespace mistake_09 {
#include "fail/llama/again.hpp"
#include "fail/mistake_09_f_missing_in_a_style.cpp"
using model = llama<sp::at<wrong>>;
}  // namespace mistake_09
namespace mistake_13 {
#include "fail/llama/again.hpp"
#include "fail/mistake_13_bias_of_fused_experts_sharded_plainly.cpp"
using model = llama<sp::at<cut_inside>>;
}  // namespace mistake_13
namespace mistake_16 {
#include "fail/llama/again.hpp"
#include "fail/mistake_16_hidden_sharded_embedding_reduced.cpp"
using model = front<sp::at<by_columns>>;
}  // namespace mistake_16
namespace mistake_17 {
#include "fail/llama/again.hpp"
#include "fail/mistake_17_unreduced_expert_beside_a_shared_one.cpp"
using model = tower<sp::at<routed_and_shared>>;
}  // namespace mistake_17
namespace mistake_18 {
#include "fail/llama/again.hpp"
#include "fail/mistake_18_router_scores_masked_before_f.cpp"
using model = llama<sp::at<dealt>>;
}  // namespace mistake_18
namespace mistake_19 {
#include "fail/llama/again.hpp"
#include "fail/mistake_19_norm_unsynchronised_on_a_cut_sequence.cpp"
using model = llama<sp::at<along_seq>>;
}  // namespace mistake_19
namespace mistake_27 {
#include "fail/llama/again.hpp"
#include "fail/mistake_27_wrong_axis_of_a_mesh.cpp"
using model = llama<sp::at<on_a_mesh>>;
}  // namespace mistake_27
namespace mistake_28 {
#include "fail/llama/again.hpp"
#include "fail/mistake_28_gathered_value_in_rank_dependent_compute.cpp"
using model = llama<sp::at<gathered>>;
}  // namespace mistake_28

namespace mistake_20 {
#include "fail/llama/again.hpp"
#include "fail/mistake_20_reduce_scatter_of_a_replicated_value.cpp"
using model = llama<sp::at<tensor_parallel>>;
}  // namespace mistake_20

namespace {
double number(std::string_view name, long i) { return 2 * sp::uniform_at(5, sp::stream_of(name), std::uint64_t(i)) - 1; }

template <class Y> auto whole_of(const Y& y) {
  if constexpr (sp::place_in<Y>::value.splits()) return sp::all_gather(y);
  else return sp::reduced(y);
}
/// The result and, for random cotangents of two micro-batches, every gradient; whole, one behind the other.
template <class Model, class Stream> std::vector<double> measured(int ranks) {
  std::vector<double> out;
  sp::run(ranks, [&] {
    Model m;
    sp::fill(m, number, sp::dtype::f64);
    std::vector<double> all;
    const auto append = [&](const std::vector<double>& v) { all.insert(all.end(), v.begin(), v.end()); };
    for (const char* micro : {"first", "second"}) {
      const auto y = [&] {
        if constexpr (requires { m.embed_tokens; }) {
          std::vector<long> ids;
          for (long i = 0; i < 10; ++i) ids.push_back(long(18 * (1 + number(micro, i))));
          return whole_of(m.forward(sp::input(m, sp::tokens{2, 5}, ids), sp::no_cache));
        } else {
          std::vector<double> x;
          for (long i = 0; i < 2 * 5 * 16; ++i) x.push_back(number(micro, i));
          return whole_of(m.forward(sp::whole(Stream{2, 5, 16}, x), sp::no_cache));
        }
      }();
      append(sp::values(y));
      std::vector<double> dy;
      for (long i = 0; i < y.at->s.count(); ++i) dy.push_back(number("dy", i));
      sp::device().from_host(y.at->g(), dy.data());
      sp::pull_all(y.at);
    }
    const auto parameters = sp::parameters(m);
    sp::finish_gradients(parameters);
    for (const auto& p : parameters) append(sp::gathered_gradient(p));
    if (sp::first_rank()) out = all;
  });
  return out;
}
double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double d = a.size() == b.size() && a.size() > 400 ? 0 : 1e9;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
    d = std::max(d, std::isfinite(a[i]) ? std::abs(a[i] - b[i]) / std::max(1.0, std::abs(a[i])) : 1e9);
  return d;
}
template <class Model, class Stream> void equals_one_device(const char* what) {
  const std::vector<double> one = measured<Model, Stream>(1);
  for (const int ranks : {2, 4, 8}) {
    INFO(what << " on " << ranks << " ranks");
    CHECK(difference(one, measured<Model, Stream>(ranks)) < 1e-11);
  }
}
#define EQUALS_ONE_DEVICE(name) equals_one_device<name::model, name::stream>(#name)
}  // namespace

TEST_CASE("every mistake, mended as the compiler says, equals one device: results and gradients, two micro-batches, f64") {
  equals_one_device<llama<sp::at<tensor_parallel>>, stream>("the plan");           // mistakes 1, 2, 3, 10, 12, 14, 21, 22, 23
  EQUALS_ONE_DEVICE(mistake_04);
  EQUALS_ONE_DEVICE(mistake_05);
  EQUALS_ONE_DEVICE(mistake_06);
  EQUALS_ONE_DEVICE(mistake_07);
  EQUALS_ONE_DEVICE(mistake_08);
  EQUALS_ONE_DEVICE(mistake_09);
  EQUALS_ONE_DEVICE(mistake_13);
  EQUALS_ONE_DEVICE(mistake_16);
  EQUALS_ONE_DEVICE(mistake_17);
  EQUALS_ONE_DEVICE(mistake_18);
  EQUALS_ONE_DEVICE(mistake_19);
  EQUALS_ONE_DEVICE(mistake_20);
  EQUALS_ONE_DEVICE(mistake_28);
}
TEST_CASE("mistake 27, mended as the compiler says, equals one device on meshes of tp and dp") {
  const auto trained = [](const sp::mesh& mesh) {
    std::vector<double> out;
    sp::run(mesh, [&] {
      mistake_27::model m;
      sp::fill(m, number, sp::dtype::f64);
      std::vector<double> all{0};
      for (const char* micro : {"first", "second"}) {
        std::vector<long> numbers;
        for (long i = 0; i < 15; ++i) numbers.push_back(long(18 * (1 + number(micro, i))));
        const auto ids = sp::input(m, sp::tokens{3, 5}, numbers);                      // three rows: uneven, and empty on a fourth rank of dp
        const auto loss = sp::cross_entropy(m.forward(ids, sp::no_cache), sp::next_tokens(ids));
        sp::backward(loss);
        all[0] += sp::reduced(loss).item();
      }
      const auto parameters = sp::parameters(m);
      all.push_back(sp::gradient_norm(parameters));
      for (const auto& p : parameters) for (const double g : sp::gathered_gradient(p)) all.push_back(g);
      if (sp::first_rank()) out = all;
    });
    return out;
  };
  const std::vector<double> one = trained({});
  REQUIRE(one.at(1) > 1e-3);
  for (const sp::mesh& mesh : {sp::mesh{.tp = 2}, sp::mesh{.tp = 1, .dp = 2}, sp::mesh{.tp = 2, .dp = 2}, sp::mesh{.tp = 4, .dp = 4}}) {
    INFO("tp " << mesh.tp << ", dp " << mesh.dp);
    CHECK(difference(one, trained(mesh)) < 1e-11);
  }
}

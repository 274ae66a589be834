/// @file
/// Operations of one's own: a squared ReLU, a top-k router, a scale per row and the weighing of experts by their scores, each
/// checked against the laws, then used in a small mixture of experts.
///
///     ./custom_operation         # prints the laws and the largest difference from one device, exits 1 if either is wrong
#include "../compare.hpp"
#include <shardproof/tensor/check_laws.hpp>
#include <shardproof/tensor/operation.hpp>

struct batch : sp::dim<> {};
struct hidden : sp::dim<8> {};
struct ffn : sp::dim<6> {};
struct expert : sp::dim<4, sp::units> {};

//! [squared_relu]
struct squared_relu : sp::operation<squared_relu> {
  static constexpr double flops = 2;                                     // per element of the result
  static constexpr sp::outcome rule(sp::placement x) { return sp::rules::nonlinear(x); }
  static void compute(auto y, auto x) { for (long i = 0; i < y.count(); ++i) y[i] = x[i] > 0 ? x[i] * x[i] : 0; }
  static void pull(auto dy, auto, auto x, auto dx) {
    for (long i = 0; i < dx.count(); ++i) dx[i] += x[i] > 0 ? 2 * x[i] * dy[i] : 0;
  }
};
constexpr auto relu2(const sp::tensor_like auto& x) { return sp::call(squared_relu{}, x); }
//! [squared_relu]

//! [top_k]
/// Softmax over the k largest of the last dimension D, zero elsewhere. Every rank must see all of D.
template <class D> struct top_k_of : sp::operation<top_k_of<D>> {
  int k = 1;
  static constexpr double flops = 8;
  static constexpr sp::outcome rule(sp::placement x) { return sp::rules::over(x, &sp::info<D>); }
  void compute(auto y, auto x) const {
    const long n = x.last();
    for (long row = 0; row < x.count(); row += n) {
      auto sum = 0 * x[row];
      for (long i = row; i < row + n; ++i) {
        int larger = 0;
        for (long j = row; j < row + n; ++j) larger += x[j] > x[i] || (x[j] == x[i] && j < i);
        sum += y[i] = larger < k ? std::exp(x[i]) : 0;
      }
      for (long i = row; i < row + n; ++i) y[i] /= sum;
    }
  }
  static void pull(auto dy, auto y, auto, auto dx) {
    const long n = y.last();
    for (long row = 0; row < y.count(); row += n) {
      auto dot = 0 * y[row];
      for (long i = row; i < row + n; ++i) dot += dy[i] * y[i];
      for (long i = row; i < row + n; ++i) dx[i] += y[i] * (dy[i] - dot);
    }
  }
};
template <sp::tensor_like X> constexpr auto top_k(const X& x, int k) {
  return sp::call(top_k_of<sp::last_of<sp::dims_in<X>>>{{}, k}, x);
}
//! [top_k]

//! [scale_rows]
/// y[..., o] * s[o]: a scale for every output row, cut as y is.
struct scale_rows : sp::operation<scale_rows> {
  static constexpr double flops = 1;
  static constexpr sp::outcome rule(sp::placement y, sp::placement s) { return sp::rules::multiply(y, s); }
  static void compute(auto z, auto y, auto s) { for (long i = 0; i < z.count(); ++i) z[i] = y[i] * s[i % s.count()]; }
  static void pull(auto dz, auto, auto y, auto s, auto dy, auto ds) {
    for (long i = 0; i < dz.count(); ++i) { dy[i] += dz[i] * s[i % s.count()]; ds[i % s.count()] += dz[i] * y[i]; }
  }
};
//! [scale_rows]

//! [weigh]
/// h[batch, e, f] * score[batch, e]: a rank that holds some experts takes their scores out of all of them.
struct weigh : sp::operation<weigh> {
  static constexpr double flops = 1;
  static constexpr sp::outcome rule(sp::placement h, sp::placement score) {
    if (h == sp::shard<expert>::value)
      return {score.k == sp::kind::replicate ? sp::code::ok : score.whole() ? sp::code::needs_f : sp::code::operands_differ, h};
    return sp::rules::multiply(h, score, true, h.d != &sp::info<ffn>);
  }
  static void each(auto h, auto score, auto f) {
    const long here = h.s[1], width = h.s[2], first = here == score.s[1] ? 0 : h.held.begin;
    for (long i = 0; i < h.count(); ++i) f(i, i / (here * width) * score.s[1] + first + i / width % here);
  }
  static void compute(auto y, auto h, auto score) { each(h, score, [&](long i, long j) { y[i] = h[i] * score[j]; }); }
  static void pull(auto dy, auto, auto h, auto score, auto dh, auto dscore) {
    each(h, score, [&](long i, long j) { dh[i] += dy[i] * score[j]; dscore[j] += dy[i] * h[i]; });
  }
};
//! [weigh]

//! [model]
template <class At> struct experts {
  SP_LAYER(router, sp::linear<hidden, expert>);
  SP_LAYER(up_proj, sp::linear<hidden, sp::dims<expert, ffn>>);
  SP_PARAM(scales, sp::dims<expert, ffn>);
  SP_LAYER(down_proj, sp::linear<sp::dims<expert, ffn>, hidden>);
  constexpr auto forward(const auto& x) const {
    auto scores = top_k(router(x), 2);                                   // (batch, expert), whole on every rank
    auto h = relu2(up_proj(x));                                          // (batch, expert / tp, ffn)
    auto scaled = sp::call(scale_rows{}, h, scales.seen_by(h));
    return x + down_proj(sp::call(weigh{}, scaled, sp::to_replicate(scores)));
  }
};
inline constexpr sp::plan plan{sp::colwise{"up_proj", "scales"}, sp::rowwise{"down_proj"}};
//! [model]

//! [laws]
bool laws_hold() {
  const auto on_threads = [](int ranks, auto body) { sp::run(ranks, body); };
  bool right = true;
  const auto law = [&](const char* name, auto f, const auto&... inputs) {
    for (const int ranks : {2, 4}) {
      const sp::law_report r = sp::check_laws(on_threads, {.ranks = ranks}, f, inputs...);
      std::printf("laws of %-14s %d ranks: %3d placements accepted, %3d refused: %s\n", name, ranks, r.accepted, r.refused,
                  r.holds() ? "they hold" : r.where.c_str());
      right &= r.holds();
    }
  };
  using scores = sp::sizes_of<sp::dims<batch, expert>>;
  using activations = sp::sizes_of<sp::dims<batch, expert, ffn>>;
  law("relu2", [](const auto& x) { return relu2(x); }, activations{3, 4, 6});
  law("top_k", [](const auto& x) { return top_k(x, 2); }, scores{3, 4});
  law(
      "scale_rows", [](const auto& y, const auto& s) { return sp::call(scale_rows{}, y, s); }, activations{3, 4, 6},
      sp::sizes_of<sp::dims<expert, ffn>>{});
  law("weigh", [](const auto& h, const auto& s) { return sp::call(weigh{}, h, s); }, activations{3, 4, 6}, scores{3, 4});
  return right;
}
//! [laws]

inline constexpr sp::run_time_plan<> at_start_up;

int main() {
  bool right = laws_hold();
  const sp::sizes_of<sp::dims<batch, hidden>> sizes{5, 8};
  const auto one = everything<experts<sp::at<plan>>>(1, sizes);
  for (const int ranks : {1, 2, 4}) {
    right &= same_as_one_device("constexpr plan", ranks, one, everything<experts<sp::at<plan>>>(ranks, sizes));
    right &= same_as_one_device(
        "run-time plan", ranks, one, everything<experts<sp::at<at_start_up>>>(ranks, sizes, [](auto& model) {
          sp::bind(model, sp::parse_plan(R"({"up_proj": "colwise", "scales": "colwise", "down_proj": "rowwise"})"));
        }));
  }
  return right ? 0 : 1;
}

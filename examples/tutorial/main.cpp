/// @file
/// The program of docs/tutorial.md: a small model from one device to several ranks, step by step.
///
///     ./tutorial                 # trains on one device, 2, 3 and 4 ranks, saves on 2, reloads on 4; exits 1 if anything differs
///     g++ -std=c++20 -fsyntax-only -I include -DWRONG_PLAN examples/tutorial/main.cpp        # the plan that is refused
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>
#include <unistd.h>
//! [model]
#include <shardproof/shardproof.hpp>

struct vocab : sp::dim<29> {};
struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};

template <class At> struct mlp_layer {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden, sp::with_bias>);
  constexpr auto forward(const auto& x) const {
    auto h = sp::silu(up_proj(norm(x)));                                 // (batch, seq, ffn)
    return x + down_proj(h);                                             // (batch, seq, hidden)
  }
};
template <class At> struct next_letter {
  SP_LAYER(table, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<mlp_layer, 2>);
  SP_LAYER(head, sp::linear<hidden, vocab>);
  constexpr auto forward(const auto& ids, auto&&) const { return head(layers(table(ids))); }
};
//! [model]

//! [one_device]
inline constexpr sp::plan one_device{};                                  // no rules: every parameter whole on every rank
using on_one_device = next_letter<sp::at<one_device>>;
//! [one_device]

#ifdef WRONG_PLAN
//! [wrong]
inline constexpr sp::plan first_try{sp::colwise{"layers.*.up_proj"}};
static_assert(sp::dry_run<next_letter, first_try>(sp::ranks{2}, sp::tokens{4, 8}).forward.all_reduces == 0);
//! [wrong]
#endif

//! [plan]
inline constexpr sp::plan tensor_parallel{sp::colwise{"layers.*.up_proj"}, sp::rowwise{"layers.*.down_proj"}};
static_assert(sp::covers<next_letter, tensor_parallel>());               // every rule names a layer
//! [plan]

//! [cost]
constexpr auto step = sp::dry_step<next_letter, tensor_parallel>(sp::ranks{2}, sp::tokens{4, 8});
static_assert(step.forward.all_reduces == 2);                            // one after each down_proj
static_assert(step.backward.all_reduces == 2);                           // one before each up_proj, where the gradient leaves it
static_assert(step.forward.bytes == 2 * 4 * 8 * 16 * sizeof(float));
//! [cost]

//! [train]
#include <shardproof/engine/threads.hpp>

/// 4 rows of 8 letters.
std::vector<long> letters() {
  std::vector<long> ids;
  for (char c : std::string("she sells sea shells by the sea ")) ids.push_back(c == ' ' ? 0 : c - 'a' + 1);
  return ids;
}
auto loss_of(auto& model) {
  auto ids = sp::input(model, sp::tokens{4, 8}, letters());
  auto logits = model.forward(ids, sp::no_cache);                        // (batch, seq, vocab)
  return sp::cross_entropy(logits, sp::next_tokens(ids));
}
double train(auto& model, int steps) {
  sp::adamw optimizer{.lr = 1e-2, .clip = 1};
  double last = 0;
  for (int i = 0; i < steps; ++i) {
    auto loss = loss_of(model);
    sp::backward(loss);
    optimizer.step(sp::parameters(model));
    last = loss.item();
  }
  return last;
}
template <class Model> double train_on(int ranks) {
  double loss = 0;
  sp::run(ranks, [&] {
    Model model;
    sp::initialise(model, 7);                                            // by global index: the same weights for any rank count
    const double mine = train(model, 50);
    if (sp::first_rank()) loss = mine;
  });
  return loss;
}
//! [train]

//! [files]
#include <shardproof/io/checkpoint.hpp>

using planned = next_letter<sp::at<tensor_parallel>>;
double loss_without_tape(planned& model) {
  const sp::no_grad off;
  return loss_of(model).item();
}
void save_on_two(const std::string& folder, double& loss) {
  sp::run(2, [&] {
    planned model;
    sp::initialise(model, 7);
    train(model, 50);
    sp::save(model, folder);                                             // collective; rank 0 writes folder/model.safetensors
    const double mine = loss_without_tape(model);
    if (sp::first_rank()) loss = mine;
  });
}
void load_on_four(const std::string& folder, double& loss) {
  sp::run(4, [&] {
    planned model;
    sp::load(model, folder);                                             // every rank reads its own bytes
    const double mine = loss_without_tape(model);
    if (sp::first_rank()) loss = mine;
  });
}
//! [files]

//! [json]
#include <shardproof/model/dry_check.hpp>

inline constexpr sp::run_time_plan<> from_json;
using planned_later = next_letter<sp::at<from_json>>;

double train_under(const char* json, int ranks) {
  double loss = 0;
  sp::run(ranks, [&] {
    planned_later model;
    sp::bind(model, sp::parse_plan(json));                               // SP202 ... SP206: the text and the model do not fit
    sp::dry_step(model, sp::ranks{sp::ranks_on()}, sp::tokens{4, 8});    // SP101 ...: the placements do not fit
    sp::initialise(model, 7);
    const double mine = train(model, 50);
    if (sp::first_rank()) loss = mine;
  });
  return loss;
}
//! [json]

int main() {
  const double one = train_on<on_one_device>(1);
  std::printf("one device:                 loss %.6f\n", one);
  bool same = one < 1.5;                                                 // it began at log(29) = 3.4
  const auto also = [&](const char* what, double loss) {
    std::printf("%s loss %.6f\n", what, loss);
    same = same && std::abs(loss - one) < 1e-4;
  };
  for (int ranks : {2, 4}) also(("constexpr plan, " + std::to_string(ranks) + " ranks:   ").c_str(), train_on<planned>(ranks));
  //! [json_use]
  const char* json = R"({"layers.*.up_proj": "colwise", "layers.*.down_proj": "rowwise"})";
  also("plan from JSON, 3 ranks:   ", train_under(json, 3));
  //! [json_use]

  const auto folder = std::filesystem::temp_directory_path() / ("shardproof_tutorial_" + std::to_string(getpid()));
  double saved = 0, loaded = 1;
  save_on_two(folder, saved);
  load_on_four(folder, loaded);
  std::printf("saved on 2 ranks: loss %.6f; loaded on 4: %.6f\n", saved, loaded);
  std::filesystem::remove_all(folder);

  //! [json_wrong]
  std::string refusal;
  try {
    train_under(R"({"layers.*.up_proj": "colwise"})", 2);
  } catch (const sp::error& e) { refusal = e.what(); }
  //! [json_wrong]
  std::printf("%s\n", refusal.c_str());
  return same && std::abs(saved - loaded) < 1e-5 && refusal.find("SP101") != std::string::npos ? 0 : 1;
}

/// @file
/// A family of one's own, for docs/extending.md: Llama's attention with an mlp of two matrices.
#include "pages.hpp"
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/erased.hpp>
#include <shardproof/families/llama.hpp>
#include <shardproof/families/make.hpp>
#include <shardproof/shardproof.hpp>

namespace {

//! [model]
using namespace sp::families;                                            // dimensions, configuration, blocks that families share

template <class At> struct two_matrix_mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  sp::activation_kind act = sp::activation_kind::relu;
  constexpr void configure(const configuration& c) { act = c.hidden_act; }
  constexpr auto forward(const auto& x) const { return down_proj(sp::activate(act, up_proj(x))); }
};
template <class At> using toy = causal<pre_norm<llama_attention, two_matrix_mlp>::layer>::lm<At>;

inline constexpr sp::plan toy_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.mlp.up_proj", "lm_head"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"}};
static_assert(sp::covers<toy, toy_plan>());
//! [model]

//! [family]
struct toy_family {
  static constexpr std::string_view model_type = "toy";
  template <class At> using model = toy<At>;
  static constexpr const auto& plan = toy_plan;
  static constexpr published_plan published{"{}", "{}", "model.", "model.embed_tokens"};   // none is published
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 2048}, allowed);      // SP604, SP606
    read_no_windows(in, c);
    return c;                                                            // a key that nobody asked for is SP607
  }
};
static const bool registered = sp::register_family<toy_family>();        // in a .cpp of its own
//! [family]

//! [use]
bool forward_and_backward() {
  const sp::configuration c = sp::read_configuration(R"({"model_type": "toy", "vocab_size": 29, "hidden_size": 16,
      "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_act": "relu"})");
  bool right = true;
  sp::run(2, [&] {
    std::unique_ptr<sp::causal_lm> lm = sp::make_causal_lm(c, sp::plan_choice::automatic);
    sp::initialise(lm->parameters(), 1);
    sp::cache off{sp::cache::options{.on = false}};
    auto ids = sp::erased_ids(sp::whole(sp::tokens{1, 4}, std::vector<long>{3, 1, 4, 1}));
    auto loss = sp::cross_entropy(lm->forward(ids, off), sp::next_tokens(ids));
    sp::backward(loss);
    right = right && sp::gradient_norm(lm->parameters()) > 0;
  });
  return right;
}
//! [use]

}  // namespace

bool family() { return registered && forward_and_backward(); }

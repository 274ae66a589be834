/// @file
/// The code of docs/models.md: a model whose parts and sizes follow a configuration, with a cache and with micro-batches.
#include "pages.hpp"
#include <cmath>
#include <vector>
#include <shardproof/engine/threads.hpp>
#include <shardproof/families/kept.hpp>
#include <shardproof/shardproof.hpp>

namespace {

//! [dimensions]
struct vocab : sp::dim<> {};                                             // known at start-up
struct hidden : sp::dim<> {};
struct ffn : sp::dim<24> {};
struct kv_heads : sp::dim<2, sp::groups> {};
struct q_heads : sp::dim<4, sp::grouped_by<kv_heads>> {};
struct head_dim : sp::dim<6> {};
//! [dimensions]

//! [configuration]
struct options {
  long vocab = 29, hidden = 16, layers = 3;
  bool qk_norm = true;
  int gated_from = 1;                                                    // layers before it have the mlp without a gate
  long window = 4;
};
//! [configuration]

//! [attention]
template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden>);
  SP_LAYER(q_norm, sp::maybe<sp::rms_norm<head_dim>>);                   // there or not: the input passes through
  SP_PARAM(sinks, sp::dims<q_heads>);                                    // a parameter of the module itself, ruled like a layer
  sp::mask mask;                                                         // a value that differs from layer to layer
  sp::rotary rotary{.base = 1e6};
  constexpr void configure(const options& o, int layer) {
    q_norm.present = o.qk_norm;
    q_proj.bias.present = false;
    mask.window = layer % 2 ? o.window : 0;                              // every other layer slides
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = sp::rope(q_norm(q_proj(x)), cache.positions(), rotary);
    auto k = sp::rope(k_proj(x), cache.positions(), rotary);
    auto v = v_proj(x);
    return o_proj(sp::attention(q, cache.extend(k, v), mask, sinks));
  }
};
//! [attention]

//! [alternatives]
template <class At> struct plain_mlp {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x) const { return down_proj(sp::relu(up_proj(x))); }
};
template <class At> struct gated_mlp {
  SP_LAYER(gate_proj, sp::linear<hidden, ffn>);
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden>);
  constexpr auto forward(const auto& x) const { return down_proj(sp::silu(gate_proj(x)) * up_proj(x)); }
};
template <class At> struct decoder_layer {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(self_attn, sp::block<attention>);
  SP_LAYER(mlp, sp::one_of<sp::block<plain_mlp>, sp::block<gated_mlp>>); // two modules under one name
  constexpr void configure(const options& o, int layer) { mlp.choose(layer >= o.gated_from); }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto h = x + self_attn(norm(x), cache);
    return h + mlp(h);
  }
};
template <class At> struct lm {
  SP_LAYER(table, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<decoder_layer>);                                    // how many is known at start-up
  SP_LAYER(head, sp::tied_linear<hidden, vocab>);
  constexpr void configure(const options& o) { layers.resize(o.layers); }
  constexpr auto forward(const auto& ids, auto&& cache) const { return head(layers(table(ids), cache), table.weight); }
};
//! [alternatives]

inline constexpr sp::plan plan{
    sp::embedding_rowwise{"table"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj",
                "layers.*.self_attn.sinks", "layers.*.mlp.gate_proj", "layers.*.mlp.up_proj", "head"},
    sp::rowwise{"layers.*.self_attn.o_proj", "layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"layers.*.self_attn.q_norm"}};
static_assert(sp::covers<lm, plan>());                                   // gate_proj is covered: one of the alternatives has it

//! [build]
template <class Model> void build(Model& model, const options& o) {
  sp::configure(model, o);                                               // configure(o) or configure(o, layer) of every module
  sp::extent_table extents;
  extents.set<vocab>(o.vocab).set<hidden>(o.hidden);
  sp::set_extents(model, sp::families::kept(extents));                   // kept for ever: the model points to it
}
//! [build]
using planned = lm<sp::at<plan>>;
const std::vector<long> text{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8};

bool decode_equals_prefill() {
  bool right = true;
  sp::run(2, [&] {
    planned model;
    build(model, {});
    sp::initialise(model, 3, 0.2);
    //! [decode]
    const sp::no_grad off;
    auto at_once = model.forward(sp::input(model, sp::tokens{1, 12}, text), sp::no_cache);
    sp::cache kv;                                                        // keys and values of every layer
    model.forward(sp::input(model, sp::tokens{1, 8}, std::vector<long>(text.begin(), text.begin() + 8)), kv);
    for (std::size_t t = 8; t < 12; ++t) {
      auto one = model.forward(sp::input(model, sp::tokens{1, 1}, std::vector<long>{text[t]}), kv);
      //! [decode]
      const sp::view step = one.at->v(), all = at_once.at->v();
      const long n = step.count();
      for (long i = 0; i < n; ++i) right = right && std::abs(step.as<float>()[i] - all.as<float>()[long(t) * n + i]) < 1e-4f;
      //! [decode]
    }
    //! [decode]
    right = right && kv.length() == 12;
  });
  return right;
}

bool micro_batches() {
  double together = 0, apart = 0;
  sp::run(2, [&] {
    planned model;
    build(model, {});
    sp::initialise(model, 3, 0.2, sp::dtype::f64);
    const auto parameters = sp::parameters(model);
    auto ids = sp::input(model, sp::tokens{2, 6}, text);
    sp::backward(sp::cross_entropy(model.forward(ids, sp::no_cache), sp::next_tokens(ids)));
    const double norm = sp::gradient_norm(parameters);                   // finishes pending sums; counts every parameter once
    sp::clear_gradients(parameters);
    if (sp::first_rank()) together = norm;
    //! [accumulate]
    for (int part = 0; part < 2; ++part) {
      const auto from = text.begin() + 6 * part;
      auto some = sp::input(model, sp::tokens{1, 6}, std::vector<long>(from, from + 6));
      auto loss = sp::cross_entropy(model.forward(some, sp::no_cache), sp::next_tokens(some), {.scale = 0.5});
      sp::backward(loss);                                                // gradients accumulate
    }
    const double whole_norm = sp::clip_gradients(parameters, 1.0);       // the norm before clipping, the same on every rank
    //! [accumulate]
    if (sp::first_rank()) apart = whole_norm;
  });
  return std::abs(together - apart) < 1e-12;
}

//! [frozen]
void freeze_the_table(planned& model) { model.table.weight.frozen = true; }      // no gradient, no communication for one
//! [frozen]

bool frozen_costs_less() {
  planned model;
  build(model, {});
  const int before = sp::dry_step(model, sp::ranks{2}, sp::tokens{1, 6}).backward.all_reduces;
  freeze_the_table(model);
  return sp::dry_step(model, sp::ranks{2}, sp::tokens{1, 6}).backward.all_reduces <= before;
}

}  // namespace

bool models() { return decode_equals_prefill() && micro_batches() && frozen_costs_less(); }

#pragma once
/// @file
/// Llama 4, its language model (Meta, 2025): `model_type` "llama4_text". Most layers turn positions and see one chunk of keys; the others do
/// neither, and scale their queries by position. Experts are weighed on the way in, beside one that every token passes.
///
///     sp::families::llama4_text<sp::at<sp::families::llama4_text_plan>> model;
///     const auto c = sp::families::llama4_text_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: no_rope_layers (1 where positions turn), no_rope_layer_interval, attention_chunk_size, layer_types, use_qk_norm,
/// attn_temperature_tuning, moe_layers, interleave_moe_layer_step, num_experts_per_tok, attention_bias, head_dim, tied head, every rotary
/// variant. Experts are stored [in, out]: transformers' plan names positions of that storage, ours roles. Routed and shared experts share
/// one reduction here.
#include <shardproof/families/experts.hpp>
#include <shardproof/tensor/ops/temper.hpp>
namespace shardproof::families {

template <class At> struct llama4_attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden, sp::maybe_bias>);
  sp::rotary rotary;
  sp::mask mask;
  sp::temperature tuning;
  double eps = 1e-5;
  bool turns = true, normed = true;
  constexpr void configure(const configuration& c, int layer) {
    q_proj.bias.present = k_proj.bias.present = v_proj.bias.present = o_proj.bias.present = c.attention_bias;
    rotary = c.rotary_of(layer);
    mask = c.mask_of(layer);
    turns = c.turns(layer);
    normed = c.qk_norm && turns;
    eps = c.norm_eps;
    tuning = turns ? sp::temperature{} : c.tuning;
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = q_proj(x);
    auto k = k_proj(x);
    auto v = v_proj(x);
    if (turns) {
      q = sp::rope(q, cache.positions(), rotary);
      k = sp::rope(k, cache.positions(), rotary);
    }
    if (normed) {
      q = sp::unweighted_rms(q, eps);
      k = sp::unweighted_rms(k, eps);
    }
    if (tuning.strength != 0) q = sp::temper(q, cache.positions(), tuning);
    return o_proj(sp::attention(q, cache.extend(k, v), mask));
  }
};

/// Matrices are stored [experts, in, out].
template <class At> struct llama4_experts {
  SP_PARAM(gate_up_proj, sp::per_expert<n_experts>, sp::in<hidden>, sp::out<sp::fused<expert_ffn, expert_ffn>>);
  SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::in<expert_ffn>, sp::out<hidden>);
  sp::activation_kind act = sp::activation_kind::silu;
  constexpr void configure(const configuration& c) { act = c.hidden_act; }
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch_weighted(x, chosen, gate_up_proj);
    auto [gate, up] = sp::split(to.grouped(to.rows, gate_up_proj));
    return to.combine(to.grouped(sp::activate(act, gate) * up, down_proj));
  }
};
template <class At> struct llama4_mixture {
  SP_LAYER(router, sp::topk_router<hidden, n_experts>);
  SP_LAYER(experts, sp::region<llama4_experts>);
  SP_LAYER(shared_expert, sp::block<gated_by<shared_ffn>::template mlp>);
  constexpr void configure(const configuration& c) { router.how = c.moe.how; }
  constexpr auto forward(const auto& x) const {
    auto mixed = experts(x, router(x));
    return sp::reduced(mixed + shared_expert(x), x);
  }
};

template <class At> struct llama4_layer {
  SP_LAYER(input_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(self_attn, sp::block<llama4_attention>);
  SP_LAYER(post_attention_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(feed_forward, sp::block<dense_or<llama4_mixture>::template mlp>);
  constexpr void configure(const configuration& c) { input_layernorm.eps = post_attention_layernorm.eps = c.norm_eps; }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto attended = self_attn(input_layernorm(x), cache);
    auto h = x + attended;
    return h + feed_forward(post_attention_layernorm(h));
  }
};

template <class At> using llama4_text = causal<llama4_layer>::lm<At>;

inline constexpr sp::plan llama4_text_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.feed_forward.gate_proj", "model.layers.*.feed_forward.up_proj",
                "model.layers.*.feed_forward.shared_expert.gate_proj", "model.layers.*.feed_forward.shared_expert.up_proj", "lm_head"},
    sp::packed_colwise{"model.layers.*.feed_forward.experts.gate_up_proj"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.feed_forward.down_proj", "model.layers.*.feed_forward.experts.down_proj"},
    sp::rowwise_partial{"model.layers.*.feed_forward.shared_expert.down_proj"},
    sp::moe_tp_experts_partial{"model.layers.*.feed_forward.experts"}};
static_assert(sp::covers<llama4_text, llama4_text_plan>());

struct llama4_text_family {
  static constexpr std::string_view model_type = "llama4_text";
  template <class At> using model = llama4_text<At>;
  static constexpr const auto& plan = llama4_text_plan;
  static constexpr published_plan published{transformers_plans::llama4_text, transformers_plans::gathered_head, "model.", "model.embed_tokens", {},
                                            "the styles of feed_forward.experts name positions of matrices stored [in, out]; packed_rowwise and "
                                            "colwise there are read as packed_colwise and rowwise."};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 131072, .kv_heads = 8, .head_dim = 128, .eps = 1e-5, .rope_theta = 500000}, allowed);
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(false);
    c.qk_norm = in.maybe_boolean("use_qk_norm").value_or(true);
    c.rope.full.interleaved = c.rope.sliding.interleaved = true;
    read_experts(in, c, "num_local_experts", 16, 1, c.intermediate_size, "intermediate_size");
    c.moe.how.score = router_score::sigmoid;
    c.moe.how.by_logit = true;
    c.moe.shared_features = c.moe.features;
    c.intermediate_size = in.maybe_integer("intermediate_size_mlp", 1, 1L << 24).value_or(16384);
    read_dropout(in, c, {.unapplied = "router_jitter_noise"});

    const long step = in.maybe_integer("interleave_moe_layer_step", 1).value_or(1), layers = c.num_hidden_layers;
    const auto listed = in.maybe_numbers("moe_layers");
    for (long i = 0; i < layers; ++i) c.moe.sparse[std::size_t(i)] = !listed && (i + 1) % step == 0;
    for (const double i : listed.value_or(std::vector<double>{})) if (i >= 0 && i < double(layers)) c.moe.sparse[std::size_t(i)] = 1;

    const long interval = in.maybe_integer("no_rope_layer_interval", 1).value_or(4);
    const auto turned = in.maybe_numbers("no_rope_layers").value_or(std::vector<double>{});
    if (!turned.empty() && long(turned.size()) != layers)
      in.refuse("no_rope_layers", "it speaks of " + std::to_string(turned.size()) + " layers, and num_hidden_layers is " + std::to_string(layers), "correct one of the two");
    for (long i = 0; i < layers; ++i) c.unturned.push_back(turned.empty() ? (i + 1) % interval == 0 : turned[std::size_t(i)] == 0);

    const auto chunk = in.maybe_integer("attention_chunk_size", 1);
    c.attention_chunk = in.given("attention_chunk_size") ? chunk.value_or(0) : 8192;
    const auto names = in.maybe_texts("layer_types");
    if (names && long(names->size()) != layers)
      in.refuse("layer_types", "it names " + std::to_string(names->size()) + " layers, and num_hidden_layers is " + std::to_string(layers), "correct one of the two");
    for (long i = 0; i < layers; ++i) {
      const std::string kind = names ? (*names)[std::size_t(i)] : c.turns(i) ? "chunked_attention" : "full_attention";
      if (kind != "chunked_attention" && kind != "full_attention") in.unsupported("layer_types", "the kind \"" + kind + "\" is not known in this family", "use full_attention or chunked_attention");
      c.layer_types[std::size_t(i)] = kind == "chunked_attention" ? attention_type::chunked : attention_type::full;
    }
    const bool tuned = in.maybe_boolean("attn_temperature_tuning").value_or(true);
    c.tuning.every = double(in.maybe_integer("floor_scale", 1).value_or(8192));
    c.tuning.strength = in.maybe_number("attn_scale").value_or(0.1);
    if (!tuned) c.tuning.strength = 0;
    return c;
  }
};

}  // namespace shardproof::families

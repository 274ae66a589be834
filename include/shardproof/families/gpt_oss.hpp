#pragma once
/// @file
/// gpt-oss (OpenAI, arXiv 2508.10925): `model_type` "gpt_oss". Experts with biases whose gate and up lie side by side, windows in every other
/// layer, and a learned logit for each head that joins the softmax and is dropped.
///
///     sp::families::gpt_oss<sp::at<sp::families::gpt_oss_plan>> model;
///     const auto c = sp::families::gpt_oss_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: attention_bias, sliding_window, layer_types, tied head, swiglu_alpha, swiglu_limit, every rotary variant. transformers deals
/// whole experts to ranks and leaves the rest whole; ours cuts attention by heads and every expert among all ranks.
#include <shardproof/families/experts.hpp>
namespace shardproof::families {

template <class At> struct gpt_oss_attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>, sp::maybe_bias>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden, sp::maybe_bias>);
  SP_PARAM(sinks, sp::dims<q_heads>);
  sp::rotary rotary;
  sp::mask mask;
  constexpr void configure(const configuration& c, int layer) {
    q_proj.bias.present = k_proj.bias.present = v_proj.bias.present = o_proj.bias.present = c.attention_bias;
    rotary = c.rotary_of(layer);
    mask = c.mask_of(layer);
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = sp::rope(q_proj(x), cache.positions(), rotary);
    auto k = sp::rope(k_proj(x), cache.positions(), rotary);
    auto v = v_proj(x);
    return o_proj(sp::attention(q, cache.extend(k, v), mask, sinks));
  }
};

/// Matrices are stored [experts, in, out]; of a row's pairs the first value is the gate's, the second goes up.
template <class At> struct gpt_oss_experts {
  using pair = sp::fused<sp::lane<0>, sp::lane<1>>;
  SP_PARAM(gate_up_proj, sp::per_expert<n_experts>, sp::in<hidden>, sp::out<expert_ffn>, sp::out<pair>);
  SP_PARAM(gate_up_proj_bias, sp::per_expert<n_experts>, sp::out<expert_ffn>, sp::out<pair>);
  SP_PARAM(down_proj, sp::per_expert<n_experts>, sp::in<expert_ffn>, sp::out<hidden>);
  SP_PARAM(down_proj_bias, sp::per_expert<n_experts>, sp::out<hidden>);
  double alpha = 1.702, limit = 7;
  constexpr void configure(const configuration& c) {
    alpha = c.moe.swiglu_alpha;
    limit = c.moe.swiglu_limit;
  }
  constexpr auto forward(const auto& x, const auto& chosen) const {
    auto to = sp::dispatch(x, chosen, gate_up_proj);
    auto [first, second] = sp::split(to.bias(to.grouped(to.rows, gate_up_proj), gate_up_proj_bias));
    auto gate = sp::at_most(first, limit);
    auto up = sp::clamp(second, limit);
    auto h = (up + 1) * (gate * sp::sigmoid(alpha * gate));
    return to.combine(to.bias(to.grouped(h, down_proj), down_proj_bias));
  }
};

template <class At> struct gpt_oss_mixture {
  SP_LAYER(router, sp::topk_router<hidden, n_experts, sp::with_bias>);
  SP_LAYER(experts, sp::region<gpt_oss_experts>);
  constexpr void configure(const configuration& c) { router.how = c.moe.how; }
  constexpr auto forward(const auto& x) const { return experts(x, router(x)); }
};

template <class At> using gpt_oss = causal<pre_norm<gpt_oss_attention, gpt_oss_mixture>::layer>::lm<At>;

inline constexpr sp::plan gpt_oss_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj",
                "model.layers.*.self_attn.sinks", "model.layers.*.mlp.experts.gate_up_proj", "model.layers.*.mlp.experts.gate_up_proj_bias",
                "lm_head"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.experts.down_proj"},
    sp::replicated_as_partial{"model.layers.*.mlp.experts.down_proj_bias"},
    sp::moe_tp_experts{"model.layers.*.mlp.experts"}};
static_assert(sp::covers<gpt_oss, gpt_oss_plan>());

struct gpt_oss_family {
  static constexpr std::string_view model_type = "gpt_oss";
  template <class At> using model = gpt_oss<At>;
  static constexpr const auto& plan = gpt_oss_plan;
  static constexpr published_plan published{"{}", transformers_plans::gathered_head, "model.", "model.embed_tokens", transformers_plans::dealt_biased_experts};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    in.also_called("num_local_experts", "num_experts");
    const bool turns_as_released = !in.has("rope_parameters") && !in.has("rope_scaling");
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 131072, .kv_heads = 8, .head_dim = 64, .eps = 1e-5, .rope_theta = 150000}, allowed);
    if (turns_as_released) {
      c.rope.full = {.base = c.rope.full.base, .type = rope_type::yarn, .factor = 32, .original_length = 4096, .truncate = false};
      c.rope.sliding = c.rope.full;
    }
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(true);
    read_experts(in, c, "num_local_experts", 128, 4, c.intermediate_size, "intermediate_size");
    refuse_auxiliary_loss(in);
    c.moe.how.renormalised = true;                                       // softmax over the chosen logits, which is the same
    c.moe.swiglu_alpha = in.maybe_number("swiglu_alpha").value_or(1.702);
    c.moe.swiglu_limit = in.maybe_number("swiglu_limit").value_or(7);
    if (!(c.moe.swiglu_limit > 0)) in.refuse("swiglu_limit", "it must be positive", "correct the value");
    read_alternating_windows(in, c, 2, 128);
    return c;
  }
};

}  // namespace shardproof::families

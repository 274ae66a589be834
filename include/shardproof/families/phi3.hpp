#pragma once
/// @file
/// Phi-3 and Phi-4-mini (Abdin et al., arXiv 2404.14219): `model_type` "phi3". One matrix for query, key and value, one for gate and up.
///
///     sp::families::phi3<sp::at<sp::families::phi3_plan>> model;
///     const auto c = sp::families::phi3_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: grouped KV heads, sliding_window, tied head, partial_rotary_factor, longrope. transformers' plan gathers both fused results and
/// splits them again: 2 all-gathers and 2 all-reduces a layer; ours shards each part by itself, query heads among the ranks and KV heads
/// in copies where ranks outnumber them, and sends the 2 all-reduces alone.
#include <shardproof/families/blocks.hpp>
#include <shardproof/families/transformers_plans.hpp>
#include <shardproof/model/covers.hpp>
namespace shardproof::families {

template <class At> struct phi3_attention {
  using heads = sp::fused<sp::flat<q_heads, head_dim>, sp::flat<kv_heads, head_dim>, sp::flat<kv_heads, head_dim>>;
  SP_LAYER(qkv_proj, sp::linear<hidden, heads>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden>);
  sp::rotary rotary;
  sp::mask mask;
  constexpr void configure(const configuration& c, int layer) {
    rotary = c.rotary_of(layer);
    mask = c.mask_of(layer);
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto [queries, keys, v] = sp::split(qkv_proj(x));
    auto q = sp::rope(queries, cache.positions(), rotary);
    auto k = sp::rope(keys, cache.positions(), rotary);
    return o_proj(sp::attention(q, cache.extend(k, v), mask));
  }
};

template <class At> using phi3 = causal<pre_norm<phi3_attention, fused_gated_mlp>::layer>::lm<At>;

inline constexpr sp::plan phi3_plan{
    sp::embedding_rowwise{"model.embed_tokens"},
    sp::colwise{"lm_head"},
    sp::packed_colwise{"model.layers.*.self_attn.qkv_proj", "model.layers.*.mlp.gate_up_proj"},
    sp::rowwise{"model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"}};
static_assert(sp::covers<phi3, phi3_plan>());

struct phi3_family {
  static constexpr std::string_view model_type = "phi3";
  template <class At> using model = phi3<At>;
  static constexpr const auto& plan = phi3_plan;
  static constexpr published_plan published{transformers_plans::phi3, transformers_plans::gathered_head, "model.", "model.embed_tokens"};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 4096, .partial_rotary = true, .older_longrope = true,
                                        .trained_positions = 4096, .eps = 1e-5, .pad_token_id = 32000}, allowed);
    read_dropout(in, c, {.residual = "resid_pdrop"});
    (void)in.maybe_number("embd_pdrop");                                 // transformers does not apply it
    in.only("attention_bias", false, "projections of this family have no bias");
    read_one_window(in, c, 0);
    return c;
  }
};

}  // namespace shardproof::families

#pragma once
/// @file
/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values are made of one short latent, and positions turn a part of
/// each query and one key that all heads share.
///
///     SP_LAYER(self_attn, sp::block<latent_attention>);    // deepseek_v2, deepseek_v3, longcat_flash
///     c.latent = read_latent(in, c, 1536);                 // q_lora_rank, kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim
///
/// Under our plan the latent stays whole and is made once; what is made of it is cut by heads. Only the shared key passes f by itself.
#include <cmath>
#include <shardproof/families/attention.hpp>
#include <shardproof/layer/alternatives.hpp>
#include <shardproof/layer/module.hpp>
#include <shardproof/tensor/ops/join.hpp>
#include <shardproof/tensor/ops/split.hpp>
namespace shardproof::families {

struct one_head : dim<1> {};                                       ///< the rotary key's
using query_features = sp::fused<nope_dim, rope_dim>;

/// Queries straight from the stream.
template <class At> struct direct_query {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, query_features>>);
  constexpr auto forward(const auto& x) const { return q_proj(x); }
};
/// Queries by way of a latent of their own.
template <class At> struct low_rank_query {
  SP_LAYER(q_a_proj, sp::linear<hidden, q_rank, sp::maybe_bias>);
  SP_LAYER(q_a_layernorm, sp::rms_norm<q_rank>);
  SP_LAYER(q_b_proj, sp::linear<q_rank, sp::dims<q_heads, query_features>>);
  constexpr void configure(const configuration& c) { q_a_proj.bias.present = c.attention_bias; }       // its norm's eps is always 1e-6
  constexpr auto forward(const auto& x) const { return q_b_proj(q_a_layernorm(q_a_proj(x))); }
};

template <class At> struct latent_attention {
  SP_LAYER(query, sp::one_of<sp::spliced<direct_query>, sp::spliced<low_rank_query>>);
  SP_LAYER(kv_a_proj_with_mqa, sp::linear<hidden, sp::fused<kv_rank, sp::flat<one_head, rope_dim>>, sp::maybe_bias>);
  SP_LAYER(kv_a_layernorm, sp::rms_norm<kv_rank>);
  SP_LAYER(kv_b_proj, sp::linear<kv_rank, sp::dims<q_heads, sp::fused<nope_dim, value_dim>>>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, value_dim>, hidden, sp::maybe_bias>);
  sp::rotary rotary;
  sp::mask mask;
  double query_scale = 1, latent_scale = 1;
  constexpr void configure(const configuration& c, int layer) {
    query.choose(c.latent.q_rank > 0);
    kv_a_proj_with_mqa.bias.present = o_proj.bias.present = c.attention_bias;
    rotary = c.rotary_of(layer);
    mask = c.mask_of(layer);
    query_scale = c.latent.query_scale;
    latent_scale = c.latent.latent_scale;
  }
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto [queries, turning] = sp::split(scaled(query(x), query_scale));
    auto q = sp::join(queries, sp::rope(turning, cache.positions(), rotary));
    auto [latent, shared] = sp::split(kv_a_proj_with_mqa(x));
    auto [keys, v] = sp::split(kv_b_proj(scaled(kv_a_layernorm(latent), latent_scale)));
    auto k = sp::join(keys, sp::rope(shared, cache.positions(), rotary));
    return o_proj(sp::attention(q, cache.extend(k, v), mask));
  }
};

/// Features of each head's rotary part; read before the other options, which speak of heads as of that part.
inline long read_rotary_part(fields& in, long if_silent) { return in.maybe_integer("qk_rope_head_dim", 2, 1L << 16).value_or(if_silent); }
/// `q_rank`: where the file is silent; null: queries have no latent. Sets the scale of the scores as well: that of a whole query, times
/// the square of yarn's factor where mscale_all_dim is given, of whatever rope_type but the default.
inline void read_latent(fields& in, configuration& c, long q_rank, long rotary_part) {
  auto& l = c.latent;
  l.rotary = rotary_part;
  if (c.head_dim != l.rotary) in.refuse("head_dim", "in this family it is qk_rope_head_dim, which is " + std::to_string(l.rotary), "remove it");
  if (c.num_key_value_heads != c.num_attention_heads) in.unsupported("num_key_value_heads", "every query head of this family has its own key and value", "remove it");
  const auto rank = in.maybe_integer("q_lora_rank", 1, 1L << 24);
  l.q_rank = in.given("q_lora_rank") ? rank.value_or(0) : q_rank;
  l.kv_rank = in.maybe_integer("kv_lora_rank", 1, 1L << 24).value_or(512);
  l.nope = in.maybe_integer("qk_nope_head_dim", 1, 1L << 16).value_or(128);
  l.value = in.maybe_integer("v_head_dim", 1, 1L << 16).value_or(128);
  if (const auto all = in.maybe_integer("qk_head_dim", 1); all && *all != l.nope + l.rotary)
    in.refuse("qk_head_dim", "it is the sum of qk_nope_head_dim and qk_rope_head_dim, which is " + std::to_string(l.nope + l.rotary), "remove it");
  c.attention_scale = 1 / std::sqrt(double(l.nope + l.rotary));
  if (const auto& r = c.rope.full; r.type != rope_type::standard && r.mscale_all_dim != 0 && r.factor > 1) {
    const double m = 0.1 * r.mscale_all_dim * std::log(r.factor) + 1;
    c.attention_scale *= m * m;
  }
}

}  // namespace shardproof::families

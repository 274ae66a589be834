#pragma once
/// @file
/// DeepSeek-V3 and R1 (arXiv 2412.19437): `model_type` "deepseek_v3". Latent attention; experts are chosen in groups by sigmoid scores, with a
/// bias that joins the choice alone.
///
///     sp::families::deepseek_v3<sp::at<sp::families::deepseek_v3_plan>> model;
///     const auto c = sp::families::deepseek_v3_family::read(fields);
///     sp::configure(model, c);  sp::set_extents(model, sp::families::kept(extents_of(c)));
///
/// Options: as deepseek_v2, and rope_interleave, norm_topk_prob. transformers' plan leaves attention whole on every rank; ours cuts it by
/// heads.
#include <shardproof/families/deepseek_v2.hpp>
namespace shardproof::families {

template <class At> using deepseek_v3 = causal<pre_norm<latent_attention, dense_or<shared_mixture<sp::with_correction>::block>::mlp>::layer>::lm<At>;

inline constexpr const auto& deepseek_v3_plan = deepseek_v2_plan;
static_assert(sp::covers<deepseek_v3, deepseek_v3_plan>());

struct deepseek_v3_family : stored_by_expert {
  static constexpr std::string_view model_type = "deepseek_v3";
  template <class At> using model = deepseek_v3<At>;
  static constexpr const auto& plan = deepseek_v3_plan;
  static constexpr published_plan published{transformers_plans::deepseek_v3, transformers_plans::gathered_head, "model.", "model.embed_tokens",
                                              transformers_plans::dealt_experts};
  static configuration read(fields& in, std::span<const std::string> allowed = {}) {
    in.also_called("n_routed_experts", "num_local_experts");
    const long rotary_part = read_rotary_part(in, 64);
    configuration c = read_decoder(in, {.model_type = model_type, .max_positions = 4096, .head_dim = rotary_part}, allowed);
    c.attention_bias = in.maybe_boolean("attention_bias").value_or(false);
    read_latent(in, c, 1536, rotary_part);
    c.rope.full.interleaved = c.rope.sliding.interleaved = in.maybe_boolean("rope_interleave").value_or(true);
    read_experts(in, c, "n_routed_experts", 256, 8, 2048);
    c.moe.how.score = router_score::sigmoid;
    read_grouped_experts(in, c, 3, 8, 4);
    if (!in.given("routed_scaling_factor")) c.moe.how.scale = 2.5;
    c.moe.how.group_by_two = true;
    c.moe.how.renormalised = in.maybe_boolean("norm_topk_prob").value_or(true);
    c.moe.how.sum_eps = 1e-20;
    if (const auto m = in.maybe_text("topk_method"); m && *m != "noaux_tc") in.unsupported("topk_method", "experts of this family are chosen by score and bias", "use noaux_tc, or remove it");
    read_no_windows(in, c);
    return c;
  }
};

}  // namespace shardproof::families

#pragma once
/// @file
/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): the projection to [latent | rotary key].
///
///     sp::plan p{sp::mla_kv_a_proj{"layers.*.self_attn.kv_a_proj_with_mqa"}, sp::colwise{"layers.*.self_attn.kv_b_proj"}};
#include <shardproof/plan/styles/replicated.hpp>
namespace shardproof {

/// I -> [I | R]: the latent goes through a norm and a colwise layer that has its own f; the rotary part, which all heads share, meets
/// sharded heads at once, so it passes f here. Of a stream that is cut each rank makes its own tokens' part, and all are gathered.
struct mla_kv_a_proj : replicated {
  static constexpr auto name = "mla_kv_a_proj";
  static constexpr bool routers = false, regions = false;
  template <class Site> using fed = typename Site::boundary;
  template <class Kind> static constexpr bool applies = info<last_of<typename Kind::out>>.parts == 2;
  static constexpr auto after(auto site, const auto& y, const auto& bias) {
    return to_product<invariant, replicate>(whole_stream(site, replicated::after(site, y, bias)));
  }
};

}  // namespace shardproof

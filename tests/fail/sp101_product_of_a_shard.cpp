// error: shardproof[SP101] placement mismatch: this conversion starts from another placement than it is fed (see fed<>, needs<>). Fix: convert to what needs<> says first, or drop the conversion.
// code: SP101
// path: fed<shard<fused<latent, head_dim>>>, needs<invariant>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"
struct latent : sp::dim<8> {};

template <class At> struct compressed {
  SP_LAYER(kv_a_proj, sp::linear<hidden, sp::fused<latent, head_dim>>);
  SP_LAYER(norm, sp::rms_norm<latent>);
  constexpr auto forward(const auto& x, auto&&) const {
    auto kv = sp::to_product<sp::invariant, sp::replicate>(kv_a_proj(x));
    auto [c, rotary] = sp::split(kv);
    (void)rotary;
    return norm(c);
  }
};
#ifdef MUST_FAIL
inline constexpr sp::plan tensor_parallel{sp::colwise{"kv_a_proj"}};
#else
inline constexpr sp::plan tensor_parallel{sp::replicated{"kv_a_proj"}};
#endif
static_assert(sp::dry_run<compressed, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

// error: shardproof[SP105] no legal partition: query heads and key/value heads are dealt to the ranks each by themselves, so that a rank would hold queries without their keys (see fed<>). Fix: declare the query heads sp::grouped_by<the key/value heads>, and those sp::groups.
// code: SP105
// path: fed<shard<queries>, shard<kv_heads>, shard<kv_heads>>
// near: 12
// lines: g++ 24, clang 26
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

#ifdef MUST_FAIL
struct queries : sp::dim<16> {};
#else
struct queries : sp::dim<16, sp::grouped_by<kv_heads>> {};
#endif
template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<queries, head_dim>>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(o_proj, sp::linear<sp::dims<queries, head_dim>, hidden>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = q_proj(x);
    auto k = k_proj(x);
    auto v = v_proj(x);
    return o_proj(sp::attention(q, cache.extend(k, v)));
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj", "k_proj", "v_proj"}, sp::rowwise{"o_proj"}};
static_assert(sp::dry_run<attention, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

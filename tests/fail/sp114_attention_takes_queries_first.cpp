// error: shardproof[SP114] these arguments do not fit this operation (see fed<>, needs<>). Fix: pass what needs<> lists, in that order.
// code: SP114
// path: operations::attention_call, fed<key_value<.*>, tensor<.*>>, needs<operations::queries, key_value<operations::keys, operations::values>>
// path: at<tensor_parallel>
// near: 14
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto k = k_proj(x);
    auto v = v_proj(x);
#ifdef MUST_FAIL
    return sp::attention(cache.extend(k, v), q_proj(x));
#else
    return sp::attention(q_proj(x), cache.extend(k, v));
#endif
  }
};
inline constexpr sp::plan tensor_parallel{sp::colwise{"q_proj", "k_proj", "v_proj"}};
static_assert(sp::dry_run<attention, tensor_parallel>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 0);

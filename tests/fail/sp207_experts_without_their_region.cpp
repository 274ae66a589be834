// error: shardproof[SP207] incomplete expert group: experts are sharded and no style of their parent brings them tokens and sums what they return, or a router is made for dealt experts and none are (see Layer, needs<>). Fix: add the rule in needs<>.
// code: SP207
// path: at<cut_inside, experts>, style<replicated>, needs<moe_tp_experts>
// near: 12
#include <shardproof/shardproof.hpp>
#include "llama/mixture.hpp"

#ifdef MUST_FAIL
inline constexpr sp::plan cut_inside{sp::packed_colwise{"experts.gate_up_proj"}, sp::rowwise{"experts.down_proj"}};
#else
inline constexpr sp::plan cut_inside{sp::packed_colwise{"experts.gate_up_proj"}, sp::rowwise{"experts.down_proj"}, sp::moe_tp_experts{"experts"}};
#endif
static_assert(sp::dry_run<mixture, cut_inside>(sp::ranks{4}, stream{2, 5, 16}).forward.all_reduces == 1);

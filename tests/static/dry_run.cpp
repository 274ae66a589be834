// The cost of a step, predicted while compiling: calls, bytes, memory; with caches, frozen parameters, other axes; 126 layers.
#include <shardproof/shardproof.hpp>
#include "../fail/llama/attention.hpp"
#include "../fail/llama/gated_mlp.hpp"
#include "../fail/llama/model.hpp"

template <class At> struct plain_attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<q_heads, head_dim>>);
  SP_LAYER(k_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(v_proj, sp::linear<hidden, sp::dims<kv_heads, head_dim>>);
  SP_LAYER(o_proj, sp::linear<sp::dims<q_heads, head_dim>, hidden>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto q = sp::rope(q_proj(x), cache.positions());
    auto k = sp::rope(k_proj(x), cache.positions());
    auto v = v_proj(x);
    return o_proj(sp::attention(q, cache.extend(k, v)));
  }
};
template <class At> struct plain_layer {
  SP_LAYER(input_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(self_attn, sp::block<plain_attention>);
  SP_LAYER(post_attention_layernorm, sp::rms_norm<hidden>);
  SP_LAYER(mlp, sp::block<gated_mlp>);
  constexpr auto forward(const auto& x, auto&& cache) const {
    auto h = x + self_attn(input_layernorm(x), cache);
    return h + mlp(post_attention_layernorm(h));
  }
};
template <class At> struct plain_llama {
  SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<plain_layer, 2>);
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(lm_head, sp::tied_linear<hidden, vocab>);
  constexpr auto forward(const auto& ids, auto&& cache) const { return lm_head(norm(layers(embed_tokens(ids), cache)), embed_tokens.weight); }
};
template <class At> struct deep_llama {
  SP_LAYER(embed_tokens, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<decoder_layer, 126>);
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(lm_head, sp::tied_linear<hidden, vocab>);
  constexpr auto forward(const auto& ids, auto&& cache) const { return lm_head(norm(layers(embed_tokens(ids), cache)), embed_tokens.weight); }
};
inline constexpr sp::plan for_either{
    sp::embedding_rowwise{"embed_tokens"}, sp::packed_colwise{"layers.*.mlp.gate_up_proj"},
    sp::colwise{"layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj", "lm_head"},
    sp::rowwise{"layers.*.self_attn.o_proj", "layers.*.mlp.down_proj"},
    sp::replicated_with_grad_allreduce{"?layers.*.self_attn.q_norm", "?layers.*.self_attn.k_norm"}};
constexpr sp::tokens ten{2, 5};                              // 2 x 5 tokens: the stream is 160 elements, 640 bytes
constexpr double stream_bytes = 640;

// ---- a layer costs 2 all-reduces forward and 2 backward --------------------------------------------------------------------------
constexpr auto plain = sp::dry_run<plain_llama, for_either>(sp::ranks{4}, ten);
static_assert(plain.forward.all_reduces == 1 + 2 * 2);                           // the table, then o_proj and down_proj of each layer
static_assert(plain.backward.all_reduces == 1 + 2 * 2);                          // the head's input, then one f for q, k, v and one for gate, up
static_assert(plain.forward.bytes == 5 * stream_bytes);
static_assert(plain.backward.bytes == 5 * stream_bytes);
static_assert(plain.forward.collectives() == 5);
static_assert(plain.backward.collectives() == 5);
static_assert(plain.forward.all_gathers == 0);
static_assert(plain.backward.all_gathers == 0);
static_assert(plain.forward.reduce_scatters == 0);
static_assert(plain.forward.all_to_alls == 0);
static_assert(plain.forward.broadcasts == 0);
// norms on sharded heads: 2 more backward, of head_dim elements each
constexpr auto normed = sp::dry_run<llama, for_either>(sp::ranks{4}, ten);
static_assert(normed.forward.all_reduces == plain.forward.all_reduces);
static_assert(normed.backward.all_reduces == 1 + 4 * 2);
static_assert(normed.backward.bytes == 5 * stream_bytes + 4 * 16);
static_assert(normed.forward.all_gathers == 0);
static_assert(normed.backward.all_gathers == 0);
// the loss: 2 more forward (the maximum; then the sum and the hit), none backward
constexpr auto step = sp::dry_step<llama, for_either>(sp::ranks{4}, ten);
static_assert(step.forward.all_reduces == normed.forward.all_reduces + 2);
static_assert(step.backward.all_reduces == normed.backward.all_reduces);
static_assert(step.forward.bytes == normed.forward.bytes + 40 + 80);             // logits are never gathered
static_assert(step.forward.all_gathers == 0);
static_assert(step.backward.all_gathers == 0);
static_assert(step.forward.flops > normed.forward.flops);
// calls and bytes do not depend on the number of ranks, if there is more than one
static_assert(sp::dry_run<llama, for_either>(sp::ranks{2}, ten).forward.all_reduces == 5);
static_assert(sp::dry_run<llama, for_either>(sp::ranks{2}, ten).backward.all_reduces == 9);
static_assert(sp::dry_run<llama, for_either>(sp::ranks{8}, ten).forward.bytes == normed.forward.bytes);
static_assert(sp::dry_run<llama, for_either>(sp::ranks{8}, ten).backward.all_reduces == 9);
// memory and arithmetic do
static_assert(sp::dry_run<llama, for_either>(sp::ranks{2}, ten).activation_bytes > normed.activation_bytes);
static_assert(sp::dry_run<llama, for_either>(sp::ranks{2}, ten).forward.flops > normed.forward.flops);
// bytes are those of the batch
static_assert(sp::dry_run<llama, for_either>(sp::ranks{4}, sp::tokens{4, 5}).forward.bytes == 2 * normed.forward.bytes);
static_assert(sp::dry_run<llama, for_either>(sp::ranks{4}, sp::tokens{1, 1}).forward.bytes == 5 * 64);

// ---- one rank: nothing -----------------------------------------------------------------------------------------------------------
constexpr auto alone = sp::dry_step<llama, for_either>(sp::ranks{1}, ten);
static_assert(alone.forward.collectives() == 0);
static_assert(alone.backward.collectives() == 0);
static_assert(alone.forward.bytes == 0);
static_assert(alone.backward.bytes == 0);
static_assert(alone.schedule == sp::ledger{}.schedule);
static_assert(alone.forward.flops > 0);
static_assert(alone.activation_bytes > step.activation_bytes);

// ---- the schedule: the same for the same calls, another one otherwise -----------------------------------------------------------
static_assert(normed.schedule == plain.schedule);                                 // backward calls are no part of it
static_assert(normed.schedule != step.schedule);
static_assert(normed.schedule != sp::ledger{}.schedule);
static_assert(normed.schedule != sp::dry_run<llama, for_either>(sp::ranks{4}, sp::tokens{2, 6}).schedule);
static_assert(normed.schedule == sp::dry_run<llama, for_either>(sp::ranks{2}, ten).schedule);

// ---- the whole model on every rank: no communication ------------------------------------------------------------------------------
inline constexpr sp::plan nothing_sharded{sp::replicated{"norm"}};
static_assert(sp::dry_step<llama, nothing_sharded>(sp::ranks{4}, ten).forward.collectives() == 0);
static_assert(sp::dry_step<llama, nothing_sharded>(sp::ranks{4}, ten).backward.collectives() == 0);
static_assert(sp::dry_step<llama, nothing_sharded>(sp::ranks{4}, ten).forward.flops == alone.forward.flops);
// only the head sharded: its input pays f, the loss its two
inline constexpr sp::plan head_only{sp::embedding_rowwise{"embed_tokens"}, sp::colwise{"lm_head"}};
static_assert(sp::dry_step<llama, head_only>(sp::ranks{4}, ten).forward.all_reduces == 1 + 2);
static_assert(sp::dry_step<llama, head_only>(sp::ranks{4}, ten).backward.all_reduces == 1);
// a gathered head: one all_gather, and a loss without communication
inline constexpr sp::plan gathered_head{sp::embedding_rowwise{"embed_tokens"}, sp::colwise_gather_output{"lm_head"}};
static_assert(sp::dry_step<llama, gathered_head>(sp::ranks{4}, ten).forward.all_gathers == 1);
static_assert(sp::dry_step<llama, gathered_head>(sp::ranks{4}, ten).forward.all_reduces == 1);
// gathering and splitting styles pay where they gather and split
inline constexpr sp::plan there_and_back{sp::colwise_gather_output{"layers.*.mlp.gate_up_proj"}, sp::rowwise_split_input{"layers.*.mlp.down_proj"}};
constexpr auto back = sp::dry_run<llama, there_and_back>(sp::ranks{4}, ten);
static_assert(back.forward.all_gathers == 2);
static_assert(back.forward.all_reduces == 2);
static_assert(back.backward.all_gathers == 2);
static_assert(back.backward.all_reduces == 2);

// ---- frozen parameters cost no backward communication ------------------------------------------------------------------------------
template <class F> constexpr sp::ledger frozen(F which) {
  llama<sp::at<for_either>> m;
  sp::each_layer(m, [&](auto& layer, const sp::layer_numbers& n) {
    if (which(layer, n)) sp::each_parameter_of(layer, [](auto& p) { p.frozen = true; });
  });
  return sp::dry_run(m, sp::ranks{4}, ten);
}
constexpr auto every = [](const auto&, const auto&) { return true; };
constexpr auto none_at_all = [](const auto&, const auto&) { return false; };
constexpr auto head_norms = [](const auto& l, const auto&) { return std::is_same_v<typename std::remove_cvref_t<decltype(l)>::layer_kind, sp::rms_norm<head_dim>>; };
constexpr auto stream_norms_and_table = [](const auto& l, const auto& n) {
  using kind = typename std::remove_cvref_t<decltype(l)>::layer_kind;
  return std::is_same_v<kind, sp::rms_norm<hidden>> || (std::is_same_v<kind, sp::embedding<vocab, hidden>> && n.depth == 0);
};
constexpr auto first_layer_and_table = [](const auto&, const auto& n) { return n.depth == 0 || n.at[0] == 0; };
static_assert(frozen(none_at_all).backward.all_reduces == 9);
static_assert(frozen(every).backward.all_reduces == 0);
static_assert(frozen(every).backward.flops == 0);
static_assert(frozen(every).forward == frozen(none_at_all).forward);
static_assert(frozen(head_norms).backward.all_reduces == 5);
// behind a frozen table and frozen norms the first layer's first f has nothing to reduce
static_assert(frozen(stream_norms_and_table).backward.all_reduces == 9 - 1);
// nothing below the second layer wants a gradient: it keeps its mlp's f, the f of its head norms and of the head's input
static_assert(frozen(first_layer_and_table).backward.all_reduces == 5);

// ---- caches: decoding and prefill -----------------------------------------------------------------------------------------------------
constexpr auto decode = sp::dry_run<llama, for_either>(sp::ranks{4}, sp::tokens{1, 1}, sp::imagined_cache{128});
constexpr auto prefill = sp::dry_run<llama, for_either>(sp::ranks{4}, sp::tokens{1, 128}, sp::imagined_cache{0});
static_assert(decode.forward.all_reduces == 5);
static_assert(prefill.forward.all_reduces == 5);
static_assert(decode.forward.bytes == 5 * 64);
static_assert(prefill.forward.bytes == 128 * decode.forward.bytes);
static_assert(decode.cache_bytes == 129 * 4 * 4 * 2 * 2);                         // steps, head_dim, f32, k and v, layers; one head a rank
static_assert(prefill.cache_bytes == 128 * 4 * 4 * 2 * 2);
static_assert(sp::dry_run<llama, for_either>(sp::ranks{1}, sp::tokens{1, 1}, sp::imagined_cache{128}).cache_bytes == 4 * decode.cache_bytes);
static_assert(sp::dry_run<llama, for_either>(sp::ranks{8}, sp::tokens{1, 1}, sp::imagined_cache{128}).cache_bytes == decode.cache_bytes);   // copies
static_assert(normed.cache_bytes == 0);
static_assert(decode.forward.flops < prefill.forward.flops);
static_assert(decode.forward.flops > sp::dry_run<llama, for_either>(sp::ranks{4}, sp::tokens{1, 1}).forward.flops);
static_assert(decode.schedule != prefill.schedule);

// ---- data parallelism beside it: half the batch, half the bytes, the same calls -----------------------------------------------------
inline constexpr auto on_a_mesh = for_either.with_axis<sp::dp, sp::shard<batch>>();
constexpr auto meshed = sp::dry_run<llama, on_a_mesh>(sp::ranks{4, 2}, ten);
static_assert(meshed.forward.all_reduces == 5);
static_assert(meshed.backward.all_reduces == 9);
static_assert(meshed.forward.bytes == normed.forward.bytes / 2);
static_assert(meshed.activation_bytes < normed.activation_bytes);
static_assert(sp::dry_run<llama, on_a_mesh>(sp::ranks{4, 1}, ten).forward.bytes == normed.forward.bytes);
static_assert(sp::dry_run<llama, on_a_mesh>(sp::ranks{1, 2}, ten).forward.collectives() == 0);
static_assert(sp::dry_run<llama, on_a_mesh>(sp::ranks{4, 3}, sp::tokens{1, 5}).forward.all_reduces == 5);         // an empty batch on two of three
static_assert(sp::dry_step<llama, on_a_mesh>(sp::ranks{4, 2}, ten).forward.all_reduces == 5 + 3);       // and the number of labels over dp
static_assert(sp::dry_step<llama, on_a_mesh>(sp::ranks{1, 2}, ten).forward.bytes == 8);                 // which is one f64

// ---- sequence parallelism: gathers and scatters for all-reduces, and the norms' weights through f --------------------------------
inline constexpr auto along_seq = for_either.with_boundary<sp::shard<seq>>();
constexpr auto sequential = sp::dry_run<llama, along_seq>(sp::ranks{4}, ten);
static_assert(sequential.forward.reduce_scatters == 1 + 2 * 2);                   // the table, o_proj, down_proj
static_assert(sequential.forward.all_gathers == 1 + 2 * 2);                       // q, k, v; gate, up; the head
static_assert(sequential.forward.all_reduces == 0);
static_assert(sequential.backward.all_gathers == 5);
static_assert(sequential.backward.reduce_scatters == 5);
static_assert(sequential.backward.all_reduces == 4 * 2 + 1);                      // two stream norms and two head norms a layer, and the last norm
static_assert(sp::dry_run<llama, along_seq>(sp::ranks{1}, ten).backward.collectives() == 0);
static_assert(sequential.activation_bytes < normed.activation_bytes);

// ---- a text that is parsed while compiling costs the same -------------------------------------------------------------------------
inline constexpr auto from_text = sp::parse_plan(R"({
  "embed_tokens": "embedding_rowwise", "layers.*.mlp.gate_up_proj": "packed_colwise",
  "layers.*.self_attn.q_proj": "colwise", "layers.*.self_attn.k_proj": "colwise", "layers.*.self_attn.v_proj": "colwise",
  "layers.*.self_attn.o_proj": "rowwise", "layers.*.mlp.down_proj": "rowwise", "lm_head": "colwise",
  "layers.*.self_attn.q_norm": "replicated_with_grad_allreduce", "layers.*.self_attn.k_norm": "replicated_with_grad_allreduce"})");
static_assert(sp::covers<llama, from_text>());
static_assert(sp::dry_run<llama, from_text>(sp::ranks{4}, ten) == normed);

// ---- 126 layers ------------------------------------------------------------------------------------------------------------------------
static_assert(sp::covers<deep_llama, for_either>());
constexpr auto deep = sp::dry_run<deep_llama, for_either>(sp::ranks{4}, ten);
static_assert(deep.forward.all_reduces == 1 + 2 * 126);
static_assert(deep.backward.all_reduces == 1 + 4 * 126);
static_assert(deep.forward.bytes == 253 * stream_bytes);
static_assert(deep.activation_bytes > 60 * normed.activation_bytes / 2);
constexpr auto deep_decode = sp::dry_run<deep_llama, for_either>(sp::ranks{4}, sp::tokens{1, 1}, sp::imagined_cache{128});
static_assert(deep_decode.forward.all_reduces == 253);
static_assert(deep_decode.cache_bytes == 63 * decode.cache_bytes);

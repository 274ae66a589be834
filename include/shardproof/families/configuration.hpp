#pragma once
/// @file
/// A model's configuration as a value, and what every decoder reads of it from config.json.
///
///     sp::families::fields in("config.json", text);
///     sp::families::configuration c = sp::families::read_decoder(in, {.model_type = "llama"});     // then the family's own options
///     sp::families::read_no_windows(in, c);
///     sp::extent_table extents = sp::families::extents_of(c);
///
/// Names are those of config.json. Each family says in its `read` which options it has; sp::read_configuration finds the family.
#include <shardproof/families/dims.hpp>
#include <shardproof/families/harmless_keys.hpp>
#include <shardproof/families/rope.hpp>
#include <shardproof/model/causal_lm.hpp>
#include <shardproof/tensor/ops/activation.hpp>
#include <shardproof/tensor/ops/temper.hpp>
namespace shardproof::families {

enum class attention_type : unsigned char { full, sliding, chunked };

/// The experts of a mixture; none: `experts` is 0.
struct mixture {
  long experts = 0, features = 0, shared_features = 0;             ///< features: inside one expert, inside the shared one
  router_rule how;                                                 ///< how.chosen experts a token
  long identities = 0;                                             ///< longcat_flash: experts that return what they are given
  double swiglu_alpha = 1.702, swiglu_limit = 7;                   ///< gpt_oss
  std::vector<unsigned char> sparse;                               ///< one per layer: experts, or a plain mlp
  constexpr bool in_layer(long i) const { return i < long(sparse.size()) && sparse[std::size_t(i)]; }
};

/// Extents of latent attention; none: `kv_rank` is 0.
struct latent_extents {
  long q_rank = 0, kv_rank = 0;                                    ///< q_rank 0: queries have no latent
  long nope = 0, rotary = 0, value = 0;                            ///< features of each head
  double query_scale = 1, latent_scale = 1;                        ///< longcat_flash
};

struct configuration {
  std::string_view model_type;                                     ///< the family's own text
  long vocab_size = 0, hidden_size = 0, intermediate_size = 0, num_hidden_layers = 0;
  long num_attention_heads = 0, num_key_value_heads = 0, head_dim = 0;
  long max_position_embeddings = 2048;                             ///< only some rotary variants read it
  long pad_token_id = -1;                                          ///< row of the embedding that gets no gradient; -1: none
  long attention_chunk = 0;                                        ///< llama4: a chunked layer sees keys of its own chunk alone
  std::vector<unsigned char> unturned;                             ///< llama4, one per layer: positions do not turn there; empty: all do
  temperature tuning;                                              ///< llama4, of those layers
  long sliding_window = 0;                                         ///< keys that a sliding layer sees, its own included; 0: no layer slides
  std::vector<attention_type> layer_types;                         ///< one per layer
  rotaries rope;
  mixture moe;
  latent_extents latent;
  double norm_eps = 1e-6;                                          ///< rms_norm_eps, layer_norm_eps, norm_epsilon
  double norm_offset = 0;                                          ///< added to the weights of the norms: 1 in gemma
  double embedding_multiplier = 1, residual_multiplier = 1;        ///< of the table's rows, and of what a branch adds to the stream
  double logit_multiplier = 1, final_softcap = 0;                  ///< logits, and then softcap tanh(logits / softcap); 0: none
  double attention_scale = 0, attention_softcap = 0;               ///< of the scores, see sp::mask
  double initializer_range = 0.02;                                 ///< deviation of fresh weights
  double embedding_dropout = 0, residual_dropout = 0;              ///< in training: of the embedded tokens; of what attention and mlp add to the stream
  double unapplied_dropout = 0;                                    ///< the largest other rate, of attention's weights or of a router's noise
  activation_kind hidden_act = activation_kind::silu;
  dtype stored = dtype::f32;                                       ///< `dtype`, or `torch_dtype` of older files
  bool attention_bias = false, mlp_bias = false, tie_word_embeddings = false;
  bool scale_by_layer = false;                                     ///< gpt2: scores of layer i are divided by i + 1
  bool use_parallel_residual = true;                               ///< gpt_neox: attention and mlp side by side
  bool qk_norm = false;                                            ///< norms on query and key heads, where a family has the choice

  constexpr bool slides(long layer) const { return layer < long(layer_types.size()) && layer_types[std::size_t(layer)] == attention_type::sliding; }
  /// What layer i sees and how its positions turn.
  constexpr bool turns(long layer) const { return layer >= long(unturned.size()) || !unturned[std::size_t(layer)]; }
  constexpr bool chunked(long layer) const { return layer < long(layer_types.size()) && layer_types[std::size_t(layer)] == attention_type::chunked; }
  constexpr mask mask_of(long layer) const { return {.window = slides(layer) ? sliding_window : 0, .chunk = chunked(layer) ? attention_chunk : 0, .scale = attention_scale, .softcap = attention_softcap}; }
  constexpr const rotary& rotary_of(long layer) const { return slides(layer) ? rope.sliding : rope.full; }
};

/// The extents of a family's dynamic dimensions.
constexpr extent_table extents_of(const configuration& c) {
  extent_table t;
  t.set<vocab>(c.vocab_size);
  t.set<hidden>(c.hidden_size);
  t.set<ffn>(c.intermediate_size);
  t.set<q_heads>(c.num_attention_heads);
  t.set<kv_heads>(c.num_key_value_heads);
  t.set<head_dim>(c.head_dim);
  t.set<position>(c.max_position_embeddings);
  if (c.latent.kv_rank) {
    if (c.latent.q_rank) t.set<q_rank>(c.latent.q_rank);
    t.set<kv_rank>(c.latent.kv_rank);
    t.set<nope_dim>(c.latent.nope);
    t.set<rope_dim>(c.latent.rotary);
    t.set<value_dim>(c.latent.value);
  }
  if (c.moe.experts) {
    t.set<n_experts>(c.moe.experts);
    t.set<n_identities>(c.moe.identities);
    t.set<router_scores>(c.moe.experts + c.moe.identities);
    t.set<expert_ffn>(c.moe.features);
    t.set<shared_ffn>(c.moe.shared_features);
  }
  return t;
}

/// What a family's configuration class in transformers says where the file is silent.
struct decoder_defaults {
  std::string_view model_type;
  long max_positions = 2048;
  long kv_heads = 0;                                               ///< 0: as many as query heads
  long head_dim = 0;                                               ///< 0: hidden_size / num_attention_heads
  bool turns = true;                                               ///< are positions rotary?
  bool partial_rotary = false;                                     ///< does the family know heads of which only a part turns?
  double partial_rotary_factor = 1;
  bool older_longrope = false;                                     ///< see rope_facts
  long trained_positions = 0;
  const char *theta_key = "rope_theta", *partial_key = "partial_rotary_factor";
  const char *hidden_key = "hidden_size", *layers_key = "num_hidden_layers", *heads_key = "num_attention_heads", *positions_key = "max_position_embeddings";
  const char* ffn_key = "intermediate_size";
  long ffn_times = 0;                                              ///< of hidden_size, where the file gives no ffn_key; 0: it must
  const char* act_key = "hidden_act";
  const char* act = "silu";
  const char* eps_key = "rms_norm_eps";
  double eps = 1e-6;
  double initializer_range = 0.02;
  long pad_token_id = -1;
  bool pads = true;                                                ///< does the pad token silence a row of the embedding?
  bool tied = false;
  double rope_theta = 10000;
  double sliding_rope_theta = 0;                                   ///< 0: both kinds of layers turn alike
};

namespace detail {

/// The functions of transformers' ACT2FN that exist here; the approximations of gelu by tanh differ in rounding only.
inline activation_kind activation_named(fields& in, const char* key, std::string_view name) {
  constexpr struct { std::string_view name; activation_kind is; } known[] = {
      {"silu", activation_kind::silu}, {"swish", activation_kind::silu}, {"gelu", activation_kind::gelu}, {"gelu_python", activation_kind::gelu},
      {"gelu_new", activation_kind::gelu_tanh}, {"gelu_fast", activation_kind::gelu_tanh}, {"gelu_accurate", activation_kind::gelu_tanh},
      {"gelu_pytorch_tanh", activation_kind::gelu_tanh}, {"gelu_python_tanh", activation_kind::gelu_tanh}, {"relu", activation_kind::relu},
      {"relu2", activation_kind::squared_relu}, {"sigmoid", activation_kind::sigmoid}, {"tanh", activation_kind::tanh},
      {"linear", activation_kind::linear}, {"gelu_10", activation_kind::gelu_10}, {"quick_gelu", activation_kind::quick_gelu}, {"relu6", activation_kind::relu6},
      {"leaky_relu", activation_kind::leaky_relu}, {"hardswish", activation_kind::hardswish}, {"mish", activation_kind::mish}};
  for (const auto& k : known) if (k.name == name) return k.is;
  std::string all;
  for (const auto& k : known) (all += all.empty() ? "" : ", ") += k.name;
  in.unsupported(key, "no such activation exists here", "use one of " + all);
}
inline dtype dtype_named(fields& in, const char* key, std::string_view name) {
  if (name == "float32") return dtype::f32;
  if (name == "float64") return dtype::f64;
  if (name == "bfloat16") return dtype::bf16;
  if (name == "float16") return dtype::f16;
  in.unsupported(key, "the library does not compute with that type", "use float32, bfloat16, float16 or float64, and convert the checkpoint");
}
/// "full_attention" and "sliding_attention", one per layer, if the file lists them.
inline std::optional<std::vector<attention_type>> read_layer_types(fields& in, const configuration& c) {
  const auto names = in.maybe_texts("layer_types");
  if (!names) return {};
  if (long(names->size()) != c.num_hidden_layers)
    in.refuse("layer_types", "it names " + std::to_string(names->size()) + " layers, and num_hidden_layers is " + std::to_string(c.num_hidden_layers), "correct one of the two");
  std::vector<attention_type> out;
  for (const auto& n : *names) {
    if (n == "full_attention" || n == "attention") out.push_back(attention_type::full);
    else if (n == "sliding_attention") out.push_back(attention_type::sliding);
    else in.unsupported("layer_types", "the kind \"" + n + "\" is not known in this family", "use full_attention or sliding_attention");
  }
  return out;
}
/// A pad token silences its row of the embedding; torch counts negative rows from the end.
inline long read_padding(fields& in, long rows, const decoder_defaults& d) {
  const long if_silent = d.pad_token_id;
  if (!d.pads) {
    (void)in.has("pad_token_id");
    return -1;
  }
  if (!in.given("pad_token_id")) return if_silent < rows ? if_silent : -1;
  const auto pad = in.maybe_integer("pad_token_id", -largest_extent);
  if (!pad) return -1;
  if (*pad >= rows || *pad < -rows) in.refuse("pad_token_id", "the vocabulary has " + std::to_string(rows) + " rows", "set it to null, or to a row of the embedding");
  return *pad < 0 ? *pad + rows : *pad;
}
/// Options of other architectures, or of tools, that would change the computation.
inline void refuse_foreign_options(fields& in) {
  (void)in.maybe_integer("pretraining_tp", 1);                          // projections in slices: their sums differ in rounding only
  in.only("is_encoder_decoder", false, "this family has no encoder");
  in.only("add_cross_attention", false, "this family has no encoder to attend to");
  in.only("tie_encoder_decoder", false, "this family has no encoder");
  in.only("use_mrope", false, "positions have one axis here");
  in.only("rope_interleaved", false, "this family turns pairs (j, j + half)");
  in.none("quantization_config", "quantised weights are not read");
  in.none("compression_config", "quantised weights are not read");
  in.none("per_layer_config", "all layers of this family have one shape");
  in.none("pruned_heads", "all layers of this family have one shape");
  if (const auto names = in.maybe_texts("architectures")) {
    bool causal = names->empty();
    for (const auto& n : *names) causal = causal || n.ends_with("ForCausalLM") || n.ends_with("LMHeadModel");
    if (!causal) in.unsupported("architectures", "none of them is a causal language model (" + names->front() + ")", "use a checkpoint whose class ends in ForCausalLM, or in LMHeadModel");
  }
}

}  // namespace detail

/// Where config.json keeps rates of dropout and jitter; null: nowhere.
struct dropout_keys { const char *embedding = nullptr, *residual = nullptr, *unapplied = nullptr; };
/// They act while a model is trained, and never in what is computed for a checkpoint. @error SP604 a rate is outside [0, 1].
inline void read_dropout(fields& in, configuration& c, const dropout_keys& keys) {
  const auto rate = [&](const char* key) {
    const double r = key ? in.maybe_number(key).value_or(0) : 0;
    if (!(r >= 0 && r <= 1)) in.refuse(key, "it must lie between 0 and 1", "correct the value");
    return r;
  };
  c.embedding_dropout = std::max(c.embedding_dropout, rate(keys.embedding));
  c.residual_dropout = std::max(c.residual_dropout, rate(keys.residual));
  c.unapplied_dropout = std::max(c.unapplied_dropout, rate(keys.unapplied));
}

/// The options that all decoders share. `allowed`: keys inside the rope object that may be ignored.
/// @error SP604 a value is missing, of another type, out of range or contradicts another; SP606 it is not supported.
inline configuration read_decoder(fields& in, const decoder_defaults& d, std::span<const std::string> allowed = {}) {
  constexpr long most = 1L << 24;
  configuration c;
  c.model_type = d.model_type;
  if (in.text("model_type") != d.model_type) in.refuse("model_type", "a model of type " + std::string(d.model_type) + " is built of it", "use the family that the file names");
  c.vocab_size = in.integer("vocab_size", 1, most);
  c.hidden_size = in.integer(d.hidden_key, 1, most);
  c.intermediate_size = d.ffn_times ? in.maybe_integer(d.ffn_key, 1, most).value_or(d.ffn_times * c.hidden_size) : in.integer(d.ffn_key, 1, most);
  c.num_hidden_layers = in.integer(d.layers_key, 1, 10000);
  c.num_attention_heads = in.integer(d.heads_key, 1, 1L << 16);

  const bool silent = !in.given("num_key_value_heads");
  c.num_key_value_heads = in.maybe_integer("num_key_value_heads", 1, 1L << 16).value_or(silent && d.kv_heads ? d.kv_heads : c.num_attention_heads);
  if (c.num_attention_heads % c.num_key_value_heads)
    in.refuse(d.heads_key, "it must be a multiple of num_key_value_heads, which is " + std::to_string(c.num_key_value_heads), "correct one of the two");
  const auto own = in.maybe_integer("head_dim", 1, 1L << 16);
  if (!own && !d.head_dim && c.hidden_size % c.num_attention_heads)
    in.refuse(d.hidden_key, "it must be a multiple of " + std::string(d.heads_key) + ", which is " + std::to_string(c.num_attention_heads), "correct one of the two, or add head_dim");
  c.head_dim = own ? *own : d.head_dim ? d.head_dim : c.hidden_size / c.num_attention_heads;

  c.hidden_act = detail::activation_named(in, d.act_key, in.maybe_text(d.act_key).value_or(d.act));
  c.norm_eps = in.maybe_number(d.eps_key).value_or(d.eps);
  if (c.norm_eps < 0) in.refuse(d.eps_key, "it must not be negative", "correct the value");
  c.initializer_range = in.maybe_number("initializer_range").value_or(d.initializer_range);
  if (c.initializer_range < 0) in.refuse("initializer_range", "it must not be negative", "correct the value");
  c.max_position_embeddings = in.maybe_integer(d.positions_key, 1).value_or(d.max_positions);
  c.tie_word_embeddings = in.maybe_boolean("tie_word_embeddings").value_or(d.tied);
  c.pad_token_id = detail::read_padding(in, c.vocab_size, d);
  const auto older = in.maybe_text("torch_dtype"), newer = in.maybe_text("dtype");
  if (newer) c.stored = detail::dtype_named(in, "dtype", *newer);
  else if (older) c.stored = detail::dtype_named(in, "torch_dtype", *older);
  const rope_facts turns{.head_dim = c.head_dim, .max_positions = c.max_position_embeddings, .default_theta = d.rope_theta,
                         .default_partial = d.partial_rotary_factor, .may_be_partial = d.partial_rotary, .older_longrope = d.older_longrope,
                         .trained_positions = d.trained_positions, .theta_key = d.theta_key, .partial_key = d.partial_key};
  if (d.turns) c.rope = d.sliding_rope_theta > 0 ? read_rope_by_kind(in, turns, d.sliding_rope_theta, allowed) : read_rope(in, turns, allowed);
  for (const rotary& r : {c.rope.full, c.rope.sliding})
    if (d.turns && rotated_features(r, c.head_dim) > c.head_dim)
      in.refuse(own ? "head_dim" : d.hidden_key, "heads that turn must have an even number of features, and have " + std::to_string(c.head_dim), "correct the value");
  c.layer_types.assign(std::size_t(c.num_hidden_layers), attention_type::full);
  read_dropout(in, c, {.unapplied = "attention_dropout"});
  detail::refuse_foreign_options(in);
  return c;
}

/// Of a family without sliding layers: the keys pass where they change nothing.
inline void read_no_windows(fields& in, const configuration& c) {
  const bool switched = in.given("use_sliding_window");
  in.only("use_sliding_window", false, "no layer of this family slides");
  if (in.has("sliding_window") && !switched) in.none("sliding_window", "no layer of this family slides");
  (void)in.has("max_window_layers");
  for (const auto t : detail::read_layer_types(in, c).value_or(std::vector<attention_type>{}))
    if (t == attention_type::sliding) in.unsupported("layer_types", "no layer of this family slides", "use full_attention");
}

/// qwen: where use_sliding_window is set, the layers that layer_types names slide, or those that `chosen` takes by max_window_layers.
inline void read_windows(fields& in, configuration& c, bool (*chosen)(long layer, long max_window_layers)) {
  const bool use = in.maybe_boolean("use_sliding_window").value_or(false);
  const auto width = in.maybe_integer("sliding_window", use ? 1 : -largest_extent);
  const long bound = in.maybe_integer("max_window_layers", 0).value_or(28);
  if (use) c.sliding_window = in.given("sliding_window") ? width.value_or(0) : 4096;
  if (auto types = detail::read_layer_types(in, c)) c.layer_types = std::move(*types);
  else for (long i = 0; i < c.num_hidden_layers; ++i) if (c.sliding_window && chosen(i, bound)) c.layer_types[std::size_t(i)] = attention_type::sliding;
  for (const auto t : c.layer_types)
    if (t == attention_type::sliding && !c.sliding_window)
      in.refuse("sliding_window", "layer_types names sliding layers, and no window is in use", "set use_sliding_window to true and give the window, or name no sliding layer");
}

/// gemma2, gemma3, cohere2: the layers that layer_types names slide, or all but each `pattern`th one.
inline void read_alternating_windows(fields& in, configuration& c, long pattern, long window_if_silent = 4096) {
  const auto width = in.maybe_integer("sliding_window", 1);
  c.sliding_window = in.given("sliding_window") ? width.value_or(0) : window_if_silent;
  if (auto types = detail::read_layer_types(in, c)) c.layer_types = std::move(*types);
  else for (long i = 0; i < c.num_hidden_layers; ++i) c.layer_types[std::size_t(i)] = (i + 1) % pattern ? attention_type::sliding : attention_type::full;
}

/// mistral: every layer slides where there is a window.
inline void read_one_window(fields& in, configuration& c, long window_if_silent) {
  const auto width = in.maybe_integer("sliding_window", 1);
  c.sliding_window = in.given("sliding_window") ? width.value_or(0) : window_if_silent;
  const attention_type all = c.sliding_window ? attention_type::sliding : attention_type::full;
  for (const auto t : detail::read_layer_types(in, c).value_or(std::vector<attention_type>{}))
    if (t != all) in.unsupported("layer_types", "all layers of this family are of one kind, by sliding_window", "remove it, or use the family whose layers alternate");
  c.layer_types.assign(std::size_t(c.num_hidden_layers), all);
}

}  // namespace shardproof::families

// families/configuration.hpp, fields.hpp, rope.hpp, harmless_keys.hpp: every key of config.json is used, harmless, allowed or refused.
#include <catch2/catch.hpp>
#include <string>
#include <vector>
#include <shardproof/families/llama.hpp>
#include <shardproof/families/mistral.hpp>
#include <shardproof/families/qwen2.hpp>
#include <shardproof/families/qwen3.hpp>
#include <shardproof/families/registry.hpp>

namespace sp = shardproof;
namespace families = sp::families;
using sp::code;
using sp::rope_type;

namespace {

constexpr const char* smallest = R"("vocab_size": 131, "hidden_size": 56, "intermediate_size": 74, "num_hidden_layers": 3, "num_attention_heads": 4)";

/// A whole file of one family: the smallest one with `more` behind it. A key may be given once only.
std::string file_of(const char* type, const std::string& more = "", const std::string& without = "") {
  std::string base = smallest;
  if (!without.empty()) {
    const std::size_t from = base.find("\"" + without + "\""), comma = base.find(',', from);
    if (comma == base.npos) base.erase(base.rfind(',', from));
    else base.erase(from, comma + 2 - from);
  }
  return std::string("{\"model_type\": \"") + type + "\", " + base + (more.empty() ? "" : ", ") + more + "}";
}
template <class Family> sp::configuration read(const std::string& text, std::vector<std::string> allowed = {}) {
  families::fields in("config.json", text);
  sp::configuration c = Family::read(in, allowed);
  in.finish(families::harmless_keys, allowed);
  return c;
}
sp::configuration read_as(const std::string& type, const std::string& text, std::vector<std::string> allowed = {}) {
  if (type == "llama") return read<families::llama_family>(text, allowed);
  if (type == "qwen2") return read<families::qwen2_family>(text, allowed);
  if (type == "qwen3") return read<families::qwen3_family>(text, allowed);
  return read<families::mistral_family>(text, allowed);
}
sp::configuration llama(const std::string& more = "") { return read<families::llama_family>(file_of("llama", more)); }

/// The error of a file, "" if it is read.
std::string error_of(const std::string& type, const std::string& text, code want, std::vector<std::string> allowed = {}) {
  try {
    read_as(type, text, allowed);
  } catch (const sp::error& e) {
    CHECK(sp::number(e.which()) == sp::number(want));
    CHECK(std::string(e.what()).find(" Fix: ") != std::string::npos);
    return e.what();
  }
  return "";
}
bool says(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("what the file does not say is what the family's configuration class in transformers says") {
  const sp::configuration c = llama();
  CHECK(c.model_type == "llama");
  CHECK(c.vocab_size == 131);
  CHECK(c.hidden_size == 56);
  CHECK(c.intermediate_size == 74);
  CHECK(c.num_hidden_layers == 3);
  CHECK(c.num_attention_heads == 4);
  CHECK(c.num_key_value_heads == 4);
  CHECK(c.head_dim == 14);
  CHECK(c.max_position_embeddings == 2048);
  CHECK(c.norm_eps == 1e-6);
  CHECK(c.initializer_range == 0.02);
  CHECK(c.hidden_act == sp::activation_kind::silu);
  CHECK(c.pad_token_id == -1);
  CHECK(c.stored == sp::dtype::f32);
  CHECK_FALSE((c.attention_bias || c.mlp_bias || c.tie_word_embeddings));
  CHECK(c.rope.full == sp::rotary{.base = 10000});
  for (long i = 0; i < 3; ++i) CHECK(c.mask_of(i).window == 0);

  CHECK(read_as("mistral", file_of("mistral", R"("num_key_value_heads": 2)")).mask_of(2).window == 4096);
  CHECK(read_as("mistral", file_of("mistral", R"("num_key_value_heads": 2)")).max_position_embeddings == 131072);
  CHECK(read_as("qwen3", file_of("qwen3", R"("num_key_value_heads": 2)")).head_dim == 128);
  CHECK(read_as("qwen2", file_of("qwen2", R"("num_key_value_heads": 2)")).head_dim == 14);
  CHECK(read_as("qwen2", file_of("qwen2", R"("num_key_value_heads": 2)")).max_position_embeddings == 32768);
  // null is "as many as query heads" everywhere; silence is a number of its own in three families, and must divide the heads.
  for (const char* t : {"llama", "qwen2", "qwen3", "mistral"}) CHECK(read_as(t, file_of(t, R"("num_key_value_heads": null)")).num_key_value_heads == 4);
  for (const char* t : {"qwen2", "qwen3", "mistral"}) CHECK(says(error_of(t, file_of(t), code::wrong_configuration), "num_key_value_heads"));
}

TEST_CASE("every option that changes the computation is read") {
  const sp::configuration c = llama(R"("num_key_value_heads": 2, "head_dim": 20, "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true,
      "rms_norm_eps": 1e-05, "hidden_act": "gelu_new", "pad_token_id": 7, "torch_dtype": "float16", "dtype": "bfloat16", "initializer_range": 0.5)");
  CHECK(c.num_key_value_heads == 2);
  CHECK(c.head_dim == 20);
  CHECK((c.attention_bias && c.mlp_bias && c.tie_word_embeddings));
  CHECK(c.norm_eps == 1e-5);
  CHECK(c.hidden_act == sp::activation_kind::gelu_tanh);
  CHECK(c.pad_token_id == 7);
  CHECK(c.stored == sp::dtype::bf16);
  CHECK(c.initializer_range == 0.5);
  CHECK(llama(R"("torch_dtype": "float64")").stored == sp::dtype::f64);
  CHECK(llama(R"("pad_token_id": -1)").pad_token_id == 130);             // torch counts from the end
  CHECK(llama(R"("pad_token_id": null)").pad_token_id == -1);

  const struct { const char* name; sp::activation_kind is; } acts[] = {
      {"silu", sp::activation_kind::silu}, {"swish", sp::activation_kind::silu}, {"gelu", sp::activation_kind::gelu}, {"gelu_pytorch_tanh", sp::activation_kind::gelu_tanh},
      {"relu", sp::activation_kind::relu}, {"relu2", sp::activation_kind::squared_relu}, {"sigmoid", sp::activation_kind::sigmoid}, {"tanh", sp::activation_kind::tanh},
      {"quick_gelu", sp::activation_kind::quick_gelu}, {"mish", sp::activation_kind::mish}, {"relu6", sp::activation_kind::relu6}, {"linear", sp::activation_kind::linear}};
  for (const auto& a : acts) CHECK(llama("\"hidden_act\": \"" + std::string(a.name) + "\"").hidden_act == a.is);

  const sp::extent_table t = families::extents_of(c);
  CHECK(t.find(&sp::info<sp::vocab>) == 131);
  CHECK(t.find(&sp::info<families::q_heads>) == 4);
  CHECK(t.find(&sp::info<families::kv_heads>) == 2);
  CHECK(t.find(&sp::info<families::head_dim>) == 20);
  CHECK(t.find(&sp::info<families::ffn>) == 74);
  CHECK(t.find(&sp::info<families::hidden>) == 56);
}

TEST_CASE("sliding layers are those that transformers makes slide") {
  const auto windows = [](const char* type, const std::string& more) {
    const sp::configuration c = read_as(type, file_of(type, "\"num_key_value_heads\": 2, " + more));
    std::vector<long> out;
    for (long i = 0; i < c.num_hidden_layers; ++i) out.push_back(c.mask_of(i).window);
    return out;
  };
  using w = std::vector<long>;
  for (const char* t : {"qwen2", "qwen3"}) {
    CHECK(windows(t, R"("sliding_window": 8)") == w{0, 0, 0});
    CHECK(windows(t, R"("sliding_window": 8, "use_sliding_window": false, "max_window_layers": 0)") == w{0, 0, 0});
    CHECK(windows(t, R"("sliding_window": 8, "use_sliding_window": true, "max_window_layers": 1)") == w{0, 8, 8});
    CHECK(windows(t, R"("use_sliding_window": true, "max_window_layers": 2)") == w{0, 0, 4096});
    CHECK(windows(t, R"("use_sliding_window": true, "sliding_window": null, "max_window_layers": 0)") == w{0, 0, 0});
    CHECK(windows(t, R"("use_sliding_window": true, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"])") == w{5, 0, 5});
    CHECK(windows(t, R"("sliding_window": null, "layer_types": ["full_attention", "attention", "full_attention"])") == w{0, 0, 0});
  }
  CHECK(windows("mistral", R"("sliding_window": 6)") == w{6, 6, 6});
  CHECK(windows("mistral", R"("sliding_window": null)") == w{0, 0, 0});
  CHECK(windows("llama", R"("sliding_window": null, "use_sliding_window": false, "max_window_layers": 28)") == w{0, 0, 0});
  CHECK(windows("llama", R"("sliding_window": 4096, "use_sliding_window": false)") == w{0, 0, 0});
}

TEST_CASE("rotary variants are read from old and new keys alike") {
  const auto rope = [](const std::string& more) { return llama(more).rope.full; };
  CHECK(rope(R"("rope_theta": 5e5)") == sp::rotary{.base = 5e5});
  CHECK(rope(R"("rope_theta": 500, "rope_scaling": null)") == sp::rotary{.base = 500});
  CHECK(rope(R"("rope_parameters": {"rope_type": "default", "rope_theta": 1000.0})") == sp::rotary{.base = 1000});
  CHECK(rope(R"("rope_theta": 7, "rope_parameters": {"rope_theta": 1000.0})") == sp::rotary{.base = 1000});      // inside goes first
  CHECK(rope(R"("rope_theta": 7, "rope_scaling": {}, "rope_parameters": {})") == sp::rotary{.base = 7});

  const sp::rotary linear{.base = 100, .type = rope_type::linear, .factor = 4};
  CHECK(rope(R"("rope_theta": 100, "rope_scaling": {"type": "linear", "factor": 4.0})") == linear);
  CHECK(rope(R"("rope_theta": 100, "rope_scaling": {"rope_type": "linear", "type": "dynamic", "factor": 4})") == linear);
  CHECK(rope(R"("rope_parameters": {"rope_type": "linear", "factor": 4, "rope_theta": 100})") == linear);
  CHECK(rope(R"("rope_theta": 100, "rope_scaling": {"type": "linear", "factor": 4}, "rope_parameters": {"rope_type": "linear", "factor": 4, "rope_theta": 100})") == linear);

  CHECK(rope(R"("max_position_embeddings": 64, "rope_scaling": {"type": "dynamic", "factor": 2.5})") ==
        sp::rotary{.type = rope_type::dynamic_ntk, .factor = 2.5, .original_length = 64});

  const sp::rotary llama3{.base = 5e5, .type = rope_type::llama3, .factor = 8, .low_freq = 1, .high_freq = 4, .original_length = 8192};
  const std::string three = R"("rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0)";
  CHECK(rope(R"("rope_theta": 500000.0, "rope_scaling": {)" + three + R"(, "original_max_position_embeddings": 8192})") == llama3);
  CHECK(rope(R"("rope_theta": 500000.0, "max_position_embeddings": 8192, "rope_scaling": {)" + three + "}") == llama3);
  CHECK(rope(R"("rope_theta": 500000.0, "original_max_position_embeddings": 8192, "rope_scaling": {)" + three + R"(, "original_max_position_embeddings": 16})") == llama3);

  CHECK(rope(R"("rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768, "finetuned": true})") ==
        sp::rotary{.type = rope_type::yarn, .factor = 4, .original_length = 32768});
  CHECK(rope(R"("max_position_embeddings": 4096, "rope_scaling": {"rope_type": "yarn", "factor": null, "original_max_position_embeddings": 1024, "beta_fast": 8, "beta_slow": 0,
             "mscale": 0.7, "mscale_all_dim": 1, "truncate": false, "attention_factor": 1.5})") ==
        sp::rotary{.type = rope_type::yarn, .factor = 4, .original_length = 1024, .beta_fast = 8, .beta_slow = 1, .truncate = false, .mscale = 0.7, .mscale_all_dim = 1, .attention_factor = 1.5});

  const sp::rotary a = rope(R"("max_position_embeddings": 64, "rope_scaling": {"rope_type": "longrope", "original_max_position_embeddings": 16, "attention_factor": 1.25,
             "short_factor": [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6], "long_factor": [2, 3, 4, 5, 6, 7, 8]})");
  CHECK(a.type == rope_type::longrope);
  CHECK(a.factor == 4);
  CHECK(a.original_length == 16);
  CHECK(a.attention_factor == 1.25);
  CHECK(std::vector<double>(a.short_factor, a.short_factor + 7) == std::vector<double>{1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6});
  CHECK(std::vector<double>(a.long_factor, a.long_factor + 7) == std::vector<double>{2, 3, 4, 5, 6, 7, 8});
  // Equal lists have one address for ever, so that equal layers share their tables and a later model's list cannot pass for it.
  CHECK(rope(R"("max_position_embeddings": 64, "rope_scaling": {"rope_type": "longrope", "original_max_position_embeddings": 16, "attention_factor": 1.25,
             "short_factor": [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6], "long_factor": [2, 3, 4, 5, 6, 7, 8.0]})") == a);

  // One entry for each kind of layer.
  const sp::configuration c = read_as("qwen3", file_of("qwen3", R"("num_key_value_heads": 2, "use_sliding_window": true, "sliding_window": 4, "max_window_layers": 2,
      "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2, "rope_theta": 1e5}, "sliding_attention": {"rope_theta": 100}})"));
  CHECK(c.rotary_of(0) == sp::rotary{.base = 1e5, .type = rope_type::linear, .factor = 2});
  CHECK(c.rotary_of(2) == sp::rotary{.base = 100});
}

TEST_CASE("a field that is missing, mistyped, out of range or contradicted is SP604 and is named") {
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"})
    for (const char* type : {"llama", "qwen2", "qwen3", "mistral"}) {
      INFO(key);
      CHECK(says(error_of(type, file_of(type, "", key), code::wrong_configuration), (std::string(key) + " is missing").c_str()));
    }
  const struct { const char *type, *without, *more, *named; } wrong[] = {
      {"llama", "hidden_size", R"("hidden_size": "56")", "hidden_size is \"56\": an integer is expected"},
      {"llama", "hidden_size", R"("hidden_size": 56.0)", "hidden_size is 56.0: an integer is expected"},
      {"llama", "hidden_size", R"("hidden_size": null)", "hidden_size is null"},
      {"llama", "hidden_size", R"("hidden_size": -56)", "hidden_size is -56: it must lie between 1"},
      {"llama", "hidden_size", R"("hidden_size": 0)", "hidden_size is 0"},
      {"llama", "hidden_size", R"("hidden_size": 99999999999999999999)", "hidden_size is 9999"},
      {"llama", "hidden_size", R"("hidden_size": 57)", "hidden_size is 57: it must be a multiple of num_attention_heads, which is 4"},
      {"llama", "hidden_size", R"("hidden_size": 60)", "heads that turn must have an even number of features, and have 15"},
      {"llama", "vocab_size", R"("vocab_size": true)", "vocab_size is true"},
      {"llama", "num_hidden_layers", R"("num_hidden_layers": 0)", "num_hidden_layers is 0"},
      {"llama", "num_hidden_layers", R"("num_hidden_layers": 1000000000)", "num_hidden_layers is 1000000000"},
      {"llama", "", R"("num_key_value_heads": 3)", "num_attention_heads is 4: it must be a multiple of num_key_value_heads, which is 3"},
      {"llama", "", R"("num_key_value_heads": 8)", "num_key_value_heads, which is 8"},
      {"llama", "", R"("head_dim": 7)", "head_dim is 7: heads that turn must have an even number"},
      {"llama", "", R"("rms_norm_eps": -1)", "rms_norm_eps is -1"},
      {"llama", "", R"("rms_norm_eps": "1e-6")", "rms_norm_eps is \"1e-6\": a number is expected"},
      {"llama", "", R"("rms_norm_eps": 1e999)", "it does not fit into a double"},
      {"llama", "", R"("pad_token_id": 131)", "pad_token_id is 131: the vocabulary has 131 rows"},
      {"llama", "", R"("attention_bias": "yes")", "attention_bias is \"yes\": true or false is expected"},
      {"llama", "", R"("tie_word_embeddings": 1)", "tie_word_embeddings is 1"},
      {"llama", "", R"("rope_theta": 0)", "rope_theta is 0: it must be positive"},
      {"llama", "", R"("rope_scaling": "linear")", "rope_scaling is \"linear\": an object is expected"},
      {"llama", "", R"("rope_scaling": {"type": "linear"})", "rope_scaling.factor is missing"},
      {"llama", "", R"("rope_scaling": {"type": "linear", "factor": -2})", "rope_scaling.factor is -2: it must be positive"},
      {"llama", "", R"("rope_scaling": {"factor": 2})", "rope_scaling.factor is 2: no rope_type says"},
      {"llama", "", R"("rope_parameters": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1})", "rope_parameters.high_freq_factor is missing"},
      {"llama", "", R"("rope_parameters": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4})", "high_freq_factor is 4: it must be above"},
      {"llama", "", R"("rope_parameters": {"rope_type": "longrope", "short_factor": [1, 2], "long_factor": [1, 2]})", "rope_parameters.short_factor is a list: it has 2 numbers and must have 7"},
      {"llama", "", R"("rope_parameters": {"rope_type": "longrope", "factor": 2})", "rope_parameters.short_factor is missing"},
      {"llama", "", R"("rope_parameters": {"rope_type": "yarn", "factor": 2, "attention_factor": 0})", "attention_factor is 0"},
      {"llama", "", R"("rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"type": "linear", "factor": 4})", "rope_parameters is an object: it says something else than rope_scaling"},
      {"llama", "", R"("partial_rotary_factor": 1.5)", "partial_rotary_factor is 1.5"},
      {"qwen2", "", R"("num_key_value_heads": 2, "layer_types": ["full_attention"])", "layer_types is a list: it names 1 layers, and num_hidden_layers is 3"},
      {"qwen2", "", R"("num_key_value_heads": 2, "layer_types": ["full_attention", 1, 2])", "a list of strings is expected"},
      {"qwen2", "", R"("num_key_value_heads": 2, "sliding_window": 8, "layer_types": ["full_attention", "full_attention", "sliding_attention"])", "sliding_window is 8: layer_types names sliding layers"},
      {"qwen2", "", R"("num_key_value_heads": 2, "use_sliding_window": true, "sliding_window": 0)", "sliding_window is 0"},
      {"mistral", "", R"("num_key_value_heads": 2, "sliding_window": 0)", "sliding_window is 0"},
  };
  for (const auto& w : wrong) {
    INFO(w.more);
    const std::string e = error_of(w.type, file_of(w.type, w.more, w.without), code::wrong_configuration);
    INFO(e);
    CHECK(says(e, w.named));
  }
  CHECK(says(error_of("llama", "{\n  \"model_type\": \"llama\",}", code::wrong_configuration), "config.json is not JSON: a name in quotes is expected (line 2, column 25)."));
  CHECK(says(error_of("llama", "[1]", code::wrong_configuration), "config.json is no JSON object"));
  CHECK(says(error_of("llama", R"({"a": 1, "a": 2})", code::wrong_configuration), "a name occurs twice"));
  CHECK(says(error_of("llama", file_of("mistral"), code::wrong_configuration), "model_type is \"mistral\""));
}

TEST_CASE("a value that would change the computation and is not supported is SP606") {
  const struct { const char *type, *more, *named; } cases[] = {
      {"llama", R"("hidden_act": "prelu")", "hidden_act is \"prelu\""},
      {"llama", R"("quantization_config": {"quant_method": "fp8"})", "quantization_config is an object: quantised weights are not read"},
      {"llama", R"("dtype": "float8_e4m3fn")", "dtype is \"float8_e4m3fn\""},
      {"llama", R"("torch_dtype": "int8")", "torch_dtype is \"int8\""},
      {"llama", R"("rope_scaling": {"type": "mrope", "factor": 2})", "rope_scaling.type is \"mrope\""},
      {"llama", R"("rope_parameters": {"rope_type": "proportional"})", "rope_parameters.rope_type is \"proportional\""},
      {"llama", R"("partial_rotary_factor": 0.5)", "partial_rotary_factor is 0.5: whole heads turn"},
      {"llama", R"("rope_parameters": {"rope_type": "linear", "factor": 2, "partial_rotary_factor": 0.5})", "rope_parameters.partial_rotary_factor is 0.5"},
      {"llama", R"("rope_interleaved": true)", "rope_interleaved is true"},
      {"llama", R"("sliding_window": 4096)", "sliding_window is 4096: no layer of this family slides"},
      {"llama", R"("layer_types": ["full_attention", "full_attention", "sliding_attention"])", "layer_types is a list: no layer of this family slides"},
      {"llama", R"("layer_types": ["full_attention", "full_attention", "linear_attention"])", "the kind \"linear_attention\" is not known"},
      {"llama", R"("architectures": ["LlamaForSequenceClassification"])", "architectures is a list: none of them is a causal language model (LlamaForSequenceClassification)"},
      {"llama", R"("is_encoder_decoder": true)", "is_encoder_decoder is true"},
      {"qwen2", R"("num_key_value_heads": 2, "attention_bias": false)", "attention_bias is false: this family always has biases on q, k and v"},
      {"qwen2", R"("num_key_value_heads": 2, "use_mrope": true)", "use_mrope is true"},
      {"qwen3", R"("num_key_value_heads": 2, "mlp_bias": true)", "mlp_bias is true"},
      {"qwen3", R"("num_key_value_heads": 2, "rope_parameters": {"full_attention": null, "sliding_attention": {"rope_theta": 100}})", "full_attention is null"},
      {"mistral", R"("num_key_value_heads": 2, "attention_bias": true)", "attention_bias is true"},
      {"mistral", R"("num_key_value_heads": 2, "layer_types": ["full_attention", "sliding_attention", "full_attention"])", "layer_types"},
  };
  for (const auto& x : cases) {
    INFO(x.more);
    const std::string e = error_of(x.type, file_of(x.type, x.more), code::unsupported_value);
    INFO(e);
    CHECK(says(e, x.named));
  }
  // The same keys where they change nothing.
  CHECK_NOTHROW(llama(R"("attention_dropout": 0.0, "pretraining_tp": 2, "quantization_config": null, "rope_interleaved": false, "partial_rotary_factor": 1.0,
      "is_encoder_decoder": false, "architectures": ["LlamaForCausalLM"], "layer_types": ["full_attention", "full_attention", "full_attention"], "pruned_heads": {})"));
  CHECK(llama(R"("attention_dropout": 0.1)").unapplied_dropout == 0.1);      // it acts in training only
  CHECK(says(error_of("llama", file_of("llama", R"("attention_dropout": 1.5)"), code::wrong_configuration), "attention_dropout is 1.5"));
  CHECK_NOTHROW(read_as("qwen2", file_of("qwen2", R"("num_key_value_heads": 2, "use_mrope": false, "attention_bias": true)")));
}

TEST_CASE("a key that nobody knows is SP607, unless it is allowed by name") {
  const std::string text = file_of("llama", R"("rms_norm_epsilon": 1e-5)");
  const std::string e = error_of("llama", text, code::unknown_key);
  CHECK(says(e, "nothing is known of the key rms_norm_epsilon."));
  CHECK(says(e, "--allow-key rms_norm_epsilon"));
  CHECK(error_of("llama", text, code::unknown_key, {"rms_norm_epsilon"}).empty());
  CHECK(says(error_of("llama", file_of("llama", R"("atention_bias": true)"), code::unknown_key), "did you mean attention_bias?"));

  const std::string inner = file_of("llama", R"("rope_parameters": {"rope_type": "default", "mrope_section": [1, 2]})");
  CHECK(says(error_of("llama", inner, code::unknown_key), "the key rope_parameters.mrope_section."));
  CHECK(error_of("llama", inner, code::unknown_key, {"rope_parameters.mrope_section"}).empty());
  CHECK(says(error_of("llama", inner, code::unknown_key, {"mrope_section"}), "rope_parameters.mrope_section"));
  CHECK(says(error_of("qwen3", file_of("qwen3", R"("num_key_value_heads": 2, "rope_parameters": {"sliding_attention": {"rope_theta": 1}, "x": 1})"), code::unknown_key), "rope_parameters.x"));
  // A key of another family is unknown here.
  CHECK(says(error_of("llama", file_of("llama", R"("num_local_experts": 8)"), code::unknown_key), "num_local_experts"));
}

TEST_CASE("published configurations are read whole") {
  // As the model repositories have them, old and new.
  CHECK_NOTHROW(read_as("llama", R"({"_name_or_path": "x", "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
      "eos_token_id": [128001, 128008], "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192,
      "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
      "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
      "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
      "transformers_version": "4.45.0.dev0", "use_cache": true, "vocab_size": 128256})"));
  CHECK_NOTHROW(read_as("qwen2", R"({"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645, "hidden_act": "silu",
      "hidden_size": 896, "initializer_range": 0.02, "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 21, "model_type": "qwen2",
      "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768,
      "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.43.1", "use_cache": true, "use_sliding_window": false, "vocab_size": 151936})"));
  CHECK_NOTHROW(read_as("qwen3", R"({"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645,
      "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024, "initializer_range": 0.02, "intermediate_size": 3072, "max_position_embeddings": 40960,
      "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
      "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.51.0",
      "use_cache": true, "use_sliding_window": false, "vocab_size": 151936})"));
  CHECK_NOTHROW(read_as("mistral", R"({"architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096,
      "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32,
      "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": false,
      "torch_dtype": "bfloat16", "transformers_version": "4.34.0.dev0", "use_cache": true, "vocab_size": 32000})"));
}

TEST_CASE("an unknown model type is SP605 with the known ones") {
  try {
    sp::read_configuration(R"({"model_type": "lama"})");
    FAIL("it was read");
  } catch (const sp::error& e) {
    CHECK(sp::number(e.which()) == 605);
    CHECK(says(e.what(), "unknown model family \"lama\". Fix: use one of the known ones: "));
    for (const auto& k : families::known()) CHECK(says(e.what(), k.c_str()));
  }
  CHECK_THROWS_WITH(sp::read_configuration("{}"), Catch::Contains("model_type is missing"));
}

TEST_CASE("each harmless key has a reason and stands in the table once") {
  for (const auto& a : families::harmless_keys) {
    CHECK(std::string(a.why).size() > 10);
    int times = 0;
    for (const auto& b : families::harmless_keys) times += a.key == b.key;
    CHECK(times == 1);
  }
}

// The one matcher of plans: whole paths, segment by segment; "*" stands alone for one layer number; nothing else is special.
#include <shardproof/plan/pattern.hpp>
namespace sp = shardproof;
using sp::matches;
using sp::names_layer;

// a pattern without "*" matches its own path only
static_assert( matches("embed_tokens", "embed_tokens"));
static_assert(!matches("embed_tokens", "embed_token"));
static_assert(!matches("embed_token", "embed_tokens"));
static_assert(!matches("embed_tokens", "model.embed_tokens"));
static_assert(!matches("model.embed_tokens", "embed_tokens"));
static_assert( matches("model.norm", "model.norm"));
static_assert(!matches("model.norm", "model.norm.weight"));
static_assert(!matches("model.norm", "modelxnorm"));                           // a dot is a dot

// "*" is one segment of digits
static_assert( matches("layers.*.mlp.down_proj", "layers.0.mlp.down_proj"));
static_assert( matches("layers.*.mlp.down_proj", "layers.11.mlp.down_proj"));
static_assert( matches("layers.*.mlp.down_proj", "layers.125.mlp.down_proj"));
static_assert( matches("layers.*.mlp.down_proj", "layers.*.mlp.down_proj"));   // all layers of a stack
static_assert(!matches("layers.*.mlp.down_proj", "layers.mlp.down_proj"));
static_assert(!matches("layers.*.mlp.down_proj", "layers.0.1.mlp.down_proj"));
static_assert(!matches("layers.*.mlp.down_proj", "layers.a.mlp.down_proj"));
static_assert(!matches("layers.*.mlp.down_proj", "layers.0a.mlp.down_proj"));
static_assert(!matches("layers.*.mlp.down_proj", "layers..mlp.down_proj"));
static_assert(!matches("layers.*.mlp.down_proj", "layers.0.mlp.down_proj.bias"));
static_assert(!matches("layers.*.mlp.down_proj", "layers.0.mlp"));
static_assert( matches("layers.*.experts.*.w1", "layers.3.experts.7.w1"));
static_assert(!matches("layers.*.experts.*.w1", "layers.3.experts.w1"));
static_assert( matches("*.proj", "4.proj"));
static_assert(!matches("*.proj", "q.proj"));
static_assert( matches("blocks.*", "blocks.2"));
static_assert(!matches("blocks.*", "blocks.norm"));
// it never crosses a dot, nor stands for a name
static_assert(!matches("layers.*", "layers.0.mlp"));
static_assert(!matches("model.*.norm", "model.final.norm"));
// a layer number in the pattern names that layer only
static_assert( matches("layers.0.mlp.down_proj", "layers.0.mlp.down_proj"));
static_assert(!matches("layers.0.mlp.down_proj", "layers.1.mlp.down_proj"));
static_assert(!matches("layers.1.mlp.down_proj", "layers.11.mlp.down_proj"));
static_assert(!matches("layers.0.mlp.down_proj", "layers.*.mlp.down_proj"));

// the failures of the matchers in the field: a prefix, a suffix, a swallowed neighbour
static_assert(!matches("layers.*.mlp.gate", "layers.0.mlp.gate_proj"));
static_assert(!matches("layers.*.mlp.experts.gate_up_proj", "layers.0.mlp.experts.gate_up_proj_bias"));
static_assert(!matches("gate_up_proj", "mlp.gate_up_proj"));
static_assert(!matches("layers.*.self_attn.q_proj", "layers.0.self_attn.q_proj_extra"));

// digits inside a name are part of the name
static_assert( matches("layers.*.fc1", "layers.0.fc1"));
static_assert(!matches("layers.*.fc1", "layers.0.fc2"));
static_assert(!matches("layers.*.fc*", "layers.0.fc1"));
static_assert( matches("layers.*.experts.*.w1", "layers.0.experts.0.w1"));
static_assert(!matches("layers.*.experts.*.w1", "layers.0.experts.0.w2"));
static_assert( matches("layers.*.block_sparse_moe2.w1", "layers.9.block_sparse_moe2.w1"));
static_assert( matches("layers.*.*.proj", "layers.0.1.proj"));
static_assert(!matches("layers.*.proj", "layers.0.1.proj"));
static_assert( matches("h2o.1x1", "h2o.1x1"));

// a rule may end in a parameter of a layer: then it names the layer
static_assert( names_layer("layers.*.mlp.down_proj", "layers.0.mlp.down_proj"));
static_assert( names_layer("layers.*.mlp.down_proj.weight", "layers.0.mlp.down_proj"));
static_assert( names_layer("layers.*.mlp.down_proj.bias", "layers.0.mlp.down_proj"));
static_assert( names_layer("layers.*.mlp.down_proj.weight_scale", "layers.0.mlp.down_proj"));
static_assert( names_layer("layers.*.mlp.down_proj.weight_scale_inv", "layers.*.mlp.down_proj"));
static_assert( names_layer("embed_tokens.weight", "embed_tokens"));
static_assert(!names_layer("layers.*.mlp.down_proj.weight", "layers.0.mlp.up_proj"));
static_assert(!names_layer("layers.*.mlp.down_proj.weigh", "layers.0.mlp.down_proj"));
static_assert(!names_layer("layers.*.mlp.down_proj.weight_scale_x", "layers.0.mlp.down_proj"));
static_assert(!names_layer("layers.*.mlp.down_proj.weight.weight", "layers.0.mlp.down_proj"));
static_assert(!names_layer("weight", ""));
static_assert( names_layer("layers.*.mlp.weight", "layers.0.mlp.weight"));      // a layer that is called so

// an optional pattern: a leading question mark, not part of the name
static_assert( sp::is_optional("?layers.*.mlp.gate_proj"));
static_assert(!sp::is_optional("layers.*.mlp.gate_proj"));
static_assert(!sp::is_optional(""));
static_assert(sp::required_part("?mlp") == "mlp");
static_assert(sp::required_part("mlp") == "mlp");
static_assert( matches("?layers.*.mlp.gate_proj", "layers.0.mlp.gate_proj"));
static_assert(!matches("?layers.*.mlp.gate_proj", "layers.0.mlp.up_proj"));
static_assert( names_layer("?lm_head.weight", "lm_head"));

// malformed patterns, and where
static_assert(sp::fault_in("layers.*.mlp.down_proj") == -1);
static_assert(sp::fault_in("?layers.*.mlp.down_proj") == -1);
static_assert(sp::fault_in("fc1") == -1);
static_assert(sp::fault_in("w-1_x") == -1);
static_assert(sp::fault_in("*") == -1);
static_assert(sp::fault_in("layers.0.mlp") == -1);
static_assert(sp::fault_in("") == 0);
static_assert(sp::fault_in("?") == 1);
static_assert(sp::fault_in(".mlp") == 0);
static_assert(sp::fault_in("mlp.") == 4);
static_assert(sp::fault_in("layers.*..q_proj") == 9);
static_assert(sp::fault_in("layers.**.q_proj") == 7);
static_assert(sp::fault_in("layers.*.exp*.w1") == 12);
static_assert(sp::fault_in("layers.*x.q_proj") == 7);
static_assert(sp::fault_in("layers.q_proj?") == 13);
static_assert(sp::fault_in("layers .q_proj") == 6);
static_assert(sp::fault_in("layers.*.q_(a|b)") == 11);
static_assert(sp::fault_in("layers\\.0") == 6);
static_assert(sp::fault_in("?layers.*.exp*.w1") == 13);

// layer numbers, which a constexpr plan may not name
static_assert(sp::number_in("layers.0.mlp") == 7);
static_assert(sp::number_in("layers.*.experts.12.w1") == 17);
static_assert(sp::number_in("3.mlp") == 0);
static_assert(sp::number_in("layers.*.mlp") == -1);
static_assert(sp::number_in("layers.*.fc1") == -1);
static_assert(sp::number_in("layers.1a") == -1);
static_assert(sp::number_in("") == -1);
// every letter, digit, "_" and "-" is part of a name, and their neighbours in ASCII are not
constexpr bool only_these_are_names() {
  for (int c = 0; c < 128; ++c) {
    const bool name = (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c == 95 || c == 45;
    if (sp::detail::is_name_char(char(c)) != name) return false;
  }
  return true;
}
static_assert(only_these_are_names());

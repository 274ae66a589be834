#pragma once
/// @file
/// Rotary positions in config.json: rope_theta and rope_scaling of older checkpoints, rope_parameters of newer ones.
///
///     const sp::families::rotaries r = sp::families::read_rope(in, {.head_dim = 128, .max_positions = 32768});
///     attention.rotary = sliding ? r.sliding : r.full;                     // one and the same, unless the file tells them apart
///
/// Keys, defaults and precedence as transformers 5.23 has them: rope_scaling goes before rope_parameters; an entry inside goes before
/// the same key beside it, but original_max_position_embeddings beside it goes before the one inside.
#include <shardproof/families/fields.hpp>
#include <shardproof/families/kept.hpp>
#include <shardproof/tensor/ops/rope_frequencies.hpp>
namespace shardproof::families {

struct rope_facts {
  long head_dim = 0;
  long max_positions = 0;                                            ///< max_position_embeddings
  double default_theta = 10000;
  double default_partial = 1;                                        ///< partial_rotary_factor where the file is silent
  bool may_be_partial = false;                                       ///< does the family know heads of which only a part turns?
  bool older_longrope = false;                                       ///< phi3: "su" and "yarn" of older files are longrope
  long trained_positions = 0;                                        ///< phi3: original_max_position_embeddings where the file is silent; 0: max_positions
  const char *theta_key = "rope_theta", *partial_key = "partial_rotary_factor";                        ///< beside the rope object
};
struct rotaries {
  rotary full, sliding;
};

namespace detail {

inline constexpr const char* other_type = "read by another rope_type";
inline constexpr harmless_key harmless_rope_keys[] = {
    {"factor", other_type},         {"original_max_position_embeddings", other_type}, {"low_freq_factor", other_type}, {"high_freq_factor", other_type},
    {"beta_fast", other_type},      {"beta_slow", other_type},                        {"mscale", other_type},          {"mscale_all_dim", other_type},
    {"truncate", other_type},       {"attention_factor", other_type},                 {"short_factor", other_type},    {"long_factor", other_type},
    {"finetuned", "says where the file comes from"},
};

/// What stands beside the rope object.
struct beside {
  std::optional<double> theta, partial;
  std::optional<long> original_length;
  bool type_is_unread = false;                                       ///< gemma3's rope_scaling: rope_type alone is read there
};

inline double positive(fields& r, const char* key, double x) {
  if (!(x > 0)) r.refuse(key, "it must be positive", "correct the value");
  return x;
}
inline double factor_of(fields& r) { return positive(r, "factor", r.number("factor")); }

/// longrope: one number per pair of features that turns together.
inline const double* stretches(fields& r, const char* key, long pairs) {
  auto list = r.maybe_numbers(key);
  if (!list) r.refuse(key, "rope_type longrope needs it", "give one number for each pair of a head's features");
  if (long(list->size()) != pairs)
    r.refuse(key, "it has " + std::to_string(list->size()) + " numbers and must have " + std::to_string(pairs) + ", one for each pair of a head's features", "correct the list, or head_dim");
  for (double x : *list) positive(r, key, x);
  return kept(std::move(*list))->data();
}

inline rope_type type_named(fields& r, const std::string& name, bool older_longrope) {
  if (older_longrope && (name == "su" || name == "yarn")) return rope_type::longrope;
  if (name == "default") return rope_type::standard;
  if (name == "linear") return rope_type::linear;
  if (name == "dynamic") return rope_type::dynamic_ntk;
  if (name == "llama3") return rope_type::llama3;
  if (name == "yarn") return rope_type::yarn;
  if (name == "longrope") return rope_type::longrope;
  r.unsupported(r.has("rope_type") ? "rope_type" : "type", "no such variant is known", "use default, linear, dynamic, llama3, yarn or longrope");
}

/// One rope object inside `in`. `flat`: it is not one of several by kind of layer.
inline rotary read_one_rope(fields& in, fields& r, const beside& b, const rope_facts& f, bool flat, std::span<const std::string> allowed) {
  rotary out;
  const auto owner = [&](const char* key) -> fields& { return r.has(key) ? r : in; };
  const auto newer = r.maybe_text("rope_type"), older = r.maybe_text("type");
  out.type = type_named(r, newer ? *newer : older && !b.type_is_unread ? *older : "default", f.older_longrope);
  out.base = positive(owner("rope_theta"), "rope_theta", r.maybe_number("rope_theta").value_or(b.theta.value_or(f.default_theta)));

  out.partial = r.maybe_number("partial_rotary_factor").value_or(b.partial.value_or(f.default_partial));
  if (!(out.partial > 0 && out.partial <= 1)) owner("partial_rotary_factor").refuse("partial_rotary_factor", "it must lie above 0 and not above 1", "correct the value");
  if (out.partial != 1 && !f.may_be_partial) owner("partial_rotary_factor").unsupported("partial_rotary_factor", "whole heads turn in this family", "set it to 1, or remove it");
  const long turned = rotated_features(out, f.head_dim);

  const auto inside = r.maybe_integer("original_max_position_embeddings", 2);
  const long trained = flat && b.original_length ? *b.original_length : inside.value_or(f.max_positions);
  const auto stretch = [&] {                                         // yarn and longrope: the ratio of lengths, where no factor is given
    const auto x = r.maybe_number("factor");
    return x ? positive(r, "factor", *x) : double(f.max_positions) / double(trained);
  };
  const auto attention_factor = [&] {
    const auto x = r.maybe_number("attention_factor");
    return x ? positive(r, "attention_factor", *x) : 0;
  };
  out.mscale_all_dim = r.maybe_number("mscale_all_dim").value_or(0);   // yarn's, but latent attention reads it beside the others too
  switch (out.type) {
    case rope_type::standard:
      if (!newer && !older && r.maybe_number("factor").value_or(1) != 1) r.refuse("factor", "no rope_type says how to stretch by it", "add rope_type (linear, dynamic, llama3, yarn or longrope), or remove the factor");
      break;
    case rope_type::linear: out.factor = factor_of(r); break;
    case rope_type::dynamic_ntk:
      out.factor = factor_of(r);
      out.original_length = f.max_positions;
      if (turned < 4) r.refuse("rope_type", "dynamic needs heads of at least 4 features that turn", "use linear, or larger heads");
      break;
    case rope_type::llama3:
      out.factor = factor_of(r);
      out.low_freq = positive(r, "low_freq_factor", r.number("low_freq_factor"));
      out.high_freq = positive(r, "high_freq_factor", r.number("high_freq_factor"));
      if (out.high_freq <= out.low_freq) r.refuse("high_freq_factor", "it must be above low_freq_factor", "correct the two");
      out.original_length = trained;
      break;
    case rope_type::yarn:
      if (!(out.base > 1)) owner("rope_theta").refuse("rope_theta", "yarn needs it above 1", "correct the value");
      out.factor = stretch();
      out.original_length = trained;
      if (const auto x = r.maybe_number("beta_fast"); x && *x != 0) out.beta_fast = positive(r, "beta_fast", *x);       // 0 is read as unset
      if (const auto x = r.maybe_number("beta_slow"); x && *x != 0) out.beta_slow = positive(r, "beta_slow", *x);
      out.mscale = r.maybe_number("mscale").value_or(0);
      out.truncate = r.maybe_boolean("truncate").value_or(true) || !flat;                                               // transformers does not look for it inside a kind
      out.attention_factor = attention_factor();
      break;
    case rope_type::longrope:
      out.factor = stretch();
      out.original_length = trained;
      out.short_factor = stretches(r, "short_factor", turned / 2);
      out.long_factor = stretches(r, "long_factor", turned / 2);
      out.attention_factor = attention_factor();
      break;
  }
  r.finish(harmless_rope_keys, allowed);
  return out;
}

/// A rope object as a whole: flat, or one entry for each kind of layer.
inline rotaries read_rope_object(fields& in, fields& r, const beside& b, const rope_facts& f, std::span<const std::string> allowed) {
  const bool by_kind = r.given("full_attention") || r.given("sliding_attention");
  if (!by_kind) {
    const rotary one = read_one_rope(in, r, b, f, true, allowed);
    return {one, one};
  }
  const auto entry = [&](const char* kind) -> std::optional<rotary> {
    if (!r.given(kind)) return {};
    auto inner = r.maybe_object(kind);
    if (!inner) r.unsupported(kind, "layers without positions are not known in this family", "give these layers a rope_type");
    return read_one_rope(in, *inner, b, f, false, allowed);
  };
  const auto full = entry("full_attention"), sliding = entry("sliding_attention");
  r.finish({}, allowed);
  return {full ? *full : *sliding, sliding ? *sliding : *full};
}

}  // namespace detail

/// @error SP604 a value is missing, out of range or contradicts another; SP606 an unknown variant; SP607 an unknown key inside.
inline rotaries read_rope(fields& in, const rope_facts& f, std::span<const std::string> allowed = {}) {
  detail::beside b;
  b.theta = in.maybe_number(f.theta_key);
  b.partial = in.maybe_number(f.partial_key);
  b.original_length = in.maybe_integer("original_max_position_embeddings", 2);
  if (!b.original_length && f.trained_positions) b.original_length = f.trained_positions;
  std::optional<rotaries> found;
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    auto r = in.maybe_object(key);
    if (!r || r->keys().empty()) continue;
    const rotaries one = detail::read_rope_object(in, *r, b, f, allowed);
    if (found && !(found->full == one.full && found->sliding == one.sliding))
      in.refuse(key, "it says something else than rope_scaling", "keep one of the two");
    found = one;
  }
  if (found) return *found;
  fields empty(in, "rope_parameters", json::value("{}", 0));
  const rotary plain = detail::read_one_rope(in, empty, b, f, true, allowed);
  return {plain, plain};
}

/// gemma3: one entry for each kind of layer, each with a base of its own. Older files have rope_theta and rope_scaling for the full
/// layers and rope_local_base_freq for the sliding ones.
inline rotaries read_rope_by_kind(fields& in, rope_facts f, double sliding_theta, std::span<const std::string> allowed = {}) {
  detail::beside full, sliding;
  full.theta = in.maybe_number("rope_theta");
  sliding.theta = in.maybe_number("rope_local_base_freq");
  auto by_kind = in.maybe_object("rope_parameters"), scaling = in.maybe_object("rope_scaling");
  fields empty(in, "rope_parameters", json::value("{}", 0));
  const auto entry = [&](const char* kind) -> std::optional<fields> {
    if (!by_kind) return {};
    return by_kind->maybe_object(kind);
  };
  auto for_full = entry("full_attention"), for_sliding = entry("sliding_attention");
  if (scaling && !scaling->keys().empty()) {
    if (for_full) in.refuse("rope_scaling", "rope_parameters has an entry for the full layers too", "keep one of the two");
    for_full = scaling;
    full.type_is_unread = true;
  }
  if (by_kind) by_kind->finish({}, allowed);
  rotaries out;
  out.full = detail::read_one_rope(in, for_full ? *for_full : empty, full, f, false, allowed);
  f.default_theta = sliding_theta;
  out.sliding = detail::read_one_rope(in, for_sliding ? *for_sliding : empty, sliding, f, false, allowed);
  return out;
}

}  // namespace shardproof::families

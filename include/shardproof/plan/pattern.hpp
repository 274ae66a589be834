#pragma once
/// @file
/// The one matcher of plans: whole paths, segment by segment; "*" stands alone for one layer number. Nothing else is special.
///
///     static_assert( sp::matches("layers.*.mlp.down_proj", "layers.11.mlp.down_proj"));
///     static_assert(!sp::matches("layers.*.mlp.down_proj", "layers.11.mlp.down_proj.weight_scale_x"));
///     static_assert(sp::fault_in("layers.*..q_proj") == 9);                              // the position of the empty segment
#include <string_view>
namespace shardproof {

namespace detail {
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_name_char(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-'; }
constexpr std::size_t segment_end(std::string_view s, std::size_t i) { while (i < s.size() && s[i] != '.') ++i; return i; }
}  // namespace detail

/// Without the '?' that marks an optional pattern.
constexpr std::string_view required_part(std::string_view p) { return !p.empty() && p[0] == '?' ? p.substr(1) : p; }
constexpr bool is_optional(std::string_view p) { return !p.empty() && p[0] == '?'; }

/// Where a pattern is malformed; -1 if it is well formed. Names are letters, digits, '_' and '-'; "*" stands alone.
constexpr int fault_in(std::string_view p) {
  const int skipped = is_optional(p) ? 1 : 0;
  p = required_part(p);
  if (p.empty()) return skipped;
  for (std::size_t i = 0; i <= p.size();) {
    const std::size_t end = detail::segment_end(p, i);
    if (end == i) return skipped + int(i);
    if (!(end - i == 1 && p[i] == '*'))
      for (std::size_t k = i; k < end; ++k) if (!detail::is_name_char(p[k])) return skipped + int(k);
    i = end + 1;
  }
  return -1;
}
/// Where a pattern names one layer of a stack by its number; -1 if nowhere. Legal in run-time plans only.
constexpr int number_in(std::string_view p) {
  for (std::size_t i = 0; i < p.size();) {
    const std::size_t end = detail::segment_end(p, i);
    bool digits = end > i;
    for (std::size_t k = i; k < end; ++k) digits = digits && detail::is_digit(p[k]);
    if (digits) return int(i);
    i = end + 1;
  }
  return -1;
}

/// Does the pattern match the whole path? "*" matches one segment of digits, or the "*" that stands for all layers of a stack.
constexpr bool matches(std::string_view p, std::string_view path) {
  p = required_part(p);
  std::size_t i = 0, j = 0;
  while (true) {
    const std::size_t a = detail::segment_end(p, i), b = detail::segment_end(path, j);
    if (a - i == 1 && p[i] == '*') {
      bool number = b > j;
      for (std::size_t k = j; k < b; ++k) number = number && detail::is_digit(path[k]);
      if (!number && !(b - j == 1 && path[j] == '*')) return false;
    } else {
      if (a - i != b - j) return false;
      for (std::size_t k = 0; k < a - i; ++k) if (p[i + k] != path[j + k]) return false;
    }
    if (a == p.size() || b == path.size()) return a == p.size() && b == path.size();
    i = a + 1;
    j = b + 1;
  }
}
/// The same where the pattern may also end in one of the layer's parameters (weight, bias, a scale): then it names the layer.
constexpr bool names_layer(std::string_view p, std::string_view path) {
  if (matches(p, path)) return true;
  std::size_t dot = p.size();
  while (dot > 0 && p[dot - 1] != '.') --dot;
  if (dot < 2) return false;
  const std::string_view last = p.substr(dot);
  for (std::string_view parameter : {"weight", "bias", "scale", "scales", "weight_scale", "weight_scale_inv", "input_scale"})
    if (last == parameter) return matches(p.substr(0, dot - 1), path);
  return false;
}

}  // namespace shardproof

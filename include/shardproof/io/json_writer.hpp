#pragma once
/// @file
/// JSON text, piece by piece: strings and numbers as other programs expect them.
///
///     std::string out;
///     sp::io::append_quoted(out, "two\nlines");                // "two\nlines" in quotes, escaped
///     sp::io::append_number(out, 1e-6);                        // 1e-06, as Python writes it
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <shardproof/core/json.hpp>
namespace shardproof::io {

enum class json_letters : unsigned char {
  utf8,                         ///< other letters as they are
  ascii                         ///< other letters as \uXXXX, as Python's json writes them
};

inline bool is_utf8(std::string_view text) {
  json::detail::scanner s{text};
  while (s.i < text.size() && !s.wrong) {
    if (static_cast<unsigned char>(text[s.i]) < 0x80) ++s.i;
    else s.utf8();
  }
  return !s.wrong;
}

/// Appends `text` in quotes. Bytes that are not UTF-8 become U+FFFD, so that the result is always JSON.
inline void append_quoted(std::string& out, std::string_view text, json_letters letters = json_letters::utf8) {
  const auto unit = [&](unsigned u) {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += "0123456789abcdef"[u >> shift & 15];
  };
  out += '"';
  json::detail::scanner s{text};
  while (s.i < text.size()) {
    const char c = text[s.i];
    if (static_cast<unsigned char>(c) < 0x80) {
      ++s.i;
      switch (c) {
        case '"': out += "\\\""; break;
        case '\\': out += "\\\\"; break;
        case '\b': out += "\\b"; break;
        case '\f': out += "\\f"; break;
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        default:
          if (c < 0x20 || (c == 0x7f && letters == json_letters::ascii)) unit(static_cast<unsigned>(c));
          else out += c;
      }
      continue;
    }
    const std::size_t begin = s.i;
    s.utf8();
    if (s.wrong) {
      s.wrong = {};
      s.i = begin + 1;
      out += "\\ufffd";
      continue;
    }
    const std::string_view bytes = text.substr(begin, s.i - begin);
    if (letters == json_letters::utf8) { out += bytes; continue; }
    unsigned point = static_cast<unsigned char>(bytes[0]) & (0xffu >> (bytes.size() + 1));
    for (const char b : bytes.substr(1)) point = point << 6 | (static_cast<unsigned char>(b) & 0x3fu);
    if (point < 0x10000) unit(point);
    else {
      unit(0xd800 + ((point - 0x10000) >> 10));
      unit(0xdc00 + ((point - 0x10000) & 0x3ff));
    }
  }
  out += '"';
}
inline std::string quoted(std::string_view text, json_letters letters = json_letters::utf8) {
  std::string out;
  append_quoted(out, text, letters);
  return out;
}

/// The shortest digits that read back as `x`, laid out as Python's repr does (10000.0, 1e-06), so that a number that was
/// fractional stays so; null for NaN and infinities, which JSON does not have.
inline void append_number(std::string& out, double x) {
  if (!std::isfinite(x)) { out += "null"; return; }
  char text[40];
  const double size = std::fabs(x);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto layout = plain ? std::chars_format::fixed : std::chars_format::scientific;
  const char* const end = std::to_chars(text, text + sizeof text, x, layout).ptr;
  const std::string_view digits(text, static_cast<std::size_t>(end - text));
  out += digits;
  if (plain && digits.find('.') == std::string_view::npos) out += ".0";
}
inline void append_number(std::string& out, std::int64_t n) { out += std::to_string(n); }

}  // namespace shardproof::io

#pragma once
/// @file
/// One reader of JSON for plans (while compiling) and for files (while running): views into the text.
///
///     constexpr sp::json::document d = sp::json::read(R"({"layers.*.mlp.up_proj": "colwise"})");
///     static_assert(!d.wrong && d.root.find("layers.*.mlp.up_proj").as_string() == "colwise");
///     sp::json::each_member(d.root, [](sp::json::string key, sp::json::value v) { /* in the order of the text */ });
///
/// RFC 8259 to the letter: UTF-8 checked, one document, no byte-order mark, at most 64 levels. Errors are values. Every
/// function is linear in the text it reads. Loops over characters are written out, on plain pointers: string_view::find is
/// not constant under g++ -fsanitize, and compilers limit the steps (clang) and the calls (nvcc) of a constant evaluation.
#include <cstddef>
#include <cstdint>
#include <string_view>
namespace shardproof::json {

/// What is wrong with a text, and at which byte; false if nothing is.
struct fault {
  const char* what = nullptr;
  std::size_t at = 0;
  constexpr explicit operator bool() const { return what != nullptr; }
};

/// A value, or why there is none.
template <class T> struct parsed {
  T value{};
  fault wrong{};
};

enum class kind : unsigned char { absent, null, boolean, number, string, array, object };

/// Containers may be nested this deep.
inline constexpr int max_depth = 64;

namespace detail {

constexpr bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr std::size_t space(std::string_view t, std::size_t i) {
  const char* const p = t.data();
  const std::size_t n = t.size();
  while (i < n && (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t')) ++i;
  return i;
}
/// The value of the four hexadecimal digits at `i`, or -1.
constexpr long hex4(std::string_view t, std::size_t i) {
  long unit = 0;
  for (std::size_t k = i; k < i + 4; ++k) {
    const char c = k < t.size() ? t[k] : '\0';
    const int digit = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

/// Walks an unchecked text; stops at the first fault.
struct scanner {
  std::string_view t;
  std::size_t i = 0;
  fault wrong{};

  constexpr char peek(std::size_t ahead = 0) const { return i + ahead < t.size() ? t[i + ahead] : '\0'; }
  constexpr void skip_space() { i = space(t, i); }
  constexpr void fail(const char* what) {
    if (!wrong) wrong = {i < t.size() ? what : "the text ends too early", i};
  }

  /// One character of two or more bytes: no overlong form, no surrogate, nothing above U+10FFFF (RFC 3629).
  constexpr void utf8() {
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(peek(k)); };
    const unsigned char a = byte(0);
    const std::size_t more = a >= 0xc2 && a <= 0xdf ? 1 : a >= 0xe0 && a <= 0xef ? 2 : a >= 0xf0 && a <= 0xf4 ? 3 : 0;
    const unsigned low = a == 0xe0 ? 0xa0 : a == 0xf0 ? 0x90 : 0x80, high = a == 0xed ? 0x9f : a == 0xf4 ? 0x8f : 0xbf;
    bool good = more > 0 && byte(1) >= low && byte(1) <= high;
    for (std::size_t k = 2; k <= more; ++k) good = good && (byte(k) & 0xc0) == 0x80;
    if (!good) return fail("not UTF-8");
    i += 1 + more;
  }
  constexpr void escape() {
    switch (peek(1)) {
      case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't': i += 2; return;
      case 'u': break;
      default: return fail("an unknown escape");
    }
    const long unit = hex4(t, i + 2);
    if (unit < 0) return fail("\\u without four hexadecimal digits");
    if (unit < 0xd800 || unit > 0xdfff) { i += 6; return; }
    const long low = unit < 0xdc00 && peek(6) == '\\' && peek(7) == 'u' ? hex4(t, i + 8) : -1;
    if (low < 0xdc00 || low > 0xdfff) return fail("half of a surrogate pair");
    i += 12;
  }
  /// From the opening quote to behind the closing one.
  constexpr void string() {
    ++i;
    while (!wrong) {
      const char* const p = t.data();
      const std::size_t n = t.size();
      std::size_t k = i;
      while (k < n && p[k] >= 0x20 && p[k] < 0x7f && p[k] != '"' && p[k] != '\\') ++k;
      i = k;
      const unsigned char c = static_cast<unsigned char>(peek());
      if (i >= t.size()) return fail("");
      if (c == '"') { ++i; return; }
      if (c == '\\') escape();
      else if (c < 0x20) fail("a control character in a string");
      else if (c == 0x7f) ++i;
      else utf8();
    }
  }
  constexpr void digits() {
    if (!is_digit(peek())) return fail("a digit is missing in a number");
    while (is_digit(peek())) ++i;
  }
  constexpr void number() {
    if (peek() == '-') ++i;
    if (peek() == '0' && is_digit(peek(1))) return fail("a number begins with 0");
    digits();
    if (peek() == '.') { ++i; digits(); }
    if (peek() == 'e' || peek() == 'E') {
      ++i;
      if (peek() == '+' || peek() == '-') ++i;
      digits();
    }
  }
  constexpr void word(std::string_view w) {
    for (std::size_t k = 0; k < w.size(); ++k)
      if (peek(k) != w[k]) return fail("an unknown word");
    i += w.size();
  }
  constexpr void scalar() {
    switch (const char c = peek()) {
      case '"': return string();
      case 't': return word("true");
      case 'f': return word("false");
      case 'n': return word("null");
      case '\xef': return fail(i == 0 ? "a byte-order mark" : "a value is expected");
      default: return c == '-' || is_digit(c) ? number() : fail("a value is expected");
    }
  }
  /// A name and its colon.
  constexpr void key() {
    if (peek() != '"') return fail("a name in quotes is expected");
    string();
    skip_space();
    if (!wrong && peek() != ':') return fail("':' is expected");
    ++i;
    skip_space();
  }
  /// The whole text; not recursive: bit k of `objects` says whether the container k levels up is an object.
  constexpr fault document() {
    std::uint64_t objects = 0;
    int depth = 0;
    skip_space();
    while (!wrong) {
      if (peek() == '{' || peek() == '[') {
        const bool is_object = peek() == '{';
        if (depth == max_depth) { fail("nested deeper than 64 levels"); break; }
        ++depth;
        objects = objects << 1 | std::uint64_t(is_object);
        ++i;
        skip_space();
        if (peek() != (is_object ? '}' : ']')) {
          if (is_object) key();
          continue;
        }
      } else {
        scalar();
        skip_space();
      }
      for (bool ended = true; ended && !wrong;) {        // behind a value: close, go on, or end
        const bool is_object = objects & 1;
        if (depth == 0) {
          if (i < t.size()) fail("text behind the end of the document");
          return wrong;
        }
        if (peek() == (is_object ? '}' : ']')) {
          --depth;
          objects >>= 1;
          ++i;
          skip_space();
        } else if (peek() == ',') {
          ended = false;
          ++i;
          skip_space();
          if (is_object) key();
        } else fail(is_object ? "',' or '}' is expected" : "',' or ']' is expected");
      }
    }
    return wrong;
  }
};

/// Behind the string that opens at `i`, in checked text; `plain` becomes false at a backslash.
constexpr std::size_t skip_string(std::string_view t, std::size_t i, bool& plain) {
  const char* const p = t.data();
  for (++i;; i += 2) {
    while (p[i] != '"' && p[i] != '\\') ++i;
    if (p[i] == '"') return i + 1;
    plain = false;
  }
}
/// Behind the value that begins at `i`, in checked text.
constexpr std::size_t skip_value(std::string_view t, std::size_t i) {
  const char* const p = t.data();
  const std::size_t n = t.size();
  bool plain = true;
  if (p[i] == '"') return skip_string(t, i, plain);
  if (p[i] != '{' && p[i] != '[') {
    while (i < n && p[i] != ',' && p[i] != '}' && p[i] != ']' && !is_space(p[i])) ++i;
    return i;
  }
  for (int depth = 0;;) {
    const char c = p[i];
    if (c == '"') { i = skip_string(t, i, plain); continue; }
    ++i;
    if (c == '{' || c == '[') ++depth;
    else if ((c == '}' || c == ']') && --depth == 0) return i;
  }
}

}  // namespace detail

/// The first fault of `text` against the grammar; names that occur twice are found by check_names.
constexpr fault check(std::string_view text) { return detail::scanner{text}.document(); }

/// A string or a name in checked text.
class string {
 public:
  constexpr string() = default;
  /// `raw`: between the quotes, escapes and all; `at`: the byte of the document at which it begins.
  constexpr string(std::string_view raw, std::size_t at, bool plain) : raw_(raw), at_(at), plain_(plain) {}
  constexpr std::string_view raw() const { return raw_; }
  constexpr std::size_t at() const { return at_; }
  /// No escapes: raw() is the string itself.
  constexpr bool plain() const { return plain_; }

  /// f(char) for each byte of the string in UTF-8; ends early when f returns false.
  template <class F> constexpr void each_byte(F&& f) const {
    const char* const p = raw_.data();
    const std::size_t n = raw_.size();
    for (std::size_t i = 0; i < n; ++i) {
      if (p[i] != '\\') {
        if (!f(p[i])) return;
        continue;
      }
      const char c = p[++i];
      if (c != 'u') {
        if (!f(c == 'b' ? '\b' : c == 'f' ? '\f' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c)) return;
        continue;
      }
      long point = detail::hex4(raw_, i + 1);
      i += 4;
      if (point >= 0xd800 && point <= 0xdfff) {
        point = 0x10000 + ((point - 0xd800) << 10) + (detail::hex4(raw_, i + 3) - 0xdc00);
        i += 6;
      }
      const int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
      const long mark = more == 0 ? 0 : more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0;
      if (!f(char(mark | point >> 6 * more))) return;
      for (int k = more - 1; k >= 0; --k)
        if (!f(char(0x80 | (point >> 6 * k & 0x3f)))) return;
    }
  }
  /// Writes the string to `out`, which has room for raw().size() bytes; returns how many it wrote.
  constexpr std::size_t unescape(char* out) const {
    std::size_t n = 0;
    each_byte([&](char c) { out[n++] = c; return true; });
    return n;
  }
  /// FNV-1a over the bytes of the string; equal strings have equal hashes, however they are escaped.
  constexpr std::uint64_t hash() const {
    constexpr std::uint64_t prime = 1099511628211u;
    std::uint64_t h = 14695981039346656037u;
    if (!plain_) {
      each_byte([&](char c) { h = (h ^ static_cast<unsigned char>(c)) * prime; return true; });
      return h;
    }
    const char* const p = raw_.data();
    const std::size_t n = raw_.size();
    for (std::size_t i = 0; i < n; ++i) h = (h ^ static_cast<unsigned char>(p[i])) * prime;
    return h;
  }
  friend constexpr bool operator==(const string& s, std::string_view text) {
    const char *const p = s.raw_.data(), *const q = text.data();
    const std::size_t size = text.size();
    std::size_t n = 0;
    if (s.plain_) {
      if (s.raw_.size() != size) return false;
      while (n < size && p[n] == q[n]) ++n;
      return n == size;
    }
    bool same = true;
    s.each_byte([&](char c) { return same = n < size && q[n++] == c; });
    return same && n == size;
  }

 private:
  std::string_view raw_;
  std::size_t at_ = 0;
  bool plain_ = true;
};

/// A value in checked text, or absent.
class value {
 public:
  constexpr value() = default;
  /// `text`: exactly the value's characters; `at`: the byte of the document at which they begin.
  constexpr value(std::string_view text, std::size_t at) : text_(text), at_(at) {}
  constexpr std::string_view text() const { return text_; }
  constexpr std::size_t at() const { return at_; }
  /// False for what find() did not find.
  constexpr explicit operator bool() const { return !text_.empty(); }
  constexpr json::kind kind() const {
    if (text_.empty()) return kind::absent;
    switch (text_[0]) {
      case '{': return kind::object;
      case '[': return kind::array;
      case '"': return kind::string;
      case 't': case 'f': return kind::boolean;
      case 'n': return kind::null;
      default: return kind::number;
    }
  }
  constexpr bool is(json::kind k) const { return kind() == k; }

  /// An object's member of this name, or absent.
  constexpr value find(std::string_view name) const;
  /// The string; empty for any other kind.
  constexpr json::string as_string() const {
    if (!is(kind::string)) return {};
    bool plain = true;
    const std::size_t end = detail::skip_string(text_, 0, plain);
    return {text_.substr(1, end - 2), at_ + 1, plain};
  }
  constexpr parsed<bool> as_bool() const {
    if (!is(kind::boolean)) return {false, {"true or false is expected", at_}};
    return {text_[0] == 't', {}};
  }
  /// Exact: 1.0 and 1e3 are not integers, 2^63 does not fit.
  constexpr parsed<std::int64_t> as_int() const {
    if (!is(kind::number)) return {0, {"an integer is expected", at_}};
    const bool negative = text_[0] == '-';
    const std::uint64_t limit = (std::uint64_t(1) << 63) - (negative ? 0u : 1u);
    std::uint64_t n = 0;
    for (std::size_t i = negative ? 1 : 0; i < text_.size(); ++i) {
      if (!detail::is_digit(text_[i])) return {0, {"an integer is expected", at_}};
      const unsigned digit = unsigned(text_[i] - '0');
      if (n > (limit - digit) / 10) return {0, {"an integer does not fit into 64 bits", at_}};
      n = n * 10 + digit;
    }
    return {negative ? (n ? -std::int64_t(n - 1) - 1 : 0) : std::int64_t(n), {}};
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

/// The value of a checked text.
constexpr value root(std::string_view text) {
  const std::size_t i = detail::space(text, 0);
  return {text.substr(i, detail::skip_value(text, i) - i), i};
}

/// f(string name, value v) for each member of an object, in the order of the text; ends early when f returns false.
template <class F> constexpr void each_member(value v, F&& f) {
  if (!v.is(kind::object)) return;
  const std::string_view t = v.text();
  for (std::size_t i = detail::space(t, 1); t[i] == '"';) {
    bool plain = true;
    const std::size_t behind = detail::skip_string(t, i, plain);
    const string name(t.substr(i + 1, behind - i - 2), v.at() + i + 1, plain);
    const std::size_t begin = detail::space(t, detail::space(t, behind) + 1), end = detail::skip_value(t, begin);
    const value member(t.substr(begin, end - begin), v.at() + begin);
    if constexpr (requires { bool(f(name, member)); }) {
      if (!f(name, member)) return;
    } else f(name, member);
    i = detail::space(t, end);
    if (t[i] == ',') i = detail::space(t, i + 1);
  }
}

/// f(value v) for each element of an array; ends early when f returns false.
template <class F> constexpr void each_element(value v, F&& f) {
  if (!v.is(kind::array)) return;
  const std::string_view t = v.text();
  for (std::size_t i = detail::space(t, 1); t[i] != ']';) {
    const std::size_t end = detail::skip_value(t, i);
    const value element(t.substr(i, end - i), v.at() + i);
    if constexpr (requires { bool(f(element)); }) {
      if (!f(element)) return;
    } else f(element);
    i = detail::space(t, end);
    if (t[i] == ',') i = detail::space(t, i + 1);
  }
}

/// Members of an object or elements of an array; 0 for any other kind.
constexpr std::size_t count(value v) {
  std::size_t n = 0;
  if (v.is(kind::object)) each_member(v, [&](const string&, value) { ++n; });
  else each_element(v, [&](value) { ++n; });
  return n;
}

constexpr value value::find(std::string_view name) const {
  value found;
  each_member(*this, [&](const string& key, value v) {
    if (!(key == name)) return true;
    found = v;
    return false;
  });
  return found;
}

namespace detail {
/// Whether two strings are equal once their escapes are resolved.
constexpr bool equal(const string& a, const string& b) {
  if (a.plain()) return b == a.raw();
  if (b.plain()) return a == b.raw();
  char* const bytes = new char[a.raw().size()];
  const bool same = b == std::string_view(bytes, a.unescape(bytes));
  delete[] bytes;
  return same;
}
}  // namespace detail

/// The second of two equal names in one object, anywhere below `v`. A hash table per object: linear.
constexpr fault check_names(value v) {
  struct slot { std::uint64_t hash; std::size_t begin; };                 // begin of the name in v.text(), never 0
  fault wrong;
  if (v.is(kind::array)) {
    each_element(v, [&](value e) { return !(wrong = check_names(e)); });
    return wrong;
  }
  if (!v.is(kind::object)) return wrong;
  std::size_t slots = 32, used = 0;
  slot* table = new slot[slots]{};
  const auto free_slot = [&](slot* in, std::size_t k) {
    for (k &= slots - 1; in[k].begin; k = (k + 1) & (slots - 1)) {}
    return k;
  };
  each_member(v, [&](const string& name, value member) {
    const std::uint64_t h = name.hash();
    const std::size_t home = std::size_t(h ^ h >> 32);
    for (std::size_t k = home & (slots - 1); table[k].begin; k = (k + 1) & (slots - 1)) {
      if (table[k].hash != h) continue;
      const std::size_t begin = table[k].begin;
      bool plain = true;
      const std::size_t end = detail::skip_string(v.text(), begin - 1, plain) - 1;
      if (detail::equal(name, {v.text().substr(begin, end - begin), 0, plain})) wrong = {"a name occurs twice", name.at()};
    }
    if (!wrong && (member.is(kind::object) || member.is(kind::array))) wrong = check_names(member);
    if (wrong) return false;
    if (++used * 2 > slots) {
      slot* const old = table;
      slots *= 2;
      table = new slot[slots]{};
      for (std::size_t k = 0; k < slots / 2; ++k)
        if (old[k].begin) table[free_slot(table, std::size_t(old[k].hash ^ old[k].hash >> 32))] = old[k];
      delete[] old;
    }
    table[free_slot(table, home)] = {h, name.at() - v.at()};
    return true;
  });
  delete[] table;
  return wrong;
}

/// A checked text: `root` is absent if something is wrong.
struct document {
  value root;
  fault wrong;
};

/// Grammar and names.
constexpr document read(std::string_view text) {
  if (const fault f = check(text)) return {{}, f};
  const value v = root(text);
  if (const fault f = check_names(v)) return {{}, f};
  return {v, {}};
}

/// Line and column of a byte, both counted from 1, for messages about files that people write.
struct place {
  std::size_t line = 1, column = 1;
};
constexpr place where(std::string_view text, std::size_t at) {
  place p;
  for (std::size_t i = 0; i < at && i < text.size(); ++i) {
    if (text[i] == '\n') p = {p.line + 1, 1};
    else ++p.column;
  }
  return p;
}

}  // namespace shardproof::json

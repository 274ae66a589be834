#pragma once
/// @file
/// A JSON document that can be changed: configurations are read, edited and written back without losing what is unknown.
///
///     sp::io::json_tree config = sp::io::read_json("config.json");          // SP604 if it is not JSON, SP608 if unreadable
///     std::optional<std::int64_t> n = config.find("vocab_size")->as_int();
///     config.set("dtype", "bfloat16");
///     sp::io::write_text("config.json", config.pretty());                   // as transformers writes it
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>
#include <shardproof/core/error.hpp>
#include <shardproof/core/json.hpp>
#include <shardproof/io/json_writer.hpp>
#include <shardproof/io/mapped_file.hpp>
namespace shardproof::io {

/// A value that owns its parts. Objects keep the order of their members, numbers the spelling of the text.
class json_tree {
 public:
  json_tree() = default;                                       ///< null
  json_tree(std::nullptr_t) {}
  json_tree(bool b) : kind_(json::kind::boolean), text_(b ? "true" : "false") {}
  template <class N> requires(std::is_arithmetic_v<N> && !std::is_same_v<N, bool>)
  json_tree(N n) : kind_(json::kind::number) {                 ///< null for NaN and infinities, which JSON does not have
    if constexpr (std::is_integral_v<N>) text_ = std::to_string(n);
    else append_number(text_, static_cast<double>(n));
    if (text_ == "null") *this = json_tree();
  }
  json_tree(std::string s) : kind_(json::kind::string), text_(std::move(s)) {}
  json_tree(std::string_view s) : json_tree(std::string(s)) {}
  json_tree(const char* s) : json_tree(std::string(s)) {}
  static json_tree object() { return json_tree(json::kind::object); }
  static json_tree array() { return json_tree(json::kind::array); }
  /// Reads a whole document; names that occur twice are faults too.
  static json::parsed<json_tree> parse(std::string_view text) {
    json::parsed<json_tree> result;
    result.wrong = json::check(text);
    if (!result.wrong) result.value.read(json::root(text), result.wrong);
    if (result.wrong) result.value = json_tree();
    return result;
  }

  json::kind kind() const { return kind_; }
  bool is_null() const { return kind_ == json::kind::null; }
  bool is_object() const { return kind_ == json::kind::object; }
  bool is_array() const { return kind_ == json::kind::array; }
  bool is_string() const { return kind_ == json::kind::string; }
  bool is_number() const { return kind_ == json::kind::number; }
  bool is_bool() const { return kind_ == json::kind::boolean; }
  friend bool operator==(const json_tree&, const json_tree&) = default;    ///< 1 and 1.0 differ, and so does another order

  // Each empty for a value of another kind.
  std::optional<bool> as_bool() const { return is_bool() ? std::optional(text_ == "true") : std::nullopt; }
  /// Exact: empty for 1.0, and for what 64 bits do not hold.
  std::optional<std::int64_t> as_int() const {
    if (!is_number()) return std::nullopt;
    const json::parsed<std::int64_t> n = json::value(text_, 0).as_int();
    return n.wrong ? std::nullopt : std::optional(n.value);
  }
  /// Correctly rounded; integers too; empty outside the range of double.
  std::optional<double> as_double() const {
    double x = 0;
    if (!is_number() || std::from_chars(text_.data(), text_.data() + text_.size(), x).ec != std::errc()) return std::nullopt;
    return x;
  }
  std::optional<std::string_view> as_string() const {
    return is_string() ? std::optional<std::string_view>(text_) : std::nullopt;
  }
  /// A number as it is spelt, true, false, null, or a string without quotes; for messages.
  std::string_view spelling() const {
    if (is_object()) return "an object";
    if (is_array()) return "an array";
    if (is_null()) return "null";
    return text_;
  }

  /// Members or elements.
  std::size_t size() const { return items_.size(); }
  /// Elements of an array, or the members' values, in order.
  const std::vector<json_tree>& items() const { return items_; }
  /// The members' names, in order; empty for an array.
  const std::vector<std::string>& names() const { return names_; }
  const json_tree& operator[](std::size_t k) const { return items_[k]; }
  json_tree& operator[](std::size_t k) { return items_[k]; }
  /// An object's member, or nullptr. Linear: look a large object's members up through names() and items().
  const json_tree* find(std::string_view name) const {
    for (std::size_t k = 0; k < names_.size(); ++k)
      if (names_[k] == name) return &items_[k];
    return nullptr;
  }
  json_tree* find(std::string_view name) { return const_cast<json_tree*>(std::as_const(*this).find(name)); }
  /// Replaces a member where it stands, or adds one at the end; whatever else this was, it becomes an object.
  json_tree& set(std::string_view name, json_tree v) {
    if (!is_object()) *this = object();
    if (json_tree* old = find(name)) return *old = std::move(v);
    names_.emplace_back(name);
    return items_.emplace_back(std::move(v));
  }
  /// Adds an element; whatever else this was, it becomes an array.
  json_tree& push(json_tree v) {
    if (!is_array()) *this = array();
    return items_.emplace_back(std::move(v));
  }
  /// Whether there was such a member.
  bool erase(std::string_view name) {
    const auto at = std::find(names_.begin(), names_.end(), name);
    if (at == names_.end()) return false;
    items_.erase(items_.begin() + (at - names_.begin()));
    names_.erase(at);
    return true;
  }

  /// On one line, other letters as UTF-8: for --json.
  std::string compact() const {
    std::string out;
    write(out, -1, json_letters::utf8);
    return out;
  }
  /// Indented by two and ended by a newline, other letters escaped: byte for byte what transformers writes.
  std::string pretty() const {
    std::string out;
    write(out, 0, json_letters::ascii);
    return out + '\n';
  }

 private:
  explicit json_tree(json::kind k) : kind_(k) {}

  // At most json::max_depth calls deep: the text has been checked.
  void read(json::value v, json::fault& wrong) {
    kind_ = v.kind();
    if (v.is(json::kind::string)) text_ = decoded(v.as_string());
    else if (v.is(json::kind::object)) {
      std::vector<std::size_t> at;
      json::each_member(v, [&](const json::string& name, json::value member) {
        names_.push_back(decoded(name));
        at.push_back(name.at());
        items_.emplace_back().read(member, wrong);
      });
      if (!wrong) wrong = twice(at);
    } else if (v.is(json::kind::array)) {
      json::each_element(v, [&](json::value element) { items_.emplace_back().read(element, wrong); });
    } else if (kind_ != json::kind::null) text_ = v.text();
  }
  static std::string decoded(const json::string& s) {
    std::string out(s.raw().size(), '\0');
    out.resize(s.unescape(out.data()));
    return out;
  }
  // By sorting: hashes could be made to collide.
  json::fault twice(const std::vector<std::size_t>& at) const {
    std::vector<std::size_t> order(names_.size());
    for (std::size_t k = 0; k < order.size(); ++k) order[k] = k;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      const int c = names_[a].compare(names_[b]);
      return c != 0 ? c < 0 : a < b;
    });
    for (std::size_t k = 1; k < order.size(); ++k)
      if (names_[order[k - 1]] == names_[order[k]]) return {"a name occurs twice", at[order[k]]};
    return {};
  }
  void write(std::string& out, int indent, json_letters letters) const {
    const auto line = [&](int depth) {
      if (indent < 0) return;
      out += '\n';
      out.append(static_cast<std::size_t>(depth) * 2, ' ');
    };
    switch (kind_) {
      case json::kind::object: case json::kind::array:
        out += is_object() ? '{' : '[';
        for (std::size_t k = 0; k < items_.size(); ++k) {
          if (k) out += indent < 0 ? ", " : ",";
          line(indent + 1);
          if (is_object()) {
            append_quoted(out, names_[k], letters);
            out += ": ";
          }
          items_[k].write(out, indent < 0 ? indent : indent + 1, letters);
        }
        if (!items_.empty()) line(indent);
        out += is_object() ? '}' : ']';
        return;
      case json::kind::string: append_quoted(out, text_, letters); return;
      case json::kind::number: case json::kind::boolean: out += text_; return;
      default: out += "null";
    }
  }

  json::kind kind_ = json::kind::null;
  std::string text_;
  std::vector<std::string> names_;
  std::vector<json_tree> items_;
};

/// The tree of a file's text; a fault throws `malformed` with file, line and column.
inline json_tree parse_json(std::string_view text, const std::string& path, code malformed = code::wrong_configuration) {
  json::parsed<json_tree> tree = json_tree::parse(text);
  if (!tree.wrong) return std::move(tree.value);
  const json::place p = json::where(text, tree.wrong.at);
  const std::string place = "(line " + std::to_string(p.line) + ", column " + std::to_string(p.column) + ")";
  const std::string at = std::to_string(tree.wrong.at) + " " + place;
  throw error(malformed, "malformed JSON file " + shown(path, 400) + ": " + tree.wrong.what + " at byte " + at + ".",
              "correct the file there.");
}
/// The same of a file that is read here.
inline json_tree read_json(const std::string& path, code malformed = code::wrong_configuration) { return parse_json(read_text(path), path, malformed); }

}  // namespace shardproof::io

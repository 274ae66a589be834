#pragma once
/// @file
/// An object of a configuration file, of which every key must be asked for: a key that nobody asks for is refused, by name.
///
///     sp::families::fields in("config.json", text);                        // SP604 if it is not a JSON object
///     const long hidden = in.integer("hidden_size", 1);                    // SP604: missing, of another type, below 1
///     in.only("pretraining_tp", 1, "a training layout that no forward pass reads");      // SP606 for any other value
///     in.finish(harmless_keys, allowed);                                   // SP607 for a key that nobody knows
#include <charconv>
#include <optional>
#include <span>
#include <string>
#include <vector>
#include <shardproof/core/error.hpp>
#include <shardproof/core/json.hpp>
#include <shardproof/plan/styles.hpp>
namespace shardproof::families {

/// A key that changes nothing in the computation, and why.
struct harmless_key {
  std::string_view key;
  const char* why;
};
/// No extent is larger: products of two then fit into 64 bits.
inline constexpr long largest_extent = 2147483647;

/// Typed access to one JSON object. `maybe_...` reads null as absent, since that is how transformers writes "not set".
class fields {
 public:
  /// `text` must outlive this object. @error SP604 the text is no JSON object, or has a key twice.
  fields(std::string_view file, std::string_view text) : file_(file) {
    const json::document d = json::read(text);
    if (d.wrong) {
      const json::place p = json::where(text, d.wrong.at);
      throw error(code::wrong_configuration, file_ + " is not JSON: " + d.wrong.what + " (line " + std::to_string(p.line) + ", column " + std::to_string(p.column) + ").",
                  "write the file again.");
    }
    if (!d.root.is(json::kind::object)) throw error(code::wrong_configuration, file_ + " is no JSON object.", "write {\"key\": value, ...}, as save_pretrained does.");
    take_members(d.root);
  }
  /// An object inside another one: its keys are shown as "outer.key".
  fields(const fields& outside, std::string_view key, json::value object) : file_(outside.file_), prefix_(outside.prefix_ + std::string(key) + ".") { take_members(object); }

  const std::string& file() const { return file_; }
  /// Is the key there, with another value than null?
  bool has(std::string_view key) { return bool(find(key)); }
  /// Is the key there at all?
  bool given(std::string_view key) { find(key); return member_of(key) != nullptr; }
  /// Lets `older` be another name of `key`, which goes before it: transformers' attribute_map.
  void also_called(std::string_view key, std::string_view older) {
    member* m = member_of(older);
    if (!m) return;
    std::erase_if(members_, [&](const member& other) { return other.key == key; });
    member_of(older)->key = key;
  }
  /// The keys, in the order of the text.
  std::vector<std::string> keys() const {
    std::vector<std::string> out;
    for (const auto& m : members_) out.push_back(m.key);
    return out;
  }

  std::optional<long> maybe_integer(std::string_view key, long least, long most = largest_extent) {
    const json::value v = find(key);
    if (!v) return {};
    const json::parsed<std::int64_t> n = v.as_int();
    if (n.wrong) wrong(key, v, "an integer is expected");
    if (n.value < least || n.value > most) wrong(key, v, "it must lie between " + std::to_string(least) + " and " + std::to_string(most));
    return long(n.value);
  }
  /// Correctly rounded; an integer is a number too.
  std::optional<double> maybe_number(std::string_view key) {
    const json::value v = find(key);
    if (!v) return {};
    return number_in(key, v);
  }
  std::optional<bool> maybe_boolean(std::string_view key) {
    const json::value v = find(key);
    if (!v) return {};
    const json::parsed<bool> b = v.as_bool();
    if (b.wrong) wrong(key, v, "true or false is expected");
    return b.value;
  }
  std::optional<std::string> maybe_text(std::string_view key) {
    const json::value v = find(key);
    if (!v) return {};
    if (!v.is(json::kind::string)) wrong(key, v, "a string is expected");
    return text_of(v.as_string());
  }
  std::optional<std::vector<std::string>> maybe_texts(std::string_view key) {
    const json::value v = find(key);
    if (!v) return {};
    std::vector<std::string> out;
    if (!v.is(json::kind::array)) wrong(key, v, "a list of strings is expected");
    json::each_element(v, [&](json::value e) {
      if (!e.is(json::kind::string)) wrong(key, v, "a list of strings is expected");
      out.push_back(text_of(e.as_string()));
    });
    return out;
  }
  std::optional<std::vector<double>> maybe_numbers(std::string_view key) {
    const json::value v = find(key);
    if (!v) return {};
    std::vector<double> out;
    if (!v.is(json::kind::array)) wrong(key, v, "a list of numbers is expected");
    json::each_element(v, [&](json::value e) { out.push_back(number_in(key, e)); });
    return out;
  }
  std::optional<fields> maybe_object(std::string_view key) {
    const json::value v = find(key);
    if (!v) return {};
    if (!v.is(json::kind::object)) wrong(key, v, "an object is expected");
    return fields(*this, key, v);
  }

  // Required.
  long integer(std::string_view key, long least, long most = largest_extent) { return required(key, maybe_integer(key, least, most)); }
  double number(std::string_view key) { return required(key, maybe_number(key)); }
  std::string text(std::string_view key) { return required(key, maybe_text(key)); }

  /// For an option that is only known with one value: null, absent and that value pass.
  /// @error SP606 any other value. `because`: what the value would mean, as a sentence without its end.
  void only(std::string_view key, long accepted, const char* because) {
    const json::value v = find(key);
    if (v && !(v.is(json::kind::number) && number_in(key, v) == double(accepted))) unsupported(key, because, "set it to " + std::to_string(accepted) + ", or to null");
  }
  void only(std::string_view key, bool accepted, const char* because) {
    const json::value v = find(key);
    if (v && !(v.is(json::kind::boolean) && v.as_bool().value == accepted)) unsupported(key, because, std::string("set it to ") + (accepted ? "true" : "false") + ", or to null");
  }
  void none(std::string_view key, const char* because) {
    const json::value v = find(key);
    if (v && (v.is(json::kind::object) || v.is(json::kind::array)) && json::count(v) == 0) return;
    if (v) unsupported(key, because, "set it to null");
  }

  /// @error SP604. `must`: what the value has to be.
  [[noreturn]] void refuse(std::string_view key, const std::string& must, const std::string& fix) { throw error(code::wrong_configuration, shown(key) + ": " + must + ".", fix + "."); }
  /// @error SP606.
  [[noreturn]] void unsupported(std::string_view key, const std::string& because, const std::string& fix) {
    throw error(code::unsupported_value, shown(key) + ": " + because + ".", fix + ".");
  }
  /// "config.json: rope_parameters.factor is -1".
  std::string shown(std::string_view key) {
    const member* m = member_of(key);
    return file_ + ": " + prefix_ + std::string(key) + (m ? " is " + spelt(m->value) : " is missing");
  }

  /// Every key must have been asked for, or be harmless, or be allowed (with its full name: "rope_parameters.key").
  /// @error SP607 naming the first other one, and the key it may be meant for.
  void finish(std::span<const harmless_key> harmless, std::span<const std::string> allowed) const {
    for (const auto& m : members_) {
      bool known = m.asked;
      for (const auto& h : harmless) known = known || h.key == m.key;
      const std::string full = prefix_ + m.key;
      for (const auto& a : allowed) known = known || a == full;
      if (known) continue;
      std::string nearest;
      int least = 4;
      for (const auto& a : asked_) if (const int d = edit_distance(m.key, a); d < least) { least = d; nearest = a; }
      throw error(code::unknown_key, file_ + ": nothing is known of the key " + full + ".",
                  (nearest.empty() ? "" : "did you mean " + prefix_ + nearest + "? Else ") + "remove it, or pass --allow-key " + full + " if it does not change the computation.");
    }
  }

 private:
  struct member {
    std::string key;
    json::value value;
    bool asked = false;
  };
  std::string file_, prefix_;
  std::vector<member> members_;
  std::vector<std::string> asked_;

  static std::string text_of(const json::string& s) {
    std::string out(s.raw().size(), '\0');
    out.resize(s.unescape(out.data()));
    return out;
  }
  static std::string spelt(json::value v) {
    if (v.is(json::kind::object)) return "an object";
    if (v.is(json::kind::array)) return "a list";
    return std::string(v.text().substr(0, 80));
  }
  void take_members(json::value object) {
    json::each_member(object, [&](const json::string& key, json::value v) { members_.push_back({text_of(key), v, false}); });
  }
  member* member_of(std::string_view key) {
    for (auto& m : members_) if (m.key == key) return &m;
    return nullptr;
  }
  /// Absent for null.
  json::value find(std::string_view key) {
    asked_.emplace_back(key);
    member* m = member_of(key);
    if (!m) return {};
    m->asked = true;
    return m->value.is(json::kind::null) ? json::value{} : m->value;
  }
  template <class T> T required(std::string_view key, const std::optional<T>& v) {
    if (!v) refuse(key, "the model cannot be built without it", "give it the value that the checkpoint was made with");
    return *v;
  }
  [[noreturn]] void wrong(std::string_view key, json::value v, const std::string& must) {
    throw error(code::wrong_configuration, file_ + ": " + prefix_ + std::string(key) + " is " + spelt(v) + ": " + must + ".", "correct the value.");
  }
  double number_in(std::string_view key, json::value v) {
    double x = 0;
    const std::string_view t = v.text();
    if (!v.is(json::kind::number)) wrong(key, v, "a number is expected");
    if (std::from_chars(t.data(), t.data() + t.size(), x).ec != std::errc()) wrong(key, v, "it does not fit into a double");
    return x;
  }
};

}  // namespace shardproof::families

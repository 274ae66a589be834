#pragma once
/// @file
/// The header of a safetensors file: read strictly, all of it, before any tensor is touched.
///
///     const auto n = sp::io::header_length(first_eight_bytes, file_size, "model.safetensors");
///     const sp::io::safetensors_header h(text_of_n_bytes, file_size - 8 - n, "model.safetensors");
///     for (const sp::io::tensor_info& t : h.tensors()) { /* name, type, shape, begin, end; ordered by begin */ }
///
/// Format: https://github.com/huggingface/safetensors#format. Stricter than its reader by default: no white space before
/// the header, only spaces behind it, no names that are empty, paths upwards, or hold control characters.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <shardproof/core/error.hpp>
#include <shardproof/core/json.hpp>
#include <shardproof/io/element.hpp>
#include <shardproof/io/posix.hpp>
namespace shardproof::io {

/// What to accept beyond the letter of the format.
struct safetensors_options {
  bool white_space = false;    ///< any JSON white space around the header, as the Rust reader does
};

/// One tensor of a file. Views into the header: valid as long as it lives.
struct tensor_info {
  std::string_view name;
  element type = element::f32;
  std::span<const std::int64_t> shape;                        ///< global extents; empty for a scalar
  std::uint64_t begin = 0, end = 0;                           ///< bytes, counted from the end of the header
  std::uint64_t bytes() const { return end - begin; }
};

/// The format's own limit.
inline constexpr std::uint64_t max_header_bytes = 100'000'000;
/// Longest name of a tensor that is read or written.
inline constexpr std::size_t max_tensor_name = 4096;

/// Throws SP601: "malformed safetensors file `path`: `detail`".
[[noreturn]] inline void refuse_file(std::string_view path, std::string_view detail) {
  std::string text = "malformed safetensors file ";
  text += shown(path, 400);
  text += ": ";
  text += detail;
  text += '.';
  throw error(code::malformed_file, text, "write the file again; nothing was loaded from it.");
}

/// Bytes of a tensor of this type and these extents; empty if 64 bits cannot count them, or they do not fill whole bytes.
inline std::optional<std::uint64_t> tensor_bytes(element type, std::span<const std::int64_t> shape) {
  constexpr std::uint64_t limit = std::uint64_t(1) << 62;
  std::uint64_t bits = std::uint64_t(bits_of(type));
  for (const std::int64_t n : shape) {
    if (n < 0 || (n != 0 && bits > limit / std::uint64_t(n))) return std::nullopt;
    bits *= std::uint64_t(n);
  }
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

/// Why a tensor may not be called `name`, or nullptr.
inline const char* name_fault(std::string_view name) {
  if (name.empty()) return "has no name";
  if (name.size() > max_tensor_name) return "has a name of more than 4096 bytes";
  for (const char c : name)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return "has a control character in its name";
  for (std::size_t i = 0; i != std::string_view::npos && i <= name.size();) {
    const std::size_t slash = std::min(name.find('/', i), name.size());
    if (name.substr(i, slash - i) == "..") return "has a name that is a path upwards";
    i = slash + 1;
  }
  return nullptr;
}

/// The number in the first eight bytes (of which there may be fewer), checked against the size of the file; SP601.
inline std::uint64_t header_length(std::string_view first_eight, std::uint64_t file_size, std::string_view path) {
  if (first_eight.size() < 8)
    refuse_file(path, "its " + std::to_string(file_size) + " bytes are fewer than the 8 of the header's length, at byte 0");
  std::uint64_t n = 0;
  for (int k = 7; k >= 0; --k) n = n << 8 | static_cast<unsigned char>(first_eight[std::size_t(k)]);
  if (n == 0) refuse_file(path, "the header is empty (length 0 at byte 0)");
  if (n > max_header_bytes)
    refuse_file(path, "a header of " + std::to_string(n) + " bytes is longer than the 100000000 the format allows, at byte 0");
  if (n > file_size - 8)
    refuse_file(path, "a header of " + std::to_string(n) + " bytes does not fit into a file of " + std::to_string(file_size) +
                          " bytes, at byte 0");
  return n;
}

/// A checked header; the constructor throws SP601 for anything that is not exactly one.
class safetensors_header {
 public:
  /// `text`: the header; `data_bytes`: bytes of the file behind it; `path`: for messages.
  safetensors_header(std::string text, std::uint64_t data_bytes, std::string_view path, safetensors_options options = {})
      : text_(std::make_unique<const std::string>(std::move(text))), data_bytes_(data_bytes) {
    reader{*this, path, *text_}.read(options);
  }

  /// In the order of their bytes; those without bytes stand before their successor.
  std::span<const tensor_info> tensors() const { return tensors_; }
  /// The tensor of this name, or nullptr.
  const tensor_info* find(std::string_view name) const {
    const std::size_t hash = std::hash<std::string_view>{}(name);
    const auto at = std::lower_bound(by_hash_.begin(), by_hash_.end(), name, [&](const hashed& t, std::string_view n) {
      return t.hash != hash ? t.hash < hash : tensors_[t.index].name < n;
    });
    return at != by_hash_.end() && tensors_[at->index].name == name ? &tensors_[at->index] : nullptr;
  }
  /// `__metadata__`, in the order of the file.
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return metadata_; }
  std::uint64_t header_bytes() const { return text_->size(); }
  std::uint64_t data_bytes() const { return data_bytes_; }

 private:
  struct hashed { std::size_t hash, index; };
  // Fills a header; each refusal names the byte of the file, or the tensor.
  struct reader {
    safetensors_header& h;
    std::string_view path, text;

    [[noreturn]] void refuse(std::string_view what, std::size_t at) const {
      refuse_file(path, std::string(what) + " at byte " + std::to_string(at + 8));
    }
    [[noreturn]] void refuse(std::string_view name, std::string_view what, std::size_t at) const {
      refuse("tensor '" + shown(name) + "' " + std::string(what), at);
    }

    void read(safetensors_options options) {
      if (text.empty() || (text[0] != '{' && !options.white_space)) refuse("the header does not begin with '{'", 0);
      if (const json::fault f = json::check(text)) refuse(f.what, f.at);
      const json::value root = json::root(text);
      if (!root.is(json::kind::object)) refuse("the header is not an object", root.at());
      for (std::size_t i = root.at() + root.text().size(); i < text.size() && !options.white_space; ++i)
        if (text[i] != ' ') refuse("the header is padded with something else than spaces", i);
      bool has_metadata = false;
      std::vector<std::size_t> shape_begins;
      json::each_member(root, [&](const json::string& key, json::value v) {
        if (key == "__metadata__") {
          if (std::exchange(has_metadata, true)) refuse("__metadata__ occurs twice", key.at());
          read_metadata(v);
          return;
        }
        shape_begins.push_back(h.extents_.size());
        h.tensors_.push_back(entry(key, v));
      });
      // Only now: the extents no longer move.
      shape_begins.push_back(h.extents_.size());
      for (std::size_t k = 0; k < h.tensors_.size(); ++k)
        h.tensors_[k].shape = std::span(h.extents_).subspan(shape_begins[k], shape_begins[k + 1] - shape_begins[k]);
      for (const tensor_info& t : h.tensors_) check_size(t);
      order();
    }

    // A view of the text where it can be one.
    std::string_view keep(const json::string& s) const {
      if (s.plain()) return s.raw();
      std::string& copy = h.unescaped_.emplace_back(s.raw().size(), '\0');
      copy.resize(s.unescape(copy.data()));
      return copy;
    }
    static std::string plain(const json::string& s) {
      std::string copy(s.raw().size(), '\0');
      copy.resize(s.unescape(copy.data()));
      return copy;
    }

    void read_metadata(json::value v) const {
      if (!v.is(json::kind::object)) refuse("__metadata__ is not an object", v.at());
      if (const json::fault f = json::check_names(v)) refuse(f.what, f.at);
      json::each_member(v, [&](const json::string& key, json::value value) {
        if (!value.is(json::kind::string)) refuse("__metadata__ holds something else than strings", value.at());
        h.metadata_.emplace_back(plain(key), plain(value.as_string()));
      });
    }

    tensor_info entry(const json::string& key, json::value v) const {
      tensor_info t;
      t.name = keep(key);
      if (const char* why = name_fault(t.name)) refuse(t.name, why, key.at());
      if (!v.is(json::kind::object)) refuse(t.name, "is described by something else than an object", v.at());
      json::value type, shape, offsets;
      json::each_member(v, [&](const json::string& field, json::value value) {
        json::value* known = nullptr;
        if (field == "dtype") known = &type;
        else if (field == "shape") known = &shape;
        else if (field == "data_offsets") known = &offsets;
        if (!known) refuse(t.name, "has a field that the format does not know", field.at());
        if (*known) refuse(t.name, "has a field twice", field.at());
        *known = value;
      });
      if (!type) refuse(t.name, "has no dtype", v.at());
      if (!shape) refuse(t.name, "has no shape", v.at());
      if (!offsets) refuse(t.name, "has no data_offsets", v.at());
      if (!type.is(json::kind::string)) refuse(t.name, "has a dtype that is not a string", type.at());
      const std::optional<element> known = element_named(plain(type.as_string()));
      if (!known) refuse(t.name, "has the unknown dtype '" + shown(plain(type.as_string()), 40) + "'", type.at());
      t.type = *known;
      if (!shape.is(json::kind::array)) refuse(t.name, "has a shape that is not an array", shape.at());
      json::each_element(shape, [&](json::value n) { h.extents_.push_back(natural(t.name, "shape", n)); });
      if (!offsets.is(json::kind::array)) refuse(t.name, "has data_offsets that are not an array", offsets.at());
      std::size_t count = 0;
      json::each_element(offsets, [&](json::value n) {
        if (count == 2) refuse(t.name, "has more than two data_offsets", n.at());
        (count++ == 0 ? t.begin : t.end) = static_cast<std::uint64_t>(natural(t.name, "data_offsets", n));
      });
      if (count != 2) refuse(t.name, "has fewer than two data_offsets", offsets.at());
      if (t.begin > t.end) refuse(t.name, "ends before it begins", offsets.at());
      if (t.end > h.data_bytes_)
        refuse(t.name, "ends at " + std::to_string(t.end) + " of " + std::to_string(h.data_bytes_) + " data bytes", offsets.at());
      return t;
    }
    std::int64_t natural(std::string_view name, const char* field, json::value v) const {
      const json::parsed<std::int64_t> n = v.as_int();
      if (n.wrong || v.text()[0] == '-')
        refuse(name, std::string("has '") + shown(v.text(), 40) + "' in " + field + ", not a natural number below 2^63", v.at());
      return n.value;
    }
    void check_size(const tensor_info& t) const {
      const std::optional<std::uint64_t> want = tensor_bytes(t.type, t.shape);
      if (want && *want == t.bytes()) return;
      const std::string needed = want ? std::to_string(*want) : "a number that is too large or not whole";
      refuse_file(path, "tensor '" + shown(t.name) + "' has " + std::to_string(t.bytes()) + " bytes at byte " +
                            std::to_string(first_data() + t.begin) + ", but its dtype and shape need " + needed);
    }

    std::uint64_t first_data() const { return 8 + h.text_->size(); }

    // Sorts by bytes, where holes and overlaps show, and by hash and name, where equal names meet: numbers sort ten times
    // faster than names that begin alike, and names whose hashes somebody made equal still sort.
    void order() const {
      std::vector<tensor_info>& all = h.tensors_;
      const auto before = [](const tensor_info& a, const tensor_info& b) {
        return a.begin != b.begin ? a.begin < b.begin : a.end != b.end ? a.end < b.end : a.name < b.name;
      };
      if (!std::is_sorted(all.begin(), all.end(), before)) std::sort(all.begin(), all.end(), before);
      std::uint64_t covered = 0;
      for (const tensor_info& t : all) {
        const std::string at = t.begin == covered ? "" : " at byte " + std::to_string(first_data() + std::min(t.begin, covered));
        if (t.begin < covered) refuse_file(path, "tensor '" + shown(t.name) + "' overlaps the one before it" + at);
        if (t.begin > covered) refuse_file(path, "no tensor holds the bytes before tensor '" + shown(t.name) + "'" + at);
        covered = t.end;
      }
      if (covered != h.data_bytes_)
        refuse_file(path, "no tensor holds the last " + std::to_string(h.data_bytes_ - covered) + " bytes, at byte " +
                              std::to_string(first_data() + covered));
      h.by_hash_.reserve(all.size());
      for (std::size_t k = 0; k < all.size(); ++k) h.by_hash_.push_back({std::hash<std::string_view>{}(all[k].name), k});
      std::sort(h.by_hash_.begin(), h.by_hash_.end(), [&](const hashed& a, const hashed& b) {
        return a.hash != b.hash ? a.hash < b.hash : all[a.index].name < all[b.index].name;
      });
      for (std::size_t k = 1; k < all.size(); ++k) {
        const hashed &a = h.by_hash_[k - 1], &b = h.by_hash_[k];
        if (a.hash == b.hash && all[a.index].name == all[b.index].name)
          refuse_file(path, "tensor '" + shown(all[b.index].name) + "' occurs twice");
      }
    }
  };

  std::unique_ptr<const std::string> text_;                   // on the heap: views into it survive a move
  std::uint64_t data_bytes_;
  std::vector<tensor_info> tensors_;
  std::vector<std::int64_t> extents_;
  std::deque<std::string> unescaped_;
  std::vector<hashed> by_hash_;
  std::vector<std::pair<std::string, std::string>> metadata_;
};

}  // namespace shardproof::io

#pragma once
/// @file
/// One safetensors file: checked whole when it is opened, then read by byte ranges.
///
///     const sp::io::safetensors_file f("model.safetensors");   // SP601 malformed, SP608 unreadable
///     const sp::io::tensor_info& t = f.at("lm_head.weight");   // SP602 if there is none
///     f.copy_strided(t, rank * k, k, 4 * k, rows, to);         // this rank's columns of each row
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <shardproof/io/mapped_file.hpp>
#include <shardproof/io/safetensors_header.hpp>
namespace shardproof::io {

/// Bytes [begin, end) of a tensor.
struct byte_range {
  std::uint64_t begin = 0, end = 0;
};

/// "BF16 [4096, 11008]", for messages.
inline std::string described(const char* type, std::span<const std::int64_t> shape) {
  std::string text = type;
  text += " [";
  for (std::size_t k = 0; k < shape.size(); ++k) {
    if (k) text += ", ";
    if (k == 8) { text += "..."; break; }
    text += std::to_string(shape[k]);
  }
  return text + "]";
}
inline std::string described(const tensor_info& t) { return described(name_of(t.type), t.shape); }

/// The type in which a tensor can be read; SP603 for one that the library does not compute with, such as F8_E4M3.
inline dtype type_of(const tensor_info& t) {
  if (const std::optional<dtype> type = dtype_of(t.type)) return *type;
  throw error(code::wrong_shape,
              "tensor " + shown(t.name) + " is " + described(t) + " in the file, a type that the library does not compute with.",
              "convert the checkpoint to F32, BF16 or F16.");
}

/// Throws SP602.
[[noreturn]] inline void refuse_missing(std::string_view name, std::string_view where) {
  throw error(code::missing_tensor, "tensor " + shown(name) + " is missing from " + shown(where, 400) + ".",
              "name its source in the weight map, or initialise the parameter explicitly.");
}

/// Movable; the views it hands out live as long as it does.
class safetensors_file {
 public:
  explicit safetensors_file(std::string path, safetensors_options options = {})
      : file_(std::move(path)), header_(read_header(file_, options)) {}

  const std::string& path() const { return file_.path(); }
  std::uint64_t file_bytes() const { return file_.size(); }
  const safetensors_header& header() const { return header_; }
  /// In the order of their bytes: reading them in turn is one sequential pass.
  std::span<const tensor_info> tensors() const { return header_.tensors(); }
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return header_.metadata(); }
  const tensor_info* find(std::string_view name) const { return header_.find(name); }
  const tensor_info& at(std::string_view name) const {
    if (const tensor_info* t = find(name)) return *t;
    refuse_missing(name, path());
  }

  /// The tensor's bytes in the mapping, not aligned to its type. Valid while nobody cuts the file: see io::file::ready().
  std::string_view bytes(const tensor_info& t) const { return file_.bytes().substr(offset(t), t.bytes()); }
  /// Brings a tensor's bytes into memory in one pass, for ranks that share this file; SP608 if they are gone.
  void ready(const tensor_info& t) const { file_.ready(offset(t), offset(t) + t.bytes()); }

  /// Copies bytes [r.begin, r.end) of `t` to `to`; SP608 if the file was cut, or the range is not of this tensor.
  void copy(const tensor_info& t, byte_range r, void* to) const {
    want_within(t, r);
    file_.copy(offset(t) + r.begin, offset(t) + r.end, to);
  }
  void copy(const tensor_info& t, void* to) const { copy(t, {0, t.bytes()}, to); }
  /// Copies several ranges one behind the other; returns how many bytes.
  std::size_t copy_ranges(const tensor_info& t, std::span<const byte_range> ranges, void* to) const {
    for (const byte_range r : ranges) want_within(t, r);
    char* out = static_cast<char*>(to);
    for (std::size_t k = 0, upto = 0; k < ranges.size(); k = upto) {
      byte_range hull = ranges[k];                             // neighbours share a page or two: one call for all of them
      for (upto = k + 1; upto < ranges.size(); ++upto) {
        const byte_range next = ranges[upto];
        if (next.begin < hull.end || next.begin - hull.end >= near || hull.end - hull.begin >= chunk) break;
        hull.end = next.end;
      }
      file_.ready(offset(t) + hull.begin, offset(t) + hull.end);
      for (std::size_t i = k; i < upto; ++i) {
        const std::uint64_t n = ranges[i].end - ranges[i].begin;
        if (n > 0) std::memcpy(out, file_.bytes().data() + offset(t) + ranges[i].begin, n);
        out += n;
      }
    }
    file_.still_whole();
    return static_cast<std::size_t>(out - static_cast<char*>(to));
  }
  /// Copies `count` pieces of `piece` bytes, the first at byte `first` of `t`, each `stride` bytes behind the one before:
  /// the columns that one rank holds of a row-major matrix.
  void copy_strided(const tensor_info& t, std::uint64_t first, std::uint64_t piece, std::uint64_t stride, std::uint64_t count,
                    void* to) const {
    if (count == 0 || piece == 0) return;
    if (piece > t.bytes() || first > t.bytes() - piece || (stride && count - 1 > (t.bytes() - piece - first) / stride))
      refuse_range(t);
    char* out = static_cast<char*>(to);
    const std::uint64_t group = stride >= near || stride == 0 ? 1 : chunk / stride + 1;
    for (std::uint64_t k = 0; k < count; k += group) {
      const std::uint64_t upto = std::min(count, k + group), begin = offset(t) + first + k * stride;
      file_.ready(begin, begin + (upto - k - 1) * stride + piece);
      const char* from = file_.bytes().data() + begin;
      for (std::uint64_t i = k; i < upto; ++i, from += stride, out += piece) std::memcpy(out, from, piece);
    }
    file_.still_whole();
  }

 private:
  static constexpr std::uint64_t near = 1 << 16;              // pieces closer than this are brought into memory together,
  static constexpr std::uint64_t chunk = 8 << 20;             // about so many bytes at a time

  static safetensors_header read_header(const file& f, safetensors_options options) {
    const std::size_t prefix = std::min<std::size_t>(8, f.size());
    char first[8] = {};
    f.copy(0, prefix, first);
    const auto n = static_cast<std::size_t>(header_length({first, prefix}, f.size(), f.path()));
    std::string text(n, '\0');                                 // a copy: parsing must not meet a file that shrinks
    f.copy(8, 8 + n, text.data());
    return safetensors_header(std::move(text), f.size() - 8 - n, f.path(), options);
  }
  std::size_t offset(const tensor_info& t) const { return static_cast<std::size_t>(8 + header_.header_bytes() + t.begin); }
  void want_within(const tensor_info& t, byte_range r) const {
    if (r.begin > r.end || r.end > t.bytes()) refuse_range(t);
  }
  [[noreturn]] void refuse_range(const tensor_info& t) const {
    refuse("cannot read", path(), "a byte range outside tensor " + shown(t.name), "ask for bytes of the tensor.");
  }
  file file_;
  safetensors_header header_;
};

}  // namespace shardproof::io

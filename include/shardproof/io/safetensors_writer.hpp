#pragma once
/// @file
/// Writes a safetensors file tensor by tensor: a saver gathers one at a time and never holds them all.
///
///     sp::io::atomic_writer out("model.safetensors");
///     sp::io::write_safetensors(out, tensors, [&](std::size_t k, auto&& sink) { sink(gathered(k), bytes_of(k)); });
///     out.commit();
///
/// The header is spelt as the reference writer spells it, so that the same tensors in the same order give the same bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <shardproof/io/atomic_writer.hpp>
#include <shardproof/io/json_writer.hpp>
#include <shardproof/io/safetensors_file.hpp>
namespace shardproof::io {

/// What a file is to hold under one name.
struct tensor_entry {
  std::string name;
  element type = element::f32;
  std::vector<std::int64_t> shape;                            ///< global extents
};

using safetensors_metadata = std::vector<std::pair<std::string, std::string>>;

/// Orders entries as the reference writer does: wider types first, so that each is aligned, then by name.
inline void sort_entries(std::vector<tensor_entry>& entries) {
  std::sort(entries.begin(), entries.end(), [](const tensor_entry& a, const tensor_entry& b) {
    const int wide = bits_of(a.type), other = bits_of(b.type);
    return wide != other ? wide > other : a.type != b.type ? a.type > b.type : a.name < b.name;
  });
}

/// The header goes out at once; then the bytes of every tensor in the order of the entries, in pieces of any size; finish()
/// checks that all have arrived. SP601 for entries that no reader would accept, SP608 for bytes too many or too few.
class safetensors_writer {
 public:
  /// transformers refuses a file whose metadata does not say {"format": "pt"}.
  safetensors_writer(atomic_writer& out, std::span<const tensor_entry> entries,
                     const safetensors_metadata& metadata = {{"format", "pt"}})
      : out_(out), names_(entries.size()), ends_(entries.size()) {
    std::string header = "{";
    if (!metadata.empty()) {
      header += "\"__metadata__\":{";
      for (const auto& [key, text] : metadata) {
        if (header.back() != '{') header += ',';
        append_quoted(header, key);
        header += ':';
        append_quoted(header, text);
      }
      header += '}';
    }
    std::uint64_t begin = 0;
    for (std::size_t k = 0; k < entries.size(); ++k) {
      const tensor_entry& e = entries[k];
      const char* const why = name_fault(e.name);
      if (why || e.name == "__metadata__" || !is_utf8(e.name))
        refuse_entry(e, why ? why : "has a name that the format does not allow");
      const std::optional<std::uint64_t> bytes = tensor_bytes(e.type, e.shape);
      if (!bytes || *bytes > max_bytes - begin) refuse_entry(e, "is too large, or does not fill whole bytes");
      if (header.size() > 1) header += ',';
      append_quoted(header, e.name);
      header += ":{\"dtype\":\"";
      header += name_of(e.type);
      header += "\",\"shape\":[";
      for (const std::int64_t n : e.shape) {
        if (header.back() != '[') header += ',';
        header += std::to_string(n);
      }
      header += "],\"data_offsets\":[" + std::to_string(begin) + ',' + std::to_string(begin + *bytes) + "]}";
      begin += *bytes;
      names_[k] = e.name;
      ends_[k] = begin;
    }
    want_distinct(entries);
    header += '}';
    header.resize((header.size() + 7) / 8 * 8, ' ');
    if (header.size() > max_header_bytes) refuse_file(out_.called(), "its header would be longer than the format allows");
    out_.expect(static_cast<std::size_t>(8 + header.size() + begin));
    char length[8];
    for (std::size_t k = 0; k < 8; ++k) length[k] = static_cast<char>(header.size() >> 8 * k & 0xff);
    out_.write(length, 8);
    out_.write(header);
  }

  /// The next bytes of the current tensor.
  void append(const void* bytes, std::size_t n) {
    skip_full();
    if (n == 0) return;
    if (current_ == ends_.size())
      refuse("cannot write", out_.called(), "more bytes than its tensors have", "write each tensor once.");
    if (n > ends_[current_] - written_)
      refuse("cannot write", out_.called(), "tensor " + shown(names_[current_]) + " is given more bytes than it has",
             "write each tensor's own bytes.");
    out_.write(bytes, n);
    written_ += n;
  }
  /// Call it once, behind the last tensor; the caller commits `out`.
  void finish() {
    skip_full();
    if (current_ != ends_.size())
      refuse("cannot write", out_.called(),
             "tensor " + shown(names_[current_]) + " is short of " + std::to_string(ends_[current_] - written_) + " bytes",
             "write each tensor's own bytes.");
  }

 private:
  static constexpr std::uint64_t max_bytes = std::uint64_t(1) << 62;

  void skip_full() {
    while (current_ < ends_.size() && written_ == ends_[current_]) ++current_;
  }
  [[noreturn]] void refuse_entry(const tensor_entry& e, std::string_view why) const {
    refuse_file(out_.called(), "tensor '" + shown(e.name) + "' " + std::string(why));
  }
  void want_distinct(std::span<const tensor_entry> entries) const {
    std::vector<std::string_view> names(names_.begin(), names_.end());
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end())
      for (const tensor_entry& e : entries)
        if (e.name == *twice) refuse_entry(e, "is to be written twice");
  }
  atomic_writer& out_;
  std::vector<std::string> names_;
  std::vector<std::uint64_t> ends_;
  std::size_t current_ = 0;
  std::uint64_t written_ = 0;
};

/// Writes all entries; `data(k, sink)` is called once for each, in order, and calls `sink(pointer, bytes)` as often as it
/// likes until entry k is complete. The caller commits `out`.
template <class F>
void write_safetensors(atomic_writer& out, std::span<const tensor_entry> entries, F&& data,
                       const safetensors_metadata& metadata = {{"format", "pt"}}) {
  safetensors_writer writer(out, entries, metadata);
  for (std::size_t k = 0; k < entries.size(); ++k) {
    std::uint64_t left = *tensor_bytes(entries[k].type, entries[k].shape);
    data(k, [&](const void* bytes, std::size_t n) {
      if (n > left)
        refuse("cannot write", out.called(), "tensor " + shown(entries[k].name) + " is given more bytes than it has",
               "write each tensor's own bytes.");
      left -= n;
      writer.append(bytes, n);
    });
    if (left)
      refuse("cannot write", out.called(), "tensor " + shown(entries[k].name) + " is short of " + std::to_string(left) + " bytes",
             "write each tensor's own bytes.");
  }
  writer.finish();
}

}  // namespace shardproof::io
